import pytest
import torch

from vitae import Affine
from vitae.models.likelihoods import Bernoulli, GaussianPixels


def test_bernoulli_matches_torchs(generator):
    decoded = torch.randn(4, 1, 5, 5, generator=generator)
    x = torch.rand(4, 1, 5, 5, generator=generator)
    bernoulli = Bernoulli()
    log_prob = bernoulli.log_prob(x, bernoulli.mean(decoded))
    expected = -torch.nn.functional.binary_cross_entropy_with_logits(decoded, x, reduction="none").flatten(1).sum(1)
    torch.testing.assert_close(log_prob, expected, rtol=1e-4, atol=1e-3)


def test_a_mean_of_zero_costs_nothing_on_black_and_has_a_finite_cost_and_a_gradient_on_white():
    mean = torch.zeros(1, 1, 28, 28)
    assert float(Bernoulli().log_prob(torch.zeros(1, 1, 28, 28), mean)) == pytest.approx(0, abs=1e-3)
    mean = torch.zeros(1, 1, 28, 28, requires_grad=True)
    lit = Bernoulli().log_prob(torch.ones(1, 1, 28, 28), mean)
    lit.sum().backward()
    assert torch.isfinite(lit).all()
    assert (mean.grad > 0).all()


def test_gaussian_pixels_match_torchs_normal(generator):
    x, mean = torch.rand(2, 3, 1, 4, 4, generator=generator)
    expected = torch.distributions.Normal(mean, 0.2**0.5).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(GaussianPixels(0.2).log_prob(x, mean), expected)
    assert GaussianPixels().log_variance.requires_grad
    assert not GaussianPixels(0.2).log_variance.requires_grad


@pytest.mark.parametrize("likelihood", [Bernoulli(), GaussianPixels(0.1)])
def test_moving_the_image_out_of_the_frame_never_increases_the_likelihood(likelihood, generator):
    x = torch.zeros(1, 1, 28, 28)
    x[..., 8:20, 8:20] = torch.rand(12, 12, generator=generator)
    unmoved = likelihood.log_prob(x, x)
    for distance in (0.5, 1.0, 3.0):
        moved = Affine().warp(x, torch.tensor([[0.0, 0, 0, 0, distance, 0]]))
        assert likelihood.log_prob(x, moved) < unmoved
