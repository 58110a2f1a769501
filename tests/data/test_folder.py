import os

import numpy as np
import pytest
from PIL import Image

from vitae import InputError, data
from vitae.data import cache


def write_image(path, shade, size=(20, 16), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, shade).save(path)


def load_splits(root, **request):
    return [data.load("folder", split, root=root, **request) for split in ("train", "test")]


def factors_by_shade(splits):
    """Shade of an image -> its factors; each image has one shade."""
    return {
        int(image.flatten()[0]): row for split in splits for image, row in zip(split.images, split.factors, strict=True)
    }


@pytest.fixture
def root(tmp_path):
    for i in range(20):
        write_image(tmp_path / f"picture {i:02d}.png", 10 * i)
    return tmp_path


def test_a_folder_without_a_table_has_no_factors(root):
    train, test = load_splits(root)
    assert (len(train), len(test)) == (18, 2)
    assert train.images.shape == (18, 1, 16, 20), "grey images of one small size keep it"
    assert train.about == ()
    assert train.factors.shape == (18, 0)
    assert set(factors_by_shade([train, test])) == {10 * i for i in range(20)}


def test_a_table_gives_continuous_factors_and_classes(root):
    lines = ["size,file,colour,digit:class"]
    lines += [f"{0.5 * i},picture {i:02d}.png,{'red' if i % 2 else 'blue'},{10 - i % 3}" for i in range(20)]
    (root / "factors.csv").write_text("\n".join(lines) + "\n")
    splits = load_splits(root)
    descriptions = [str(factor) for factor in splits[0].about]
    assert descriptions == ["size (continuous)", "colour (blue; red)", "digit (8; 9; 10)"]
    for shade, row in factors_by_shade(splits).items():
        i = shade // 10
        np.testing.assert_array_equal(row, [0.5 * i, i % 2, 2 - i % 3])


def test_subfolders_are_a_class(tmp_path):
    for i in range(12):
        write_image(tmp_path / ("cats" if i % 3 else "dogs") / f"{i}.png", i * 20)
    splits = load_splits(tmp_path)
    assert str(splits[0].about[0]) == "subfolder (cats; dogs)"
    for shade, (label,) in factors_by_shade(splits).items():
        assert label == (shade // 20 % 3 == 0)


def test_one_colour_image_makes_all_colour_and_mixed_sizes_are_resized(root):
    write_image(root / "colour.jpg", (200, 0, 0), (300, 100), "RGB")
    train, test = load_splits(root)
    assert train.images.shape == (19, 3, 64, 64)
    assert len(test) == 2
    assert load_splits(root, resolution=(32, 48))[0].images.shape[2:] == (32, 48)


def test_large_photographs_are_resized_to_64_pixels(tmp_path):
    for i in range(3):
        write_image(tmp_path / f"{i}.jpg", 40 * i, (640, 480))
    assert data.load("folder", root=tmp_path).images.shape == (2, 1, 64, 64)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("L", (40, 20), 0)
    image.paste(255, (0, 0, 20, 20))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise: the left half becomes the upper half
    for i in range(2):
        image.save(tmp_path / f"{i}.jpg", exif=exif)
    (upright,) = data.load("folder", root=tmp_path, resolution=(40, 20)).images
    assert upright[0, :18].min() > 240
    assert upright[0, 22:].max() < 15


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "is empty: it needs a line of column names, one of them 'file'"),
        ("file,size\n\n", "is empty: it needs a line of column names, one of them 'file'"),
        ("name,size\nx,1\n", "has no column 'file': add one"),
        ("file,,size\nx,1,2\n", "has a column without a name: name it"),
        ("file,size,size:class\nx,1,2\n", "has two columns named 'size': rename one"),
        ("file,size\nx,1\n\nx,2\n", "lists x twice, in lines 2 and 4"),
        ("file,size\nx,1,\n", "has 3 cells in line 2, but 2 columns"),
        ('file,size\n"x,1\n', "cannot be read as CSV"),
        (
            "file,size\n" + "".join(f"picture {i:02d}.png,{'nan' if i == 3 else i}\n" for i in range(20)),
            "has size = nan in line 5: use a finite number, or rename the column to size:class",
        ),
        ("file,size\npicture 00.png,1\n", r"has no row for picture 01\.png and 18 more images"),
        (
            "file,size\n" + "".join(f"picture {i:02d}.png,{'' if i == 3 else i}\n" for i in range(20)),
            "has no value for size in line 5",
        ),
    ],
)
def test_the_error_names_a_wrong_table(root, table, complaint):
    (root / "factors.csv").write_text(table)
    with pytest.raises(InputError, match=rf"factors\.csv {complaint}"):
        data.load("folder", root=root)


