import numpy as np
import pytest
from PIL import Image

from vitae import InputError, data


def picture(path, shade, size=(20, 16), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, shade).save(path)


def both(root, **request):
    return [data.load("folder", split, root=root, **request) for split in ("train", "test")]


def by_shade(parts):
    """Shade -> factors, over both parts; images are of one shade each."""
    return {
        int(image.flatten()[0]): row for part in parts for image, row in zip(part.images, part.factors, strict=True)
    }


@pytest.fixture
def root(tmp_path):
    for i in range(20):
        picture(tmp_path / f"picture {i:02d}.png", 10 * i)
    return tmp_path


def test_images_without_a_table(root):
    train, test = both(root)
    assert (len(train), len(test)) == (18, 2)
    assert train.images.shape == (18, 1, 16, 20), "grey, at their own size"
    assert train.about == ()
    assert train.factors.shape == (18, 0)
    assert set(by_shade([train, test])) == {10 * i for i in range(20)}


def test_a_table_gives_continuous_factors_and_classes(root):
    lines = ["size,file,colour,digit:class"]
    lines += [f"{0.5 * i},picture {i:02d}.png,{'red' if i % 2 else 'blue'},{10 - i % 3}" for i in range(20)]
    (root / "factors.csv").write_text("\n".join(lines) + "\n")
    parts = both(root)
    assert [str(factor) for factor in parts[0].about] == ["size (continuous)", "colour (blue; red)", "digit (8; 9; 10)"]
    for shade, row in by_shade(parts).items():
        i = shade // 10
        np.testing.assert_array_equal(row, [0.5 * i, i % 2, 2 - i % 3])


def test_subfolders_are_a_class(tmp_path):
    for i in range(12):
        picture(tmp_path / ("cats" if i % 3 else "dogs") / f"{i}.png", i * 20)
    parts = both(tmp_path)
    assert str(parts[0].about[0]) == "subfolder (cats; dogs)"
    for shade, (label,) in by_shade(parts).items():
        assert label == (shade // 20 % 3 == 0)


def test_colour_anywhere_makes_all_colour_and_sizes_are_brought_together(root):
    picture(root / "colour.jpg", (200, 0, 0), (300, 100), "RGB")
    train, test = both(root)
    assert train.images.shape == (19, 3, 64, 64)
    assert len(test) == 2
    assert both(root, resolution=(32, 48))[0].images.shape[2:] == (32, 48)


def test_large_photographs_come_at_64_pixels(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.jpg", 40 * i, (640, 480))
    assert data.load("folder", root=tmp_path).images.shape == (2, 1, 64, 64)


def test_a_photograph_turned_by_its_camera_is_turned_back(tmp_path):
    image = Image.new("L", (40, 20), 0)
    image.paste(255, (0, 0, 20, 20))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the left half is above
    for i in range(2):
        image.save(tmp_path / f"{i}.jpg", exif=exif)
    (found,) = data.load("folder", root=tmp_path, resolution=(40, 20)).images
    assert found[0, :18].min() > 240
    assert found[0, 22:].max() < 15


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "has no rows, or no column 'file'"),
        ("name,size\nx,1\n", "has no rows, or no column 'file'"),
        ("file,size\npicture 00.png,1\n", r"has no row for picture 01\.png and 18 more images"),
        (
            "file,size\n" + "".join(f"picture {i:02d}.png,{'' if i == 3 else i}\n" for i in range(20)),
            "has no value for size in line 5",
        ),
        ("file,size\n" + "".join(f"picture {i:02d}.png\n" for i in range(20)), "has no value for size in line 2"),
    ],
)
def test_a_wrong_table_is_named(root, table, complaint):
    (root / "factors.csv").write_text(table)
    with pytest.raises(InputError, match=rf"factors\.csv {complaint}"):
        data.load("folder", root=root)


def test_an_empty_folder_a_file_and_one_image_are_not_enough(tmp_path):
    with pytest.raises(InputError, match=r"no your own images under|no images of yours under"):
        data.load("folder", root=tmp_path)
    picture(tmp_path / "one.png", 1)
    with pytest.raises(InputError, match="holds one image, and some are needed to train and some to test"):
        data.load("folder", root=tmp_path)
    with pytest.raises(InputError, match=r"under .*one.png: looked for"):
        data.load("folder", root=tmp_path / "one.png")


def test_files_that_are_no_images_are_named_at_once(root):
    for i in (1, 2):
        (root / f"picture {i:02d}.png").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"2 of 18 images under .* cannot be read: picture 01\.png \("):
        data.load("folder", root=root, seed=next(s for s in range(50) if {1, 2} <= trained(s)))


def trained(seed):
    import torch

    from vitae.randomness import generator

    return set(torch.randperm(20, generator=generator("cpu", seed, "folder split"))[2:].tolist())


def test_other_datasets_data_root_is_not_mixed_in(root, monkeypatch):
    monkeypatch.setenv("VITAE_DATA", str(root))
    with pytest.raises(InputError, match="dataset folder is a folder of yours: name it"):
        data.load("folder")
