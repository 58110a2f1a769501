"""Diagonal Gaussians: densities, KL divergence and total correlation of posteriors."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vitae.support.randomness import Noise, normal


@dataclass
class Gaussian:
    """A batch of diagonal Gaussians, the posteriors q(z | x); `mean` and `log_variance` are `batch x latents`."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Noise | None) -> Tensor:
        """One draw from each, `batch x latents`; the means if `noise` is None."""
        if noise is None:
            return self.mean
        return self.mean + torch.exp(0.5 * self.log_variance) * normal(self.mean, noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z) in nats, per latent, `batch x latents`."""
        return gaussian_log_prob(z, self.mean, self.log_variance)

    def kl_to_prior(self) -> Tensor:
        """KL(q || N(0, I)) in nats, per latent, `batch x latents`."""
        return 0.5 * (self.mean**2 + self.log_variance.exp() - 1 - self.log_variance)

    def total_correlation(self, z: Tensor) -> Tensor:
        """Minibatch-weighted estimate of TC = KL(q(z) || prod_j q(z_j)) in nats (Chen et al., 2018, section 4.1).

        Densities of the aggregate posterior are averages over the batch, log 1/B sum_k q(z_i | x_k). Chen et al. divide
        by N B, with N the size of the dataset. That adds the constant (d - 1) ln N to the estimate and changes no
        gradient; without it the estimate is near zero for independent latents. Each average includes the image's own
        posterior, so posteriors that are narrow compared with their spacing give an overestimate: use it for training
        and monitoring, not as a measurement.

        Args:
            z: one draw from each posterior, `batch x latents`.
        """
        pairwise = Gaussian(self.mean[None], self.log_variance[None]).log_prob(z[:, None])
        log_batch = math.log(len(z))
        log_joint = pairwise.sum(2).logsumexp(1) - log_batch
        log_marginals = (pairwise.logsumexp(1) - log_batch).sum(1)
        return (log_joint - log_marginals).mean()

    def repeat(self, times: int) -> "Gaussian":
        """Each row repeated `times` times, image-major, `(batch * times) x latents`."""
        return Gaussian(self.mean.repeat_interleave(times, 0), self.log_variance.repeat_interleave(times, 0))


def gaussian_log_prob(value: Tensor, mean: Tensor | float, log_variance: Tensor | float) -> Tensor:
    """log N(value; mean, exp(log_variance)) in nats, elementwise."""
    log_variance = torch.as_tensor(log_variance, dtype=value.dtype, device=value.device)
    return -0.5 * ((value - mean) ** 2 * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi))
