"""`Dataset` as training and evaluation use it."""

import dataclasses

import numpy as np
import pytest
import torch

from vitae import configure, data
from vitae.experiments.run_data import load_data


@pytest.fixture(scope="module")
def bodies():
    return data.load("smpl", "train", source="embedded", size=60, resolution=(16, 16))


def test_an_epoch_has_each_image_once_in_a_new_order(bodies):
    epochs = [bodies.epoch(seed, number) for seed, number in ((0, 0), (0, 1), (1, 0), (0, 0))]
    shuffled = [epoch[0:60] for epoch in epochs]
    for images in shuffled:
        assert torch.equal(images.flatten(1).sort(0).values, bodies.images.flatten(1).sort(0).values)
        assert images.sum() == bodies.images.sum()
    assert not torch.equal(shuffled[0], shuffled[1])
    assert not torch.equal(shuffled[0], shuffled[2])
    assert torch.equal(shuffled[0], shuffled[3])
    assert torch.equal(torch.cat([epochs[0][0:32], epochs[0][32:64]]), shuffled[0]), "batches must share one order"


def test_rows_selects_images_with_their_factors(bodies):
    subset = bodies.rows(slice(10, 20))
    assert torch.equal(subset.images, bodies.images[10:20])
    np.testing.assert_array_equal(subset.factors, bodies.factors[10:20])
    assert subset.shape == (1, 16, 16)
    assert subset.observe(0, "test perspective") is subset


def test_a_fingerprint_changes_with_a_pixel_and_with_a_factor(bodies):
    other = bodies.rows(slice(None))
    assert other.fingerprint() == bodies.fingerprint()
    other.images[59, 0, 3, 3] += 1
    assert other.fingerprint() != bodies.fingerprint()
    other = dataclasses.replace(bodies, factors=bodies.factors + np.eye(60, 2, -58) * 1e-9)
    assert other.fingerprint() != bodies.fingerprint()


@pytest.mark.parametrize("dataset", ["dsprites", "smpl", "celeba"])
def test_an_experiment_loads_as_many_images_as_its_profile_says(dataset):
    configuration = configure(dataset, "c-vitae", "smoke")
    loaded = load_data(configuration, None, "embedded")
    assert (len(loaded.train), len(loaded.held_out)) == (configuration.train_size, configuration.test_size)
    assert loaded.train.shape == loaded.held_out.shape
    validation = load_data(configure(dataset, "c-vitae", "smoke", validation=True), None, "embedded")
    assert torch.equal(validation.held_out.images, loaded.train.images[len(validation.train) :])
