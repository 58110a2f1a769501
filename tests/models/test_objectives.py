import math

import pytest
import torch

from vitae.experiments.build import build
from vitae.experiments.configuration import configure
from vitae.models import objectives
from vitae.models.base import Latents, Output
from vitae.models.gaussian import Gaussian
from vitae.models.objectives import OBJECTIVES


@pytest.fixture(params=["vae", "u-vitae", "c-vitae"])
def output(request, generator):
    # Double precision, since differences between losses are small compared with the losses.
    model = build(configure("mnist", request.param, "smoke"), (1, 28, 28)).double()
    return model(torch.rand(32, 1, 28, 28, generator=generator, dtype=torch.float64), generator)


@pytest.mark.parametrize("kl_weight", [1.0, 0.37])
@pytest.mark.parametrize(
    ("name", "neutral"),
    [
        ("beta", {"beta": 1.0}),
        ("beta-tc", {"beta": 1.0}),
        ("dip-ii", {"dip_lambda": 0.0}),
    ],
)
def test_objectives_with_neutral_strengths_equal_the_elbo_bit_for_bit(output, name, neutral, kl_weight):
    assert torch.equal(
        OBJECTIVES[name].loss(output, kl_weight=kl_weight, **neutral), objectives.elbo(output, kl_weight=kl_weight)
    )


def test_elbo_is_reconstruction_minus_kl_over_all_spaces(output):
    kl = sum(q.kl_to_prior().sum() for q in output.latents.posteriors.values()) / 32
    torch.testing.assert_close(-objectives.elbo(output), output.log_likelihood.mean() - kl)
    torch.testing.assert_close(-objectives.elbo(output, kl_weight=0.0), output.log_likelihood.mean())
    torch.testing.assert_close(objectives.elbo_per_image(output).mean(), -objectives.elbo(output))


def test_beta_multiplies_the_kl(output):
    kl = objectives.kl_to_prior(output).mean()
    torch.testing.assert_close(objectives.beta(output, beta=4.0) - objectives.elbo(output), 3 * kl)


def correlated_posterior(correlation: float, generator, n: int = 3000):
    """Posteriors with means from N(0, C) and unit variances, and a draw; the aggregate posterior is N(0, I + C)."""
    a, b = torch.randn(2, n, generator=generator)
    means = torch.stack([a, correlation * a + math.sqrt(1 - correlation**2) * b], 1)
    q = Gaussian(means, torch.zeros(n, 2))
    return q, q.sample(generator)


def test_total_correlation_of_independent_latents_is_near_zero(generator):
    assert abs(float(Gaussian.total_correlation(*correlated_posterior(0.0, generator)))) < 0.01


@pytest.mark.parametrize("correlation", [0.6, 0.9])
def test_total_correlation_of_a_gaussian_matches_its_closed_form(correlation, generator):
    # The means have this covariance, and each aggregate latent has variance 2.
    expected = -0.5 * math.log(1 - (correlation / 2) ** 2)
    estimate = float(Gaussian.total_correlation(*correlated_posterior(correlation, generator)))
    assert estimate == pytest.approx(expected, abs=0.02)


def test_total_correlation_matches_a_plain_loop(generator):
    q = Gaussian(*torch.randn(2, 6, 3, generator=generator))
    z = q.sample(generator)
    joint, marginals = [], []
    for i in range(6):
        density = [
            [math.exp(float(Gaussian(q.mean[k], q.log_variance[k]).log_prob(z[i])[j])) for j in range(3)]
            for k in range(6)
        ]
        joint.append(math.log(sum(math.prod(row) for row in density) / 6))
        marginals.append(sum(math.log(sum(row[j] for row in density) / 6) for j in range(3)))
    expected = sum(joint) / 6 - sum(marginals) / 6
    assert float(q.total_correlation(z)) == pytest.approx(expected, abs=1e-5)


def test_aggregate_covariance_matches_that_of_samples(generator):
    means = torch.randn(500, 3, generator=generator) @ torch.tensor([[1.0, 0.5, 0], [0, 1, 0.3], [0, 0, 0.2]])
    q = Gaussian(means, torch.tensor([-1.0, 0.5, 0.0]).expand(500, 3))
    samples = q.repeat(2000).sample(generator)
    torch.testing.assert_close(
        objectives.aggregate_covariance(q), torch.cov(samples.T, correction=0), rtol=0, atol=0.02
    )
    # A common mistake is to use the mean posterior covariance alone; it is far from the aggregate's.
    assert (objectives.aggregate_covariance(q) - torch.diag(q.log_variance[0].exp())).abs().max() > 0.2


def test_dip_adds_the_squared_distance_from_the_identity(output):
    covariance = objectives.aggregate_covariance(output.latents.joint()).detach()
    distance = sum(
        (covariance[i, j] - float(i == j)) ** 2 for i in range(len(covariance)) for j in range(len(covariance))
    )
    difference = objectives.dip_ii(output, dip_lambda=10.0) - objectives.elbo(output)
    assert float(difference.detach()) == pytest.approx(10 * float(distance), rel=1e-3)


def test_capacity_penalises_the_distance_of_the_kl_from_the_annealed_capacity():
    mean = torch.tensor([[3.0, 0.0], [1.0, 2.0]])
    posterior = Gaussian(mean, torch.zeros_like(mean))
    output = Output(Latents({"z": posterior}, {"z": mean}), mean, torch.tensor([-7.0, -9.0]))
    # The KL is 4.5 and 2.5, on average 3.5.
    assert objectives.capacity(output, gamma=10.0, capacity=3.5) == pytest.approx(8.0)
    assert objectives.capacity(output, gamma=10.0, capacity=4.0) == pytest.approx(8.0 + 5.0)
    assert objectives.capacity(output, gamma=10.0, capacity=4.0, kl_weight=0.5) == pytest.approx(8.0 + 15.0)
