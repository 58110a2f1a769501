"""Properties that all datasets share."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from vitae import InputError, data
from vitae.data import DATASETS

RENDERED = ["mnist", "dsprites", "smpl", "celeba", "shapes3d"]


def unique_images(images):
    return {image.numpy().tobytes() for image in images}


@pytest.fixture(params=RENDERED)
def name(request):
    return request.param


def test_an_embedded_dataset_has_consistent_images_factors_and_source(name):
    dataset = data.load(name, "train", size=20)
    assert dataset.source.kind == "embedded"
    assert dataset.licence
    assert dataset.citation
    assert dataset.images.dtype == torch.uint8
    assert dataset.images.ndim == 4
    assert len(dataset) == len(dataset.factors) == 20
    assert dataset.factors.dtype == np.float64
    assert dataset.factors.shape[1] == len(dataset.about) == len(set(dataset.names))
    for factor in dataset.about:
        column = dataset.factor(factor.name)
        if factor.kind == "class":
            assert set(column) <= set(range(len(factor.values)))
        elif factor.values is not None:
            assert set(column) <= set(factor.values)
        assert len(set(column)) > 1, f"{factor.name} is the same in all images"


def test_a_smaller_size_is_a_prefix_and_another_seed_differs(name):
    few, more, other = (data.load(name, size=size, seed=seed) for size, seed in ((6, 3), (15, 3), (15, 4)))
    assert torch.equal(few.images, more.images[:6])
    np.testing.assert_array_equal(few.factors, more.factors[:6])
    assert not torch.equal(more.images, other.images)


def test_images_do_not_depend_on_threads_and_blocks(name, monkeypatch):
    one_thread = data.load(name, size=40).images
    torch.set_num_threads(3)
    try:
        monkeypatch.setattr(data.cache, "_BLOCK", 7)
        assert torch.equal(data.load(name, size=40).images, one_thread)
    finally:
        torch.set_num_threads(1)


def test_train_and_test_splits_are_disjoint(name):
    train, test = (data.load(name, split, size=300) for split in ("train", "test"))
    assert not {tuple(row) for row in train.factors} & {tuple(row) for row in test.factors}
    # In dSprites the first and last orientation look the same, as published; for bodies see the next test.
    if name not in ("dsprites", "smpl"):
        assert not unique_images(train.images) & unique_images(test.images)


def test_bodies_follow_the_protocol_of_the_paper():
    """All 10,000 shapes differ, but some by so little that their images are equal."""
    train, test = data.load("smpl", "train"), data.load("smpl", "test")
    assert (len(train), len(test)) == (8_000, 2_000)
    shapes = np.concatenate([train.factor("shape"), test.factor("shape")])
    assert len(set(shapes)) == 10_000
    assert (shapes.min(), shapes.max()) == (pytest.approx(0, abs=0.001), pytest.approx(1.25, abs=0.001))
    assert np.bincount(train.factor("pose").astype(int)).min() > 1_800
    assert len(unique_images(train.images) & unique_images(test.images)) < 400


def test_traversals_change_the_image_in_each_row(name):
    for label, images in DATASETS[name].traversals(5):
        assert images.dtype == torch.uint8
        assert len(images) == 5
        assert len(unique_images(images)) > 1, f"{label} does not change the image"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"name": "dsprite"}, "unknown dataset 'dsprite'. Did you mean 'dsprites'?"),
        ({"name": "smpl", "split": "valid"}, "unknown split 'valid'"),
        ({"name": "smpl", "source": "web"}, "unknown source 'web'"),
        ({"name": "smpl", "size": 0}, "size must be a whole number of 1 or more, got 0"),
        ({"name": "smpl", "seed": -1}, "seed must be a whole number of 0 or more, got -1"),
        ({"name": "smpl", "resolution": 64}, "resolution must be a pair, height and width, got 64"),
        ({"name": "smpl", "resolution": (4, 64)}, "resolution must be a whole number of 8 or more, got 4"),
        ({"name": "smpl", "resolution": (64, 9999)}, "resolution must be at most 1,024 pixels a side, got 9,999"),
        ({"name": "dsprites", "resolution": (64, 32)}, "rendered on squares, not at 64 x 32"),
        ({"name": "shapes3d", "resolution": (32, 32)}, "rendered at 64 x 64 pixels, not at 32 x 32"),
        ({"name": "mnist", "resolution": (32, 32)}, "MNIST has 28 x 28 pixels"),
        ({"name": "smpl", "source": "data-root"}, "source data-root needs a folder"),
        (
            {"name": "smpl", "source": "download"},
            "cannot be downloaded by vitae: name a folder with an SMPL",
        ),
        (
            {"name": "dsprites", "size": 700_000},
            "700,000 train images of dSprites were requested, but there are only 663,552",
        ),
        ({"name": "folder"}, "dataset folder reads a folder of your own images: name it with --data-root"),
    ],
)
def test_invalid_arguments_are_input_errors(arguments, complaint):
    with pytest.raises(InputError) as error:
        data.load(**arguments)
    assert complaint in str(error.value)


@pytest.mark.parametrize("name", ["mnist", "dsprites", "smpl", "celeba", "shapes3d", "folder"])
def test_a_named_root_must_hold_the_dataset(name, tmp_path):
    with pytest.raises(InputError, match=f"no .* in {tmp_path}: expected .*--data-root or \\$VITAE_DATA"):
        data.load(name, root=tmp_path)


def test_the_root_from_the_environment_may_lack_the_dataset(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VITAE_DATA", str(tmp_path))
    assert data.load(name, size=2).source.kind == "embedded"
    assert f"in {tmp_path} ($VITAE_DATA): trying other sources." in capsys.readouterr().err
    monkeypatch.setenv("VITAE_DATA", str(tmp_path / "mistyped"))
    with pytest.raises(InputError, match=r"there is no file or folder .*mistyped: name another"):
        data.load(name, size=2)


def test_availability_without_a_data_root(name):
    lines = DATASETS[name].availability()
    assert lines[0] == "data-root: not set (use --data-root or $VITAE_DATA)"
    assert lines[-1].startswith("embedded: ")


def test_an_unknown_factor_suggests_the_nearest_name():
    with pytest.raises(InputError, match=r"unknown factor 'poses'. Did you mean 'pose'?"):
        data.load("smpl", size=2).factor("poses")


def test_importing_is_fast_and_imports_no_optional_package():
    program = """
import time, torch
started = time.process_time()
import vitae.data, sys
seconds = time.process_time() - started
optional = [m for m in ("numba", "h5py", "PIL", "torchvision", "mlxtend", "sklearn") if m in sys.modules]
print(seconds < 2, optional)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "True []"


def test_without_numba_the_error_says_what_to_install():
    program = """
import sys
sys.modules["numba"] = None
import vitae.data
try:
    vitae.data.load("smpl", size=1)
except vitae.InputError as error:
    print(error)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.startswith(
        "rendering and boosted trees need numba, which is not installed: run 'pip install numba'"
    )


def test_every_dataset_has_an_experiment():
    from vitae.experiments.declaration import EXPERIMENTS

    assert set(EXPERIMENTS) == set(DATASETS)


def test_the_docstring_example_runs():
    import doctest

    assert doctest.testmod(data).attempted == 3
    assert doctest.testmod(data).failed == 0
