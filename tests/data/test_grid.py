"""dSprites and 3D Shapes: addressing, sampling by factor, and reading (small versions of) the published files."""

import dataclasses

import numpy as np
import pytest
import torch

from vitae import InputError, data
from vitae.data import DATASETS, cache, dsprites, shapes3d

GRIDS = {name: DATASETS[name].grid(source="embedded") for name in ("dsprites", "shapes3d")}


@pytest.fixture(params=GRIDS)
def grid(request):
    return GRIDS[request.param]


def test_the_grids_have_the_published_sizes():
    assert GRIDS["dsprites"].sizes == (3, 6, 40, 32, 32)
    assert GRIDS["shapes3d"].sizes == (10, 10, 10, 8, 4, 15)
    assert len(GRIDS["dsprites"]) == 737_280
    assert len(GRIDS["shapes3d"]) == 480_000


def test_index_and_positions_are_inverse(grid):
    index = np.arange(0, len(grid), 997)
    np.testing.assert_array_equal(grid.index(grid.positions(index)), index)
    np.testing.assert_array_equal(grid.positions(np.array([0, 1]))[:, -1], [0, 1], "the last factor changes fastest")
    np.testing.assert_array_equal(grid.positions(np.array([len(grid) - 1]))[0], np.array(grid.sizes) - 1)


@pytest.mark.parametrize("index", [[-1], [10**6], [0.5]])
def test_invalid_indices_are_refused(grid, index):
    with pytest.raises(InputError, match="indices must be whole numbers from 0 to"):
        grid.positions(np.array(index))


def test_values_are_indices_of_classes_and_values_of_continuous_factors(grid):
    positions = grid.positions(np.arange(0, len(grid), 9973))
    values = grid.values(positions)
    for column, factor in enumerate(grid.factors):
        if factor.kind == "class":
            np.testing.assert_array_equal(values[:, column], positions[:, column])
        else:
            np.testing.assert_array_equal(values[:, column], np.array(factor.values)[positions[:, column]])


def test_factors_have_the_published_values():
    by_name = {factor.name: factor.values for factor in GRIDS["dsprites"].factors}
    np.testing.assert_allclose(by_name["scale"], np.linspace(0.5, 1, 6))
    np.testing.assert_allclose(by_name["orientation"], np.linspace(0, 2 * np.pi, 40))
    np.testing.assert_allclose(by_name["x"], np.linspace(0, 1, 32))
    by_name = {factor.name: factor.values for factor in GRIDS["shapes3d"].factors}
    np.testing.assert_allclose(by_name["scale"], np.linspace(0.75, 1.25, 8))
    np.testing.assert_allclose(by_name["orientation"], np.linspace(-30, 30, 15))


def test_the_grids_and_their_renderers_agree_on_the_values():
    from vitae.data.rendering import room, sprites

    assert dsprites.FACTORS[0].values == sprites.SHAPES
    values = {factor.name: factor.values for factor in shapes3d.FACTORS}
    assert (values["shape"], values["floor_hue"]) == (room.SHAPES, room.HUES)
    assert (values["scale"], values["orientation"]) == (room.SCALES, room.ORIENTATIONS)


def test_samples_are_uniform_except_for_fixed_factors(grid, generator):
    drawn = grid.sample(2_000, generator)
    for column, size in enumerate(grid.sizes):
        counts = np.bincount(drawn[:, column], minlength=size)
        # Within about five standard deviations of uniform.
        assert np.abs(counts - 2_000 / size).max() < 5 * np.sqrt(2_000 / size)
    fixed = grid.sample(50, generator, **{grid.factors[-1].name: 3})
    assert set(fixed[:, -1]) == {3}
    assert len(set(fixed[:, -2])) > 2


@pytest.mark.parametrize(
    ("fixed", "complaint"),
    [
        ({"colour": 0}, "unknown factor 'colour'"),
        ({"scale": 99}, "scale has indices 0 to"),
        ({"scale": -1}, "index of scale must"),
    ],
)
def test_sampling_with_an_invalid_fixed_factor_is_refused(grid, generator, fixed, complaint):
    with pytest.raises(InputError, match=complaint):
        grid.sample(3, generator, **fixed)


def test_grid_images_equal_those_of_the_dataset():
    loaded = data.load("dsprites", size=30)
    grid = GRIDS["dsprites"]
    positions = np.column_stack(
        [
            np.abs(np.subtract.outer(column, np.arange(size) if factor.kind == "class" else factor.values)).argmin(1)
            for column, factor, size in zip(loaded.factors.T, grid.factors, grid.sizes, strict=True)
        ]
    )
    assert torch.equal(grid.images(positions), loaded.images)