def test_a_folder_needs_at_least_two_images(tmp_path):
    with pytest.raises(InputError, match=r"no images in .*--data-root or \$VITAE_DATA\.$"):
        data.load("folder", root=tmp_path)
    write_image(tmp_path / "one.png", 1)
    with pytest.raises(InputError, match="has one image, but training and testing need at least one each"):
        data.load("folder", root=tmp_path)
    with pytest.raises(InputError, match=r"in .*one.png: expected"):
        data.load("folder", root=tmp_path / "one.png")


def test_one_error_names_all_files_that_are_not_images(root):
    for i in (1, 2):
        (root / f"picture {i:02d}.png").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"2 of 18 images in .* cannot be read: picture 01\.png \("):
        data.load("folder", root=root, seed=next(s for s in range(50) if {1, 2} <= training_indices(s)))


def training_indices(seed):
    import torch

    from vitae.support.randomness import generator

    return set(torch.randperm(20, generator=generator("cpu", seed, "folder split"))[2:].tolist())


def test_the_data_root_of_all_datasets_is_not_read(root, monkeypatch):
    monkeypatch.setenv("VITAE_DATA", str(root))
    with pytest.raises(InputError, match="dataset folder reads a folder of your own images: name it"):
        data.load("folder")


def test_a_table_may_have_quotes_and_blank_lines(root):
    lines = ["file,note:class"]
    lines += [f'picture {i:02d}.png,"a, {i % 2}"\n' for i in range(20)]
    (root / "factors.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    assert load_splits(root)[0].about[0].values == ("a, 0", "a, 1")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    for i in range(2):
        Image.fromarray(ramp).save(tmp_path / f"{i}.{suffix}")
    (image,) = data.load("folder", root=tmp_path).images
    np.testing.assert_allclose(image[0].numpy().ravel(), np.arange(256), atol=1)


def test_the_error_names_files_with_32_bits(tmp_path):
    for i in range(2):
        Image.fromarray(np.ones((16, 16), np.float32)).save(tmp_path / f"{i}.tif")
    with pytest.raises(InputError, match=r"32 bits per pixel: save it with 8 or 16"):
        data.load("folder", root=tmp_path)


def test_transparency_becomes_white(tmp_path):
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, 8:] = (200, 0, 0, 255)
    for i in range(2):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (image,) = data.load("folder", root=tmp_path).images
    assert image[:, :, :8].min() == 255
    assert image[:, 4, 12].tolist() == [200, 0, 0]


def test_small_rotated_images_keep_their_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(2):
        Image.new("L", (40, 20), 90).save(tmp_path / f"{i}.jpg", exif=exif)
    assert data.load("folder", root=tmp_path).images.shape == (1, 1, 40, 20)


def test_a_damaged_file_in_the_other_split_does_not_matter(root):
    before = data.load("folder", root=root)
    (test_index,) = set(range(20)) - training_indices(0) - {min(set(range(20)) - training_indices(0))}
    (root / f"picture {test_index:02d}.png").write_bytes(b"")
    after = data.load("folder", root=root)
    assert (after.images == before.images).all()


