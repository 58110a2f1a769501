"""Archetypes: the exact sum over templates by other routes, a density that is known, and symmetries."""

import math

import pytest
import torch
from torch import nn

from vitae import CPAB, VITAE, Affine, InputError, configure
from vitae.experiments.build import build
from vitae.models import Archetypes
from vitae.models.archetypes import DecodedTemplates, FreeTemplates
from vitae.models.gaussian import Gaussian
from vitae.models.likelihoods import Bernoulli, GaussianPixels
from vitae.models.networks import MLPDecoder, MLPEncoder, perceptron
from vitae.models.objectives import OBJECTIVES, elbo_per_image
from vitae.models.perspective_decoder import ParameterDecoder
from vitae.support.randomness import generator

SHAPE, K = (1, 8, 8), 3


def archetypes(*, continuous=0, shared=False, count=K, likelihood=None, transformation=None):
    """A small model with random weights, far from its start."""
    hidden, d_P = (16, 8), 2
    transformation = transformation or CPAB((2, 2))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        templates = FreeTemplates(count, SHAPE)
        if continuous:
            templates = DecodedTemplates(count, MLPDecoder(SHAPE, count + continuous, hidden))
        else:
            templates.set(torch.randn(count, *SHAPE))
        return Archetypes(
            nn.Sequential(nn.Flatten(), perceptron(math.prod(SHAPE), hidden, count)),
            MLPEncoder(SHAPE, d_P * (1 if shared else count), hidden),
            ParameterDecoder(d_P + (0 if shared else count), transformation.dim, hidden=(4,), start=0.8),
            templates,
            transformation,
            likelihood or Bernoulli(),
            count=count,
            perspective=d_P,
            shape=SHAPE,
            encoder_A=MLPEncoder(SHAPE, continuous, hidden) if continuous else None,
            appearance=continuous,
            shared=shared,
        ).eval()


KINDS = [{}, {"shared": True}, {"continuous": 2}, {"continuous": 2, "shared": True}]
KIND_NAMES = ["free", "free-shared", "decoded", "decoded-shared"]


@pytest.fixture
def x():
    return torch.rand(5, *SHAPE, generator=generator("cpu", 0, "images"))


def noise():
    return generator("cpu", 1, "noise")


def of_template(model, inferred, k):
    """log p(x | z, k) - log q / p of the draws and the KL of both spaces, by a path that knows one template only."""
    at = [min(k, part.shape[1] - 1) for part in (inferred.samples["z_A"], inferred.samples["z_P"])]
    z_A, z_P = (inferred.samples[name][:, place] for name, place in zip(("z_A", "z_P"), at, strict=True))
    posteriors = [
        torch.distributions.Normal(
            inferred.posteriors[name].mean[:, place], (0.5 * inferred.posteriors[name].log_variance[:, place]).exp()
        )
        for name, place in zip(("z_A", "z_P"), at, strict=True)
    ]
    prior = torch.distributions.Normal(0.0, 1.0)
    choice = torch.eye(model.count)[k].expand(len(z_P), -1)
    image = model.decode({"z_A": torch.cat([choice, z_A], 1), "z_P": z_P})
    kl = sum(torch.distributions.kl_divergence(q, prior).sum(1) for q in posteriors)
    ratio = sum((prior.log_prob(z) - q.log_prob(z)).sum(1) for z, q in zip((z_A, z_P), posteriors, strict=True))
    return image, kl, ratio


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
@torch.no_grad()
def test_the_sum_over_templates_is_that_of_each_template_alone(kind, x):
    model = archetypes(**kind)
    inferred = model._infer(x, noise())
    q = inferred.log_q.exp()
    torch.testing.assert_close(q.sum(1), torch.ones(len(x)))
    elbo, weights = -(q * (inferred.log_q + math.log(K))).sum(1), []
    for k in range(K):
        image, kl, ratio = of_template(model, inferred, k)
        likelihood = model.log_likelihood(x, image)
        elbo = elbo + q[:, k] * (likelihood - kl)
        weights.append(likelihood + ratio - math.log(K))
    torch.testing.assert_close(elbo_per_image(model(x, noise())), elbo, rtol=1e-5, atol=1e-3)
    ours = model.log_weights(x, noise(), 1)[:, 0]
    torch.testing.assert_close(ours, torch.stack(weights).logsumexp(0), rtol=1e-5, atol=1e-3)


