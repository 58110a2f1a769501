"""FactorVAE, DeVAE and DiD: which loss trains which part, and closed forms."""

import itertools
import math

import pytest
import torch
from torch import nn
from trained_parts import estimate_of_trained_discriminator, parts_trained_by

from vitae import InputError, configure
from vitae.experiments.build import build
from vitae.models import VAE, DeVAE, objectives
from vitae.models.did import contrastive_loss
from vitae.models.gaussian import Gaussian
from vitae.models.likelihoods import GaussianPixels
from vitae.models.networks import perceptron

SHAPE = (1, 12, 12)


def model_of(row, **changes):
    return build(configure("dsprites", row, "smoke", **changes), SHAPE).double()


@pytest.fixture
def images(generator):
    return torch.rand(24, *SHAPE, generator=generator, dtype=torch.float64)


class DecoderWithConstant(nn.Module):
    """A decoder that gets a constant beside the code."""

    def __init__(self, decoder, constant):
        super().__init__()
        self.decoder, self.constant = decoder, constant

    def forward(self, z):
        return self.decoder(torch.cat([z, self.constant.expand(len(z), -1)], 1))


def test_devae_with_one_stage_is_a_beta_vae_whose_decoder_gets_a_constant(images):
    three = model_of("devae")
    one = DeVAE(three.encoder, three.decoder, three.likelihood, 10, stages=1, embedding=8).double()
    plain = VAE(one.encoder, DecoderWithConstant(one.decoder, one.embeddings[0]), one.likelihood, 10)
    outputs = [model(images, torch.Generator().manual_seed(0)) for model in (one, plain)]
    losses = [
        objectives.decremental(outputs[0], kl_weight=0.7, beta_1=4.0),
        objectives.beta(outputs[1], kl_weight=0.7, beta=4.0),
    ]
    assert torch.equal(*losses)
    weights = list(one.encoder.parameters()) + list(one.decoder.parameters())
    for gradient, expected in zip(*(torch.autograd.grad(loss, weights) for loss in losses), strict=True):
        assert torch.equal(gradient, expected)


def test_devaes_stages_are_equal_initially(images):
    model = model_of("devae")
    posterior = model.infer(images, None).posteriors["z"]
    for narrower in model.narrower_posteriors(posterior):
        assert torch.equal(narrower.mean, posterior.mean)
        assert torch.equal(narrower.log_variance, posterior.log_variance)


def test_devaes_stages_never_mix_axes():
    model = model_of("devae")
    with torch.no_grad():
        model.log_factors.normal_()
        model.offsets.normal_()
    mean, log_variance = torch.randn(2, 1, 10, dtype=torch.float64)

    def last_stage(mean, log_variance):
        posterior = model.narrower_posteriors(Gaussian(mean, log_variance))[-1]
        return posterior.mean, posterior.log_variance

    jacobian = torch.autograd.functional.jacobian(last_stage, (mean, log_variance))
    factors = model.log_factors.sum(0).exp()
    torch.testing.assert_close(jacobian[0][0].squeeze(), torch.diag(factors.detach()))
    assert jacobian[0][1].count_nonzero() == jacobian[1][0].count_nonzero() == 0
    torch.testing.assert_close(jacobian[1][1].squeeze(), torch.eye(10, dtype=torch.float64))


def test_devaes_loss_is_the_sum_over_stages_with_one_beta_each(images):
    model = model_of("devae")
    with torch.no_grad():
        model.log_factors.normal_(std=0.3)
        model.offsets.normal_(std=0.3)
    output = model(images, torch.Generator().manual_seed(0))
    passes = (output, *output.extra_passes)
    assert len(passes) == 3
    expected = sum(
        beta * objectives.kl_to_prior(stage).mean() - stage.log_likelihood.mean()
        for beta, stage in zip((1, 10, 40), passes, strict=True)
    )
    loss = objectives.decremental(output, beta_1=1.0, beta_2=10.0, beta_3=40.0)
    torch.testing.assert_close(loss, expected)
    assert parts_trained_by(loss, model) == {"encoder", "decoder", "embeddings", "log_factors", "offsets"}
    # Evaluation uses space 0.
    assert torch.equal(output.mean, model.decode(output.latents.samples))
    for first, second in itertools.pairwise(passes):
        assert not torch.equal(first.mean, second.mean)


@pytest.mark.parametrize(("row", "stages"), [("devae", 3), ("devae-2", 2)])
def test_each_devae_has_as_many_stages_as_its_objective_has_betas(images, row, stages):
    model, strengths = model_of(row), configure("dsprites", row, "smoke").strengths
    assert len(model.embeddings) == len(strengths) == stages
    objectives.decremental(model(images, None), **strengths)