def test_links_are_followed_and_cycles_end(tmp_path):
    for i in range(3):
        write_image(tmp_path / "elsewhere" / f"{i}.png", i)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "cycle").symlink_to(tmp_path / "root")
    train, test = load_splits(tmp_path / "root")
    assert len(train) + len(test) == 3


def test_every_crop_lies_inside_its_image():
    """A box slightly outside the image, from rounding, used to make photographs unreadable."""
    from vitae.data import celeba, image_files

    for resolution in ((28, 28), (50, 50), (60, 80), (100, 30), (60, 36)):
        for width, height in ((29, 822), (224, 224), (3000, 2000), (178, 218), (89, 109)):
            for crop in (image_files.central_crop(*resolution), celeba._face_crop(resolution)):
                left, top, right, bottom = crop(width, height)
                assert left > -1e-9
                assert top > -1e-9
                assert right < width + 1e-9
                assert bottom < height + 1e-9
                assert (bottom - top) / (right - left) == pytest.approx(resolution[0] / resolution[1])


@pytest.mark.parametrize(
    ("size", "resolution"), [((29, 822), (28, 28)), ((224, 224), (50, 50)), ((300, 200), (60, 80))]
)
def test_photographs_of_unusual_proportions_are_read(tmp_path, size, resolution):
    for i in range(2):
        write_image(tmp_path / f"{i}.png", 70, size)
    assert (data.load("folder", root=tmp_path, resolution=resolution).images == 70).all()


def test_the_cache_tells_folders_with_equal_names_sizes_and_times_apart(tmp_path, monkeypatch):
    """By their inodes: after unpacking an archive, names, sizes and modification times can all be equal."""
    import os

    monkeypatch.setattr(cache, "_MIN_IMAGES", 1)
    for name, shade in (("a", 10), ("b", 200)):
        for i in range(3):
            path = tmp_path / name / f"{i}.bmp"
            write_image(path, shade, (8, 8))
            os.utime(path, ns=(0, 0))
    for name, shade in (("a", 10), ("b", 200), ("a", 10)):
        assert (data.load("folder", root=tmp_path / name).images == shade).all()


def test_a_preview_draws_all_images_of_a_small_folder(root, tmp_path, capsys):
    from vitae.cli.main import main

    sheet = tmp_path / "out" / "sheet.png"
    assert main(["data", "folder", "--data-root", str(root), "--preview", str(sheet)]) == 0
    assert "18 images" in capsys.readouterr().out
    assert main(["data", "folder", "--data-root", str(root), "--preview", str(sheet), "--size", "50"]) == 2
    assert "50 train images" in capsys.readouterr().err


def test_a_pipe_among_the_images_is_named_and_not_waited_for(root):
    os.mkfifo(root / "pipe.png")
    with pytest.raises(InputError, match=r"1 of \d+ images .* cannot be read: pipe.png \(cannot read .*: it is a pipe"):
        load_splits(root)


def test_a_pipe_in_place_of_the_table_is_refused(root):
    os.mkfifo(root / "factors.csv")
    with pytest.raises(InputError, match=r"factors\.csv: it is a pipe"):
        load_splits(root)


@pytest.mark.parametrize("cell", ["\x1b[31mred", "two\nlines"])
def test_control_characters_in_the_table_are_refused(root, cell):
    """They would reach terminals and records."""
    (root / "factors.csv").write_text(f'file,"{cell}"\npicture 00.png,1\n')
    with pytest.raises(InputError, match=r"control characters in line [12] \(.*\\x"):
        load_splits(root)


def test_names_that_are_not_utf_8_become_labels_with_escapes(tmp_path):
    for i in range(20):
        write_image(tmp_path / os.fsdecode(b"\xff" if i % 2 else b"\xfe") / f"{i}.png", i * 10)
    train, _ = load_splits(tmp_path)
    assert train.about[0].values == (r"\xfe", r"\xff")
