"""FactorVAE, DeVAE, DiD and the capacity objective: what each part learns from, and closed forms."""

import itertools
import math

import pytest
import torch
from torch import nn

from vitae import InputError, configure
from vitae.experiments.build import build
from vitae.models import VAE, DeVAE, objectives
from vitae.models.base import Latents, Output
from vitae.models.did import contrast
from vitae.models.gaussian import Gaussian
from vitae.models.likelihoods import GaussianPixels
from vitae.models.networks import perceptron

SHAPE = (1, 12, 12)


def model_of(row, **changes):
    return build(configure("dsprites", row, "smoke", **changes), SHAPE).double()


@pytest.fixture
def images(generator):
    return torch.rand(24, *SHAPE, generator=generator, dtype=torch.float64)


def learned_from(loss, model):
    """The parts of a model that a loss has a gradient for."""
    names, weights = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    found = zip(names, gradients, strict=True)
    return {name.partition(".")[0] for name, gradient in found if gradient is not None and gradient.abs().max() > 0}


class WithConstant(nn.Module):
    """A decoder that gets a constant beside the code."""

    def __init__(self, decoder, constant):
        super().__init__()
        self.decoder, self.constant = decoder, constant

    def forward(self, z):
        return self.decoder(torch.cat([z, self.constant.expand(len(z), -1)], 1))


def test_devae_of_one_space_is_a_beta_vae_whose_decoder_gets_a_constant(images):
    three = model_of("devae")
    one = DeVAE(three.encoder, three.decoder, three.likelihood, 10, stages=1, embedding=8).double()
    plain = VAE(one.encoder, WithConstant(one.decoder, one.embeddings[0]), one.likelihood, 10)
    outputs = [model(images, torch.Generator().manual_seed(0)) for model in (one, plain)]
    losses = [
        objectives.decremental(outputs[0], kl_weight=0.7, beta_1=4.0),
        objectives.beta(outputs[1], kl_weight=0.7, beta=4.0),
    ]
    assert torch.equal(*losses)
    weights = list(one.encoder.parameters()) + list(one.decoder.parameters())
    for ours, theirs in zip(*(torch.autograd.grad(loss, weights) for loss in losses), strict=True):
        assert torch.equal(ours, theirs)


def test_devaes_spaces_agree_at_the_start_and_no_axis_gets_anything_of_another(images):
    model = model_of("devae")
    posterior = model.infer(images, None).posteriors["z"]
    for narrower in model.narrower(posterior):
        assert torch.equal(narrower.mean, posterior.mean)
        assert torch.equal(narrower.log_variance, posterior.log_variance)
    with torch.no_grad():
        model.log_factors.normal_()
        model.offsets.normal_()
    mean, log_variance = torch.randn(2, 1, 10, dtype=torch.float64)

    def last(mean, log_variance):
        found = model.narrower(Gaussian(mean, log_variance))[-1]
        return found.mean, found.log_variance

    slopes = torch.autograd.functional.jacobian(last, (mean, log_variance))
    factors = model.log_factors.sum(0).exp()
    torch.testing.assert_close(slopes[0][0].squeeze(), torch.diag(factors.detach()))
    assert slopes[0][1].count_nonzero() == slopes[1][0].count_nonzero() == 0
    torch.testing.assert_close(slopes[1][1].squeeze(), torch.eye(10, dtype=torch.float64))


def test_devaes_loss_is_that_of_each_space_under_its_own_beta(images):
    model = model_of("devae")
    with torch.no_grad():
        model.log_factors.normal_(std=0.3)
        model.offsets.normal_(std=0.3)
    output = model(images, torch.Generator().manual_seed(0))
    passes = (output, *output.further)
    assert len(passes) == 3
    expected = sum(
        beta * objectives.kl_to_prior(each).mean() - each.log_likelihood.mean()
        for beta, each in zip((1, 10, 40), passes, strict=True)
    )
    loss = objectives.decremental(output, beta_1=1.0, beta_2=10.0, beta_3=40.0)
    torch.testing.assert_close(loss, expected)
    assert learned_from(loss, model) == {"encoder", "decoder", "embeddings", "log_factors", "offsets"}
    # What is evaluated is space 0.
    assert torch.equal(output.mean, model.decode(output.latents.samples))
    for first, second in itertools.pairwise(passes):
        assert not torch.equal(first.mean, second.mean)


def test_devaes_betas_must_increase():
    assert len(model_of("devae-2").embeddings) == 2
    with pytest.raises(InputError, match="betas must increase from stage to stage, got 1, 50, 40"):
        configure("dsprites", "devae", "smoke", beta_2=50.0)


def test_factor_vaes_parts_learn_from_their_own_losses(images):
    model = model_of("factor-vae")
    output = model(images, torch.Generator().manual_seed(0))
    assert learned_from(output.terms["discriminator"], model) == {"discriminator"}
    assert learned_from(output.terms["total_correlation"], model) == {"encoder"}
    off = objectives.factor(output, gamma=0.0) - output.terms["discriminator"]
    torch.testing.assert_close(off, objectives.elbo(output))
    difference = objectives.factor(output, gamma=3.0, kl_weight=0.5) - objectives.factor(
        output, gamma=0.0, kl_weight=0.5
    )
    torch.testing.assert_close(difference, 1.5 * output.terms["total_correlation"])


