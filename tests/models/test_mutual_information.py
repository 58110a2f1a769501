"""The mutual information of two spaces by a discriminator: its closed form, and what each loss trains."""

import math

import pytest
import torch
from torch import nn
from trained_parts import estimate_of_trained_discriminator, parts_trained_by

from vitae import configure
from vitae.experiments.build import build
from vitae.models import objectives
from vitae.models.gaussian import Gaussian
from vitae.models.networks import perceptron
from vitae.support.randomness import generator

SHAPE = (1, 12, 12)


def model_of(row, **changes):
    return build(configure("dsprites", row, "smoke", **changes), SHAPE)


@pytest.mark.parametrize("row", ["c-vitae-mi", "archetypes-mi"])
def test_each_loss_trains_its_own_part(row):
    model = model_of(row)
    output = model(torch.rand(20, *SHAPE, generator=generator("cpu", 0, "images")), generator("cpu", 0, "noise"))
    assert parts_trained_by(output.terms["discriminator"], model) == {"discriminator"}
    trained = parts_trained_by(output.terms["mutual_information"], model)
    # The choice among templates is a draw without a gradient.
    assert {"encoder_P"} <= trained <= {"encoder_A", "encoder_P", "decoder_P"}


@pytest.mark.parametrize("row", ["c-vitae-mi", "archetypes-mi"])
def test_without_weight_the_objective_is_that_of_the_model_and_the_discriminators_own(row):
    model = model_of(row)
    output = model(torch.rand(20, *SHAPE, generator=generator("cpu", 0, "images")), generator("cpu", 0, "noise"))
    terms = output.terms
    if row == "c-vitae-mi":
        loss, without = objectives.mi, objectives.elbo(output, kl_weight=0.5)
    else:

        def loss(*arguments, **weights):
            return objectives.held_mi(*arguments, hold=3.0, **weights)

        without = objectives.held(output, hold=3.0, kl_weight=0.5)
    torch.testing.assert_close(loss(output, gamma=0.0, kl_weight=0.5), without + terms["discriminator"])
    difference = loss(output, gamma=4.0, kl_weight=0.5) - loss(output, gamma=0.0, kl_weight=0.5)
    torch.testing.assert_close(difference, 2 * terms["mutual_information"])


class PixelsAsCodes(nn.Module):
    """The posterior of a space has pixels mixed by a matrix as mean, and almost no variance."""

    def __init__(self, *rows):
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, x):
        mean = x.flatten(1)[:, : self.rows.shape[1]] @ self.rows.T
        return Gaussian(mean, torch.full_like(mean, -20.0))


@pytest.mark.parametrize(("correlation", "seed"), [(0.8, 0), (0.0, 1)])
def test_it_converges_to_the_closed_form_and_does_not_count_what_is_within_a_space(correlation, seed):
    model = model_of("c-vitae-mi", appearance=2, perspective=1).float()
    rest = math.sqrt(1 - correlation**2)
    # Both latents of z_A are correlated; z_P with the first of them or with none.
    model.encoder_A = PixelsAsCodes([1.0, 0.0, 0.0], [0.9, math.sqrt(1 - 0.9**2), 0.0])
    model.encoder_P = PixelsAsCodes([correlation, 0.0, rest])
    model.conditional = False
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.discriminator = perceptron(3, (64, 64), 1)
    random = generator("cpu", seed, "images")
    estimate = estimate_of_trained_discriminator(model, "mutual_information", SHAPE, random)
    assert estimate == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.07)
