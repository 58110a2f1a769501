"""Datasets as training and evaluation take them."""

import dataclasses

import numpy as np
import pytest
import torch

from vitae import configure, data
from vitae.experiments.run_data import load_data


@pytest.fixture(scope="module")
def bodies():
    return data.load("smpl", "train", source="embedded", size=60, resolution=(16, 16))


def test_an_epoch_is_every_image_once_in_an_order_of_its_own(bodies):
    epochs = [bodies.epoch(seed, number) for seed, number in ((0, 0), (0, 1), (1, 0), (0, 0))]
    whole = [epoch[0:60] for epoch in epochs]
    for images in whole:
        assert torch.equal(images.flatten(1).sort(0).values, bodies.images.flatten(1).sort(0).values)
        assert images.sum() == bodies.images.sum()
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[0], whole[2])
    assert torch.equal(whole[0], whole[3])
    assert torch.equal(torch.cat([epochs[0][0:32], epochs[0][32:64]]), whole[0]), "batches cut one order"


def test_rows_keep_images_and_factors_together(bodies):
    part = bodies.rows(slice(10, 20))
    assert torch.equal(part.images, bodies.images[10:20])
    np.testing.assert_array_equal(part.factors, bodies.factors[10:20])
    assert part.shape == (1, 16, 16)
    assert part.observe(0, "test perspective") is part


def test_a_fingerprint_changes_with_a_pixel_and_with_a_factor(bodies):
    other = bodies.rows(slice(None))
    assert other.fingerprint() == bodies.fingerprint()
    other.images[59, 0, 3, 3] += 1
    assert other.fingerprint() != bodies.fingerprint()
    other = dataclasses.replace(bodies, factors=bodies.factors + np.eye(60, 2, -58) * 1e-9)
    assert other.fingerprint() != bodies.fingerprint()


@pytest.mark.parametrize("dataset", ["dsprites", "smpl", "celeba"])
def test_every_experiment_has_training_and_test_images_of_its_profile(dataset):
    configuration = configure(dataset, "c-vitae", "smoke")
    found = load_data(configuration, None, "embedded")
    assert (len(found.train), len(found.held_out)) == (configuration.train_size, configuration.test_size)
    assert found.train.shape == found.held_out.shape
    held_out = load_data(configure(dataset, "c-vitae", "smoke", validation=True), None, "embedded")
    assert torch.equal(held_out.held_out.images, found.train.images[len(held_out.train) :])
