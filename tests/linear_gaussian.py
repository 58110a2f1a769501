"""A model with known log p(x): z ~ N(0, I), x ~ N(W z, variance I), where the columns of W are orthogonal.

Then x ~ N(0, W W^T + variance I), and the exact posterior is a diagonal Gaussian, so an encoder can represent it.
"""

import torch

from vitae.models import VAE
from vitae.models.gaussian import Gaussian
from vitae.models.likelihoods import GaussianPixels

SHAPE = (1, 2, 3)
VARIANCE = 0.3
W = torch.zeros(6, 2)
W[0, 0], W[1, 0], W[2, 1], W[4, 1] = 1.0, 2.0, -1.5, 0.5
PRECISION = 1 + (W**2).sum(0) / VARIANCE


class Encoder(torch.nn.Module):
    """The exact posterior, with its mean shifted by `shift` and its variance multiplied by `stretch`."""

    def __init__(self, shift: float = 0.0, stretch: float = 1.0):
        super().__init__()
        self.shift, self.stretch = shift, stretch
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x):
        mean = x.flatten(1) @ W / VARIANCE / PRECISION + self.shift
        return Gaussian(mean, (self.stretch / PRECISION).log().expand_as(mean))


class Decoder(torch.nn.Module):
    def forward(self, z):
        return (z @ W.T).reshape(-1, *SHAPE)


def model(shift: float = 0.0, stretch: float = 1.0) -> VAE:
    return VAE(Encoder(shift, stretch), Decoder(), GaussianPixels(VARIANCE), 2)


def log_p(x):
    covariance = W @ W.T + VARIANCE * torch.eye(6)
    return torch.distributions.MultivariateNormal(torch.zeros(6), covariance).log_prob(x.flatten(1))


def kl_of_posterior(shift: float, stretch: float) -> float:
    """KL(q || exact posterior), the gap between log p(x) and the ELBO."""
    per_latent = 0.5 * (stretch - 1 - torch.tensor(stretch).log() + shift**2 * PRECISION)
    return float(per_latent.sum())
