r"""What is maximised: functions of a model's output, without state, so that any architecture gets any objective.

All start from the evidence lower bound, ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z)), in nats per image, averaged
over the batch, and return the loss to minimise::

    elbo      -ELBO
    beta      reconstruction + beta KL                                        (Higgins et al., 2017)
    beta-tc   -ELBO + (beta - 1) TC,  TC = KL(q(z) || prod_j q(z_j))          (Chen et al., 2018)
    dip-ii    -ELBO + strength (sum_{i != j} C_ij^2 + sum_i (C_ii - 1)^2)     (Kumar et al., 2018)
              with C = Cov(mu) + mean(diag sigma^2), the covariance of the aggregate posterior

`kl_weight` is the warm-up: it scales everything but the reconstruction, the same way in every objective, and is one
after the warm-up and in every evaluation.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vitae.models.base import Output
from vitae.nets import Gaussian


def kl_to_prior(output: Output) -> Tensor:
    """KL(q(z | x) || N(0, I)) over all latent spaces, in nats, `batch`."""
    return sum(q.kl_to_prior().sum(1) for q in output.latents.posteriors.values())


def elbo_per_image(output: Output) -> Tensor:
    """One-sample estimate of the ELBO (its KL in closed form), in nats, `batch`."""
    return output.log_likelihood - kl_to_prior(output)


def elbo(output: Output, *, kl_weight: float = 1.0) -> Tensor:
    """-ELBO, the loss of the plain VAE and of VITAE."""
    return -(output.log_likelihood - kl_weight * kl_to_prior(output)).mean()


def beta(output: Output, *, beta: float, kl_weight: float = 1.0) -> Tensor:
    """The ELBO with its KL multiplied by beta; beta = 1 is the ELBO."""
    return elbo(output, kl_weight=kl_weight * beta)


def total_correlation(posterior: Gaussian, z: Tensor) -> Tensor:
    r"""Minibatch-weighted estimate of TC = KL(q(z) || prod_j q(z_j)) in nats (Chen et al., 2018, section 4.1).

    The densities of the aggregate posterior are averages over the batch, log 1/B sum_k q(z_i | x_k). The paper's
    weight 1 / (N B) with the size N of the data set would leave a constant (d - 1) ln(N) behind; it changes no
    gradient, and without it the estimate is near zero for independent latents. Each image is in its own average, so
    posteriors that are narrow compared with their spacing give an overestimate: a number to train with and to
    watch, not a measurement.

    Args:
        posterior: the batch's posteriors, `batch x d`.
        z: one draw from each, `batch x d`.
    """
    pairwise = Gaussian(posterior.mean[None], posterior.log_variance[None]).log_prob(z[:, None])
    log_batch = math.log(len(z))
    log_joint = pairwise.sum(2).logsumexp(1) - log_batch
    log_marginals = (pairwise.logsumexp(1) - log_batch).sum(1)
    return (log_joint - log_marginals).mean()


def beta_tc(output: Output, *, beta: float, kl_weight: float = 1.0) -> Tensor:
    """The ELBO with its total correlation, over all latent spaces together, multiplied by beta; 1 is the ELBO."""
    correlation = total_correlation(output.latents.joint(), output.latents.joint_sample())
    return elbo(output, kl_weight=kl_weight) + kl_weight * (beta - 1) * correlation


def aggregate_covariance(posterior: Gaussian) -> Tensor:
    """Covariance of the aggregate posterior of a batch, Cov(mu) + mean(diag sigma^2), `d x d`."""
    centred = posterior.mean - posterior.mean.mean(0)
    return centred.T @ centred / len(centred) + torch.diag(posterior.log_variance.exp().mean(0))


def dip_ii(output: Output, *, strength: float, kl_weight: float = 1.0) -> Tensor:
    """The ELBO with the aggregate covariance pulled to the identity; strength = 0 is the ELBO."""
    covariance = aggregate_covariance(output.latents.joint())
    distance = ((covariance - torch.eye(len(covariance)).to(covariance)) ** 2).sum()
    return elbo(output, kl_weight=kl_weight) + kl_weight * strength * distance


Objective = Callable[..., Tensor]

OBJECTIVES: dict[str, Objective] = {"elbo": elbo, "beta": beta, "beta-tc": beta_tc, "dip-ii": dip_ii}
