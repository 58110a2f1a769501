"""The nats that deformed templates leave: cases where the best deformation is known."""

import pytest
import torch

from vitae import Affine, InputError
from vitae.evaluation.deformation import nats_left
from vitae.models.likelihoods import Bernoulli


def blob(x, y):
    """A bright spot of the image, whose centre is (x, y) in [-1, 1]."""
    line = torch.linspace(-1, 1, 24)
    distance = (line[None, :] - x) ** 2 + (line[:, None] - y) ** 2
    return (0.1 + 0.8 * torch.exp(-distance / 0.04))[None].mul(255).round().byte()


# Two rows that move along x and y, three columns: how far.
MOVES = (-0.2, 0.0, 0.2)
IMAGES = torch.stack([torch.stack([blob(m, 0) for m in MOVES]), torch.stack([blob(0, m) for m in MOVES])])


def test_without_a_deformation_the_best_templates_are_the_means():
    x = IMAGES.float() / 255
    means = x.mean(1, keepdim=True).expand_as(x).flatten(0, 1)
    pixels = Bernoulli()
    expected = (pixels.log_prob(x.flatten(0, 1), x.flatten(0, 1)) - pixels.log_prob(x.flatten(0, 1), means)).mean()
    assert nats_left(IMAGES, None, shared=True, steps=300) == pytest.approx(expected.item(), rel=1e-2)


def test_a_deformation_of_its_own_for_each_image_leaves_less_than_one_for_all_rows():
    """A shared motion cannot go along x for one row and along y for the other."""
    none, shared, own = (
        nats_left(IMAGES, transformation, shared=each, steps=300)
        for transformation, each in ((None, True), (Affine(), True), (Affine(), False))
    )
    assert own < 0.2 * shared
    assert shared < none
    # Rows that move alike lose nothing by sharing.
    alike = IMAGES[:1].repeat(2, 1, 1, 1, 1)
    assert nats_left(alike, Affine(), shared=True) == pytest.approx(nats_left(alike, Affine(), shared=False), abs=1e-3)


def test_images_must_be_a_table_of_images():
    with pytest.raises(InputError, match="rows x columns x channels x height x width, got"):
        nats_left(IMAGES[0], None, shared=True)