class Correlated(nn.Module):
    """Two latents of a known correlation, whatever the image, without noise of their own."""

    def forward(self, x):
        first, second = x.flatten(1)[:, 0], x.flatten(1)[:, 1]
        mean = torch.stack([first, 0.8 * first + 0.6 * second], 1)
        return Gaussian(mean, torch.full_like(mean, -20.0))


def test_factor_vaes_estimate_of_a_gaussian_becomes_its_closed_form(generator):
    model = model_of("factor-vae", appearance=1, perspective=1).float()
    model.encoder, model.discriminator = Correlated(), perceptron(2, (64, 64), 1)
    optimiser, found = torch.optim.Adam(model.discriminator.parameters(), 2e-3), []
    for step in range(500):
        output = model(torch.randn(512, *SHAPE, generator=generator), generator)
        optimiser.zero_grad()
        output.terms["discriminator"].backward()
        optimiser.step()
        if step >= 400:
            found.append(float(output.terms["total_correlation"]))
    assert sum(found) / 100 == pytest.approx(-0.5 * math.log(1 - 0.8**2), abs=0.07)


def test_capacity_holds_the_kl_where_it_has_grown_to():
    mean = torch.tensor([[3.0, 0.0], [1.0, 2.0]])
    posterior = Gaussian(mean, torch.zeros_like(mean))
    output = Output(Latents({"z": posterior}, {"z": mean}), mean, torch.tensor([-7.0, -9.0]))
    # KL: 4.5 and 2.5, 3.5 on average.
    assert objectives.capacity(output, gamma=10.0, capacity=3.5) == pytest.approx(8.0)
    assert objectives.capacity(output, gamma=10.0, capacity=4.0) == pytest.approx(8.0 + 5.0)
    assert objectives.capacity(output, gamma=10.0, capacity=4.0, kl_weight=0.5) == pytest.approx(8.0 + 15.0)


def test_dids_parts_learn_from_their_own_losses(images):
    model = model_of("did")
    output = model(images, torch.Generator().manual_seed(0))
    assert {name: learned_from(loss, model) for name, loss in output.terms.items()} == {
        "critic": {"critic"},
        "penalty": {"critic"},
        "generator": {"decoder"},
        "difference": {"decoder", "difference"},
        "encoder": {"encoder"},
        "total_correlation": {"decoder"},
    }
    terms = output.terms
    without = objectives.difference(output, difference=0.0, independence=0.0, kl_weight=0.3)
    torch.testing.assert_close(without, terms["critic"] + 10 * terms["penalty"] + terms["generator"] + terms["encoder"])
    both = objectives.difference(output, difference=2.0, independence=5.0, kl_weight=0.3)
    torch.testing.assert_close(both - without, 0.6 * terms["difference"] + 1.5 * terms["total_correlation"])


def test_the_gradient_penalty_of_a_plane_is_that_of_its_slope(images):
    model = model_of("did")
    model.critic = nn.Sequential(nn.Flatten(), nn.Linear(144, 1)).double()
    length = model.critic[1].weight.norm()
    found = model(images, torch.Generator().manual_seed(0)).terms["penalty"]
    torch.testing.assert_close(found, (length - 1) ** 2)


def test_one_latent_changes_at_a_time(images):
    """The difference encoder sees a code's image and, to one size, how it changes when one latent is drawn anew."""
    model, seen = model_of("did"), []
    model.decoder = nn.Sequential(nn.Linear(10, 144, bias=False), nn.Unflatten(1, SHAPE)).double()
    model.likelihood = GaussianPixels()
    model.difference.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    model(images, torch.Generator().manual_seed(0))
    _, change = seen[0].chunk(2, dim=1)
    size = change.flatten(1).square().mean(1).sqrt()
    # All but the smallest changes are brought to size one.
    assert size.max() <= 1
    assert size.median() > 0.999
    moved = (change.flatten(1) @ torch.linalg.pinv(model.decoder[0].weight).T).abs() > 1e-6
    assert (moved.sum(1) == 1).all()
    assert moved.any(0).sum() > 5


def test_contrast_by_a_plain_loop(generator):
    embeddings = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    which = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 3])
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    losses = []
    for i in range(9):
        others = [j for j in range(9) if j != i]
        total = sum(math.exp(unit[i] @ unit[j] / 0.1) for j in others)
        alike = [math.log(math.exp(unit[i] @ unit[j] / 0.1) / total) for j in others if which[j] == which[i]]
        losses.append(-sum(alike) / len(alike) if alike else 0.0)
    changed = nn.functional.one_hot(which).double()
    assert float(contrast(embeddings, changed)) == pytest.approx(sum(losses) / 9)
    torn, apart = torch.roll(changed, 1, 0), changed
    assert contrast(apart, changed) < contrast(torn, changed)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("vae+factor", r"vae cannot be trained by factor: choose one of elbo, beta, beta-tc, dip-ii, capacity\."),
        ("did+elbo", r"did cannot be trained by elbo: choose one of difference\."),
        ("c-vitae+decremental", r"c-vitae cannot be trained by decremental"),
    ],
)
def test_an_objective_of_one_model_is_of_no_other(row, complaint):
    with pytest.raises(InputError, match=complaint):
        configure("dsprites", row, "smoke")