def test_the_splits_contain_each_combination_once(monkeypatch):
    """On a grid with two values per factor."""
    small = tuple(dataclasses.replace(factor, values=factor.values[:2]) for factor in dsprites.FACTORS)
    monkeypatch.setattr(dsprites, "FACTORS", small)
    train, test = (data.load("dsprites", split).factors for split in ("train", "test"))
    assert (len(train), len(test)) == (29, 3)
    assert len(np.unique(np.concatenate([train, test]), axis=0)) == 32


def small_dsprites(monkeypatch):
    """Shrink dSprites to two values per factor; returns its 32 rendered images as 0 and 1."""
    small = tuple(dataclasses.replace(factor, values=factor.values[:2]) for factor in dsprites.FACTORS)
    monkeypatch.setattr(dsprites, "FACTORS", small)
    monkeypatch.setattr(dsprites, "_SHAPE", (32, 64, 64))
    grid = DATASETS["dsprites"].grid(source="embedded")
    return (grid.images(grid.positions(np.arange(32)))[:, 0] // 255).numpy()


def test_the_published_dsprites_are_read(tmp_path, monkeypatch):
    pixels = small_dsprites(monkeypatch)
    pixels[:, 0, 0] = 1  # distinguishes the published images from rendered ones
    file = tmp_path / "dsprites" / dsprites._FILE
    file.parent.mkdir()
    np.savez_compressed(file, imgs=pixels, latents_values=np.zeros((32, 6)))
    for root in (tmp_path, tmp_path / "dsprites", file):
        published = data.load("dsprites", root=root)
        assert published.source.kind == "data-root"
        assert published.source.location == "dSprites, the published images"
        assert (published.images[:, 0, 0, 0] == 255).all()
        embedded = data.load("dsprites", source="embedded")
        assert torch.equal(published.images[:, :, 1:], embedded.images[:, :, 1:])
        np.testing.assert_array_equal(published.factors, embedded.factors)
    assert len(cache.entries()) == 1
    with pytest.raises(InputError, match="published at 64 x 64 pixels: choose --source embedded"):
        data.load("dsprites", root=tmp_path, resolution=(32, 32))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda file, pixels: np.savez_compressed(file, imgs=pixels[:-1]), r"its array imgs is uint8 \(31, 64, 64\)"),
        (lambda file, pixels: np.savez_compressed(file, images=pixels), "its array imgs is missing"),
        (lambda file, pixels: np.savez_compressed(file, imgs=pixels.astype(float)), "its array imgs is float64"),
        (lambda file, pixels: file.write_bytes(b"<html>quota exceeded</html>"), "damaged or truncated"),
    ],
)
def test_the_error_names_a_wrong_npz(tmp_path, monkeypatch, spoil, complaint):
    pixels = small_dsprites(monkeypatch)
    file = tmp_path / dsprites._FILE
    spoil(file, pixels)
    with pytest.raises(InputError, match=rf"{file} .*{complaint}"):
        data.load("dsprites", root=tmp_path)


def test_the_error_names_a_truncated_npz(tmp_path, monkeypatch):
    pixels = small_dsprites(monkeypatch)
    file = tmp_path / dsprites._FILE
    np.savez_compressed(file, imgs=pixels)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match=rf"{file} is damaged or truncated"):
        data.load("dsprites", root=tmp_path)
    assert cache.entries() == []


def small_shapes3d(monkeypatch, tmp_path):
    """Shrink 3D Shapes to two values per factor and write a published file with inverted images."""
    import h5py

    small = tuple(dataclasses.replace(factor, values=factor.values[:2]) for factor in shapes3d.FACTORS)
    monkeypatch.setattr(shapes3d, "FACTORS", small)
    monkeypatch.setattr(shapes3d, "_SIZES", (2,) * 6)
    monkeypatch.setattr(shapes3d, "_SHAPE", (64, 64, 64, 3))
    monkeypatch.setattr(shapes3d, "_READ_SPAN", 10)
    grid = DATASETS["shapes3d"].grid(source="embedded")
    images = grid.images(grid.positions(np.arange(64))).numpy().transpose(0, 2, 3, 1)
    file = tmp_path / shapes3d._FILE
    with h5py.File(file, "w") as archive:
        archive.create_dataset("images", data=255 - images, compression="gzip", chunks=(4, 64, 64, 3))
        archive.create_dataset("labels", data=np.zeros((64, 6)))
    return file


def test_the_published_3d_shapes_are_read(tmp_path, monkeypatch):
    file = small_shapes3d(monkeypatch, tmp_path)
    published, rendered = data.load("shapes3d", root=tmp_path), data.load("shapes3d", source="embedded")
    assert published.source.location == "3D Shapes, the published images"
    assert torch.equal(published.images, 255 - rendered.images)
    np.testing.assert_array_equal(published.factors, rendered.factors)
    # Repeated and unsorted positions, as scores draw them.
    grid = DATASETS["shapes3d"].grid(file)
    positions = grid.positions(np.array([63, 5, 5, 0, 63]))
    np.testing.assert_array_equal(
        grid.images(positions).numpy(), 255 - DATASETS["shapes3d"].grid(source="embedded").images(positions).numpy()
    )