@pytest.mark.parametrize(
    ("betas", "named"), [({}, "none"), ({"beta_1": 1.0}, "beta_1"), ({"beta_1": 1.0, "beta_3": 40.0}, "beta_1, beta_3")]
)
def test_decremental_refuses_a_wrong_number_of_betas(images, betas, named):
    output = model_of("devae-2")(images, None)
    message = f"a model with 2 stages needs as many betas \\(beta_1, beta_2\\), got {named}: choose an objective"
    with pytest.raises(InputError, match=message):
        objectives.decremental(output, **betas)
    with pytest.raises(InputError, match=r"with 2 stages needs as many betas .* got beta_1, beta_2, beta_3: choose"):
        objectives.decremental(output, beta_1=1.0, beta_2=10.0, beta_3=40.0)


def test_devae_needs_a_stage():
    model = model_of("devae")
    with pytest.raises(InputError, match="DeVAE needs at least one stage, got 0"):
        DeVAE(model.encoder, model.decoder, model.likelihood, 10, stages=0, embedding=8)


def test_each_loss_of_factor_vae_trains_its_own_part(images):
    model = model_of("factor-vae")
    output = model(images, torch.Generator().manual_seed(0))
    assert parts_trained_by(output.terms["discriminator"], model) == {"discriminator"}
    assert parts_trained_by(output.terms["total_correlation"], model) == {"encoder"}
    without_penalty = objectives.factor(output, gamma=0.0) - output.terms["discriminator"]
    torch.testing.assert_close(without_penalty, objectives.elbo(output))
    difference = objectives.factor(output, gamma=3.0, kl_weight=0.5) - objectives.factor(
        output, gamma=0.0, kl_weight=0.5
    )
    torch.testing.assert_close(difference, 1.5 * output.terms["total_correlation"])


class CorrelatedEncoder(nn.Module):
    """Two latents of correlation 0.8, made from two pixels, with almost no posterior variance."""

    def forward(self, x):
        first, second = x.flatten(1)[:, 0], x.flatten(1)[:, 1]
        mean = torch.stack([first, 0.8 * first + 0.6 * second], 1)
        return Gaussian(mean, torch.full_like(mean, -20.0))


def test_factor_vaes_total_correlation_converges_to_the_closed_form(generator):
    model = model_of("factor-vae", appearance=1, perspective=1).float()
    model.encoder, model.discriminator = CorrelatedEncoder(), perceptron(2, (64, 64), 1)
    estimate = estimate_of_trained_discriminator(model, "total_correlation", SHAPE, generator)
    assert estimate == pytest.approx(-0.5 * math.log(1 - 0.8**2), abs=0.07)


def test_each_loss_of_did_trains_its_own_part(images):
    model = model_of("did")
    output = model(images, torch.Generator().manual_seed(0))
    assert {name: parts_trained_by(loss, model) for name, loss in output.terms.items()} == {
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


def test_the_gradient_penalty_of_a_linear_critic_depends_on_its_slope(images):
    model = model_of("did")
    model.critic = nn.Sequential(nn.Flatten(), nn.Linear(144, 1)).double()
    slope = model.critic[1].weight.norm()
    penalty = model(images, torch.Generator().manual_seed(0)).terms["penalty"]
    torch.testing.assert_close(penalty, (slope - 1) ** 2)


def test_the_difference_encoder_sees_changes_of_one_latent_at_a_common_size(images):
    model, inputs = model_of("did"), []
    model.decoder = nn.Sequential(nn.Linear(10, 144, bias=False), nn.Unflatten(1, SHAPE)).double()
    model.likelihood = GaussianPixels()
    model.difference.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    model(images, torch.Generator().manual_seed(0))
    _, change = inputs[0].chunk(2, dim=1)
    size = change.flatten(1).square().mean(1).sqrt()
    # All but the smallest changes are scaled to a root mean square of one.
    assert size.max() <= 1
    assert size.median() > 0.999
    # The decoder is linear, so its pseudoinverse gives the change of each latent.
    changed = (change.flatten(1) @ torch.linalg.pinv(model.decoder[0].weight).T).abs() > 1e-6
    assert (changed.sum(1) == 1).all()
    assert changed.any(0).sum() > 5


def test_contrastive_loss_matches_a_plain_loop(generator):
    embeddings = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 3])
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    losses = []
    for i in range(9):
        others = [j for j in range(9) if j != i]
        total = sum(math.exp(unit[i] @ unit[j] / 0.1) for j in others)
        same = [math.log(math.exp(unit[i] @ unit[j] / 0.1) / total) for j in others if labels[j] == labels[i]]
        losses.append(-sum(same) / len(same) if same else 0.0)
    changed = nn.functional.one_hot(labels).double()
    assert float(contrastive_loss(embeddings, changed)) == pytest.approx(sum(losses) / 9)
    clustered, scattered = changed, torch.roll(changed, 1, 0)
    assert contrastive_loss(clustered, changed) < contrastive_loss(scattered, changed)