@torch.no_grad()
def test_one_template_without_continuous_latents_is_a_vitae_with_one_appearance(x):
    model = archetypes(count=1)

    class Constant(nn.Module):
        def forward(self, images):
            return Gaussian(torch.zeros(len(images), 1), torch.zeros(len(images), 1))

    class Told(nn.Module):
        def forward(self, z):
            return model.decoder_P(torch.cat([z, torch.ones(len(z), 1)], 1))

    class Appearance(nn.Module):
        def forward(self, z):
            return (model.templates.scale * model.templates.pixels).expand(len(z), *SHAPE)

    vitae = VITAE(
        Constant(),
        model.encoder_P,
        Appearance(),
        Told(),
        model.transformation,
        model.likelihood,
        {"z_A": 1, "z_P": 2},
        conditional=True,
    )
    ours, theirs = model(x, noise()), vitae(x, noise())
    torch.testing.assert_close(elbo_per_image(ours), elbo_per_image(theirs))
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.latents.kl_to_prior()[:, 1:], theirs.latents.kl_to_prior()[:, 1:])


@torch.no_grad()
def test_log_likelihood_of_a_mixture_that_is_known(x):
    """Without any motion, archetypes are a mixture of Gaussians around the templates, whatever the perspective."""
    model = archetypes(likelihood=GaussianPixels(0.3))
    model.decoder_P.layers[-1].weight.zero_()
    for part in (model.encoder_P.head, model.classifier[-1][-1]):
        part.weight.zero_()
        part.bias.zero_()
    templates = model.templates.scale * model.templates.pixels
    around = torch.distributions.Normal(templates[None], math.sqrt(0.3)).log_prob(x[:, None]).flatten(2).sum(2)
    known = around.logsumexp(1) - math.log(K)
    torch.testing.assert_close(model.log_weights(x, noise(), 4), known[:, None].expand(-1, 4))
    # A q(k | x) that is not the posterior makes the ELBO smaller by the KL between the two.
    posterior = around.log_softmax(1)
    gap = (torch.full_like(posterior, 1 / K) * (-math.log(K) - posterior)).sum(1)
    torch.testing.assert_close(elbo_per_image(model(x, noise())), known - gap, rtol=1e-5, atol=1e-3)
    assert (gap > 0.1).all()


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
@torch.no_grad()
def test_the_elbo_is_below_log_p(kind, x):
    model = archetypes(**kind)
    bounds = [elbo_per_image(model(x, generator("cpu", n, "draws"))).mean() for n in range(40)]
    weights = model.log_weights(x, noise(), 400)
    assert torch.stack(bounds).mean() < (weights.logsumexp(1) - math.log(400)).mean()


@torch.no_grad()
def test_permuting_templates_permutes_the_codes_and_nothing_else(x):
    model, permuted, order = archetypes(), archetypes(), torch.tensor([2, 0, 1])
    permuted.templates.pixels.copy_(model.templates.pixels[order])
    for name in ("weight", "bias"):
        parameter = getattr(permuted.classifier[-1][-1], name)
        parameter.copy_(parameter[order])
        # Means of all templates, then log-variances.
        parameter = getattr(permuted.encoder_P.head, name)
        parameter.copy_(parameter.unflatten(0, (2, K, 2))[:, order].flatten(0, 2))
    first = permuted.decoder_P.layers[0].weight
    first[:, 2:] = first[:, 2:][:, order]
    ours, theirs = (each.infer(x, None).samples for each in (model, permuted))
    torch.testing.assert_close(theirs["z_A"], ours["z_A"][:, order])
    torch.testing.assert_close(theirs["z_P"], ours["z_P"])
    torch.testing.assert_close(permuted.decode(theirs), model.decode(ours))
    assert not torch.allclose(model.decode({**ours, "z_A": ours["z_A"].roll(1, 1)}), model.decode(ours), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS, ids=KIND_NAMES)
def test_gradients_reach_every_template_and_every_weight(kind, x):
    model = archetypes(**kind)
    OBJECTIVES["held"].loss(model(x, noise()), hold=1.0, kl_weight=0.5).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    if "continuous" not in kind:
        assert (model.templates.pixels.grad.flatten(1).abs().sum(1) > 0).all()


def test_the_hold_fades_with_kl_annealing(x):
    output, held = archetypes()(x, noise()), OBJECTIVES["held"].loss
    bound, cross_entropy = OBJECTIVES["elbo"].loss, output.terms["hold"]
    for weight in (0.0, 0.25, 1.0):
        expected = bound(output, kl_weight=weight) + 7 * (1 - weight) * cross_entropy
        torch.testing.assert_close(held(output, hold=7.0, kl_weight=weight), expected)


@torch.no_grad()
def test_drawn_templates_have_their_probabilities_and_means_name_the_most_probable(x):
    model = archetypes()
    drawn = model.infer(x[:1], noise(), samples=4_000).samples["z_A"]
    assert set(drawn.flatten().tolist()) == {0.0, 1.0}
    q = model._infer(x[:1], None).log_q.exp()
    torch.testing.assert_close(drawn.mean(0), q[0], atol=0.03, rtol=0)
    means = model.infer(x, None).samples
    inferred = model._infer(x, None)
    torch.testing.assert_close(means["z_A"], inferred.log_q.exp())
    for n, k in enumerate(inferred.log_q.argmax(1)):
        torch.testing.assert_close(means["z_P"][n], inferred.samples["z_P"][n, k])
    torch.testing.assert_close(model(x, None).mean, model.decode(means))