def test_the_error_names_a_wrong_h5(tmp_path, monkeypatch):
    import h5py

    file = small_shapes3d(monkeypatch, tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=rf"{file} is not a complete HDF5 file"):
        data.load("shapes3d", root=tmp_path)
    for name, content, complaint in (
        ("pictures", np.zeros((64, 64, 64, 3), np.uint8), "its images are missing"),
        ("images", np.zeros((63, 64, 64, 3), np.uint8), r"its images are uint8 \(63, 64, 64, 3\)"),
        ("images", np.zeros((64, 64, 64, 3)), "its images are float64"),
    ):
        with h5py.File(file, "w") as archive:
            archive[name] = content
        with pytest.raises(InputError, match=rf"{file} is not the published 3D Shapes: {complaint}"):
            data.load("shapes3d", root=tmp_path)


def test_an_h5_that_leads_elsewhere_is_not_followed(tmp_path, monkeypatch):
    import h5py

    file, secret = small_shapes3d(monkeypatch, tmp_path), tmp_path / "secret"
    secret.write_bytes(bytes(64**4 * 3))
    other = tmp_path / "other.h5"
    file.rename(other)

    def external(archive):
        archive.create_dataset("images", (64, 64, 64, 3), np.uint8, external=[(secret, 0, 64**4 * 3)])

    def virtual(archive):
        layout = h5py.VirtualLayout((64, 64, 64, 3), np.uint8)
        layout[:] = h5py.VirtualSource(other, "images", (64, 64, 64, 3))
        archive.create_virtual_dataset("images", layout)

    for write, complaint in (
        (external, "it takes its images from other files"),
        (virtual, "it takes its images from other files"),
        (lambda archive: archive.__setitem__("images", h5py.ExternalLink(other, "images")), "its images are missing"),
        (lambda archive: archive.__setitem__("images", h5py.SoftLink("images")), "its images are missing"),
    ):
        with h5py.File(file, "w") as archive:
            write(archive)
        with pytest.raises(InputError, match=rf"{file} is not the published 3D Shapes: {complaint}"):
            data.load("shapes3d", root=tmp_path)


def test_without_h5py_the_error_says_what_to_install(tmp_path, monkeypatch):
    import sys

    (tmp_path / shapes3d._FILE).write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match="needs h5py: run 'pip install h5py', or choose --source embedded"):
        data.load("shapes3d", root=tmp_path)


def test_rendered_scenes_are_close_to_published_ones():
    """The mean absolute difference is 0.047 of [0, 1]; the published images come from an upscaled JPEG."""
    published, rendered = shapes3d.published_beside_ours()
    assert published.shape == rendered.shape == (18, 3, 64, 64)
    error = (published.float() - rendered.float()).abs() / 255
    assert 0.03 < error.mean() < 0.048
    # Pairs that do not belong together differ far more.
    assert (published.float() - rendered.roll(1, 0).float()).abs().mean() / 255 > 2 * error.mean()


@pytest.mark.parametrize(
    "positions",
    [[[0, 0, 0, 0]], [[9, 9, 99, 99, 99, 99]], [[-1] * 6], [[0.5] * 6], 3, [[0] * 7], [["a"] * 6]],
)
def test_invalid_positions_are_refused_before_rendering(positions):
    """An invalid scale used to make the compiled renderer read out of bounds."""
    for method in (GRIDS["shapes3d"].images, GRIDS["shapes3d"].values, GRIDS["shapes3d"].index):
        with pytest.raises(InputError, match="positions must be"):
            method(np.array(positions))


def test_positions_may_be_uint8_or_empty(grid):
    positions = grid.positions(np.array([len(grid) - 1, len(grid) // 2]))
    assert torch.equal(grid.images(positions.astype(np.uint8)), grid.images(positions))
    assert len(grid.images(positions[:0])) == 0


def test_numpy_integers_are_accepted(grid, generator):
    index = grid.positions(np.array([5]))[0, -1]
    drawn = grid.sample(np.int64(4), generator, **{grid.factors[-1].name: index})
    assert set(drawn[:, -1]) == {index}
    loaded = data.load("dsprites", size=np.int64(3), seed=np.int64(1), resolution=tuple(np.array([32, 32])))
    assert torch.equal(loaded.images, data.load("dsprites", size=3, seed=1, resolution=(32, 32)).images)
    with pytest.raises(InputError, match=r"random must be a torch\.Generator"):
        grid.sample(4, 0)
