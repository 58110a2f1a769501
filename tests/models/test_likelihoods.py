import pytest
import torch

from vitae import Affine
from vitae.models.likelihoods import Bernoulli, GaussianPixels


def test_bernoulli_is_torchs_from_logits(generator):
    decoded = torch.randn(4, 1, 5, 5, generator=generator)
    x = torch.rand(4, 1, 5, 5, generator=generator)
    bernoulli = Bernoulli()
    ours = bernoulli.log_prob(x, bernoulli.mean(decoded))
    theirs = -torch.nn.functional.binary_cross_entropy_with_logits(decoded, x, reduction="none").flatten(1).sum(1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_black_under_black_is_free_and_lit_under_black_costs_finitely_with_a_gradient():
    mean = torch.zeros(1, 1, 28, 28)
    assert float(Bernoulli().log_prob(torch.zeros(1, 1, 28, 28), mean)) == pytest.approx(0, abs=1e-3)
    mean = torch.zeros(1, 1, 28, 28, requires_grad=True)
    lit = Bernoulli().log_prob(torch.ones(1, 1, 28, 28), mean)
    lit.sum().backward()
    assert torch.isfinite(lit).all()
    assert (mean.grad > 0).all()


def test_gaussian_pixels_are_torchs_normal(generator):
    x, mean = torch.rand(2, 3, 1, 4, 4, generator=generator)
    ours = GaussianPixels(0.2).log_prob(x, mean)
    theirs = torch.distributions.Normal(mean, 0.2**0.5).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(ours, theirs)
    assert GaussianPixels().log_variance.requires_grad
    assert not GaussianPixels(0.2).log_variance.requires_grad


@pytest.mark.parametrize("likelihood", [Bernoulli(), GaussianPixels(0.1)])
def test_moving_the_picture_out_of_the_frame_earns_nothing(likelihood, generator):
    """Trap 3: an image that fits its data is worth more than the same image moved away, under every likelihood."""
    x = torch.zeros(1, 1, 28, 28)
    x[..., 8:20, 8:20] = torch.rand(12, 12, generator=generator)
    at_home = likelihood.log_prob(x, x)
    for distance in (0.5, 1.0, 3.0):
        away = Affine().warp(x, torch.tensor([[0.0, 0, 0, 0, distance, 0]]))
        assert likelihood.log_prob(x, away) < at_home