@torch.no_grad()
def test_templates_start_at_the_centres_of_clusters():
    """Three kinds of images, each alone in its cluster: the templates are these images."""
    kinds = torch.rand(K, *SHAPE, generator=generator("cpu", 0, "kinds"))
    model = archetypes()
    model.start_from(kinds[torch.arange(30) % K], seed=3)
    started = model.likelihood.mean(model.templates(torch.zeros(1, 1, 0)))[0]
    nearest = torch.cdist(started.flatten(1), (0.02 + 0.96 * kinds).flatten(1))
    assert sorted(nearest.argmin(1).tolist()) == [0, 1, 2]
    assert nearest.min(1).values.max() < 1e-4
    hold = model(kinds, None).terms["hold"]
    log_q = model._infer(kinds, None).log_q
    torch.testing.assert_close(hold, -log_q[torch.arange(K), nearest.argmin(0)].mean())


@torch.no_grad()
def test_conditional_inference_undoes_the_perspective_of_each_template(x):
    model = archetypes(continuous=2, transformation=Affine())
    inferred = model._infer(x, noise())
    for k in range(K):
        z_P = inferred.samples["z_P"][:, k]
        choice = torch.eye(K)[k].expand(len(x), -1)
        upright = model.undo_perspective(x, {"z_A": torch.cat([choice, torch.zeros(len(x), 2)], 1), "z_P": z_P})
        torch.testing.assert_close(model.encoder_A(upright).mean, inferred.posteriors["z_A"].mean[:, k])


def test_latents_are_one_choice_and_the_continuous_ones():
    model = archetypes(continuous=2)
    assert [latent.name for latent in model.latents] == ["k", "z_A1", "z_A2", "z_P1", "z_P2"]
    choice, first = model.latents[:2]
    assert (choice.space, choice.columns, choice.categories) == ("z_A", (0, 1, 2), 3)
    assert (first.space, first.columns, first.categories) == ("z_A", (3,), 0)
    assert model.spaces == {"z_A": 5, "z_P": 2}


def test_bad_input_is_one_sentence(x):
    with pytest.raises(InputError, match="templates must be a whole number of 1 or more, got 0"):
        configure("smpl", "archetypes", "smoke", templates=0)
    with pytest.raises(InputError, match="archetypes need one template or more, got 0"):
        Archetypes(None, None, None, None, Affine(), Bernoulli(), count=0, perspective=1, shape=SHAPE)
    with pytest.raises(InputError, match="3 templates need as many training images, got 2: choose fewer"):
        archetypes().start_from(x[:2], 0)
    model = archetypes()
    model.templates = FreeTemplates(K, (1, 8, 9))
    with pytest.raises(InputError, match=r"templates must be 3 x 1 x 8 x 8 \(K x .*\), got 3 x 1 x 8 x 9"):
        model(x, None)
    with pytest.raises(InputError, match="architecture of c-vitae has no templates: it belongs to archetypes"):
        configure("smpl", "c-vitae", "smoke", templates=3)
    with pytest.raises(InputError, match="archetypes cannot be trained by elbo: choose one of held"):
        configure("smpl", "archetypes+elbo", "smoke")


def test_settings_of_archetypes_play_no_part_in_other_runs():
    """So that records and weights of other models stay valid when a setting of archetypes is added or changed."""
    assert "templates" not in configure("smpl", "c-vitae", "smoke").as_json()
    stated = configure("smpl", "archetypes", "smoke", templates=5, template_latents=1).as_json()
    assert (stated["templates"], stated["template_latents"]) == (5, 1)


@pytest.mark.parametrize(("latents", "shared"), [(0, False), (2, True)])
def test_settings_build_the_model_that_they_describe(latents, shared):
    changes = {"templates": 6, "template_latents": latents, "shared_perspective": shared, "perspective": 3}
    model = build(configure("mnist", "archetypes", "smoke", **changes), (1, 28, 28))
    assert model.spaces == {"z_A": 6 + latents, "z_P": 3}
    assert model.shared is shared
    assert isinstance(model.templates, DecodedTemplates if latents else FreeTemplates)
    # gamma depends on k unless the perspective is shared.
    codes = {"z_A": torch.eye(6 + latents)[:6], "z_P": torch.zeros(6, 3)}
    assert torch.equal(model.gamma(codes)[0], model.gamma(codes)[1]) is shared
