import math

import pytest
import torch

from vitae.experiments.build import build
from vitae.experiments.configuration import configure
from vitae.models import objectives
from vitae.models.gaussian import Gaussian
from vitae.models.objectives import OBJECTIVES


@pytest.fixture(params=["vae", "u-vitae", "c-vitae"])
def output(request, generator):
    # In double precision: differences of losses are small beside the losses.
    model = build(configure("mnist", request.param, "smoke"), (1, 28, 28)).double()
    return model(torch.rand(32, 1, 28, 28, generator=generator, dtype=torch.float64), generator)


@pytest.mark.parametrize("kl_weight", [1.0, 0.37])
@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("beta", {"beta": 1.0}),
        ("beta-tc", {"beta": 1.0}),
        ("dip-ii", {"dip_lambda": 0.0}),
    ],
)
def test_switched_off_every_objective_is_the_elbo_to_the_last_bit(output, name, off, kl_weight):
    assert torch.equal(
        OBJECTIVES[name].loss(output, kl_weight=kl_weight, **off), objectives.elbo(output, kl_weight=kl_weight)
    )


def test_elbo_is_reconstruction_less_kl_over_all_spaces(output):
    kl = sum(q.kl_to_prior().sum() for q in output.latents.posteriors.values()) / 32
    torch.testing.assert_close(-objectives.elbo(output), output.log_likelihood.mean() - kl)
    torch.testing.assert_close(-objectives.elbo(output, kl_weight=0.0), output.log_likelihood.mean())
    torch.testing.assert_close(objectives.elbo_per_image(output).mean(), -objectives.elbo(output))


def test_beta_multiplies_the_kl(output):
    kl = objectives.kl_to_prior(output).mean()
    torch.testing.assert_close(objectives.beta(output, beta=4.0) - objectives.elbo(output), 3 * kl)


def wide_posterior(correlation: float, generator, n: int = 3000):
    """Posterior means from a correlated Gaussian and unit variances: the aggregate is N(0, I + C)."""
    a, b = torch.randn(2, n, generator=generator)
    means = torch.stack([a, correlation * a + math.sqrt(1 - correlation**2) * b], 1)
    q = Gaussian(means, torch.zeros(n, 2))
    return q, q.sample(generator)


def test_total_correlation_of_a_factorised_code_is_near_zero(generator):
    assert abs(float(Gaussian.total_correlation(*wide_posterior(0.0, generator)))) < 0.01


@pytest.mark.parametrize("correlation", [0.6, 0.9])
def test_total_correlation_of_a_gaussian_is_its_closed_form(correlation, generator):
    aggregate = correlation / 2  # covariance of the means over the aggregate's variance of 2
    expected = -0.5 * math.log(1 - aggregate**2)
    found = float(Gaussian.total_correlation(*wide_posterior(correlation, generator)))
    assert found == pytest.approx(expected, abs=0.02)


def test_total_correlation_by_a_plain_loop(generator):
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


def test_aggregate_covariance_is_that_of_samples(generator):
    means = torch.randn(500, 3, generator=generator) @ torch.tensor([[1.0, 0.5, 0], [0, 1, 0.3], [0, 0, 0.2]])
    q = Gaussian(means, torch.tensor([-1.0, 0.5, 0.0]).expand(500, 3))
    samples = q.repeat(2000).sample(generator)
    torch.testing.assert_close(
        objectives.aggregate_covariance(q), torch.cov(samples.T, correction=0), rtol=0, atol=0.02
    )
    # The mean of the posteriors' own covariances alone, DIP's usual mistake, is far from it.
    assert (objectives.aggregate_covariance(q) - torch.diag(q.log_variance[0].exp())).abs().max() > 0.2


def test_dip_adds_the_squared_distance_to_the_identity(output):
    covariance = objectives.aggregate_covariance(output.latents.joint()).detach()
    distance = sum(
        (covariance[i, j] - float(i == j)) ** 2 for i in range(len(covariance)) for j in range(len(covariance))
    )
    found = objectives.dip_ii(output, dip_lambda=10.0) - objectives.elbo(output)
    assert float(found.detach()) == pytest.approx(10 * float(distance), rel=1e-3)
