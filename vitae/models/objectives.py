"""Training objectives: losses of a model's output, so that any objective can train any architecture.

All are built on the evidence lower bound, ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z)), in nats per image, averaged
over the batch, and return the loss to minimise::

    elbo      -ELBO
    beta      reconstruction + beta KL                                        (Higgins et al., 2017)
    beta-tc   -ELBO + (beta - 1) TC,  TC = KL(q(z) || prod_j q(z_j))          (Chen et al., 2018)
    dip-ii    -ELBO + lambda (sum_{i != j} C_ij^2 + sum_i (C_ii - 1)^2)       (Kumar et al., 2018)
              with C = Cov(mu) + mean(diag sigma^2), the covariance of the aggregate posterior
    capacity  reconstruction + gamma |KL - C|, C growing from 0 to capacity   (Burgess et al., 2018)

Others belong to models that compute the terms they need::

    held         -ELBO + hold CE(q(k | x), nearest k-means cluster), fading during KL annealing, for archetypes
    mi           -ELBO + gamma I(z_A; z_P), by a discriminator, plus the discriminator's loss; held-mi is held with it
    factor       -ELBO + gamma TC, TC by a discriminator, plus the discriminator's loss   (Kim & Mnih, 2018)
    decremental  sum_i reconstruction_i + beta_i KL_i over DeVAE's stages
    difference   critic + 10 gradient penalty + generator + sample encoder + difference x contrastive loss of DiD

`kl_weight` is the weight of KL annealing: it scales all regularisation terms, and is 1 after the annealing and in
evaluation. In `capacity` it scales the capacity instead. The strengths of an objective are its own hyperparameters, for
instance beta. `register_objective` adds an objective.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vitae.models.base import Output
from vitae.models.gaussian import Gaussian
from vitae.support.errors import InputError
from vitae.support.registry import Registry


@dataclass(frozen=True)
class Objective:
    """A loss and its hyperparameters.

    Attributes:
        loss: `(output, *, kl_weight, **strengths) -> scalar`, in nats per image.
        strengths: default of each hyperparameter that the loss takes beside `kl_weight`.
        help: description of each strength, for the command line.
        aggregate: whether the loss needs densities or moments of the aggregate posterior, the average of q(z | x) over
            images. It then trains no model whose posteriors also depend on draws from other latent spaces.
    """

    loss: Callable[..., Tensor]
    strengths: dict[str, float]
    help: dict[str, str]
    aggregate: bool = False


OBJECTIVES: Registry[Objective] = Registry("objective")


def loss_of(objective: str | Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss of a registered objective; a function is a loss already.

    Raises:
        InputError: there is no objective of that name.
    """
    return objective if callable(objective) else OBJECTIVES.named(objective).loss


def register_objective(name: str, *, aggregate: bool = False, **strengths: float | tuple[float, str]) -> Callable:
    """Decorator: register a loss `(output, *, kl_weight=1.0, **strengths) -> scalar` as an objective.

    Args:
        aggregate: see `Objective`.
        strengths: the default of each hyperparameter of the loss, alone or with its description for `--help`.

    Raises:
        InputError: the name is not allowed or taken.

    Example::

        @register_objective("beta", beta=(4.0, "weight of the KL"))
        def beta(output, *, beta, kl_weight=1.0): ...
    """
    given = {key: value if isinstance(value, tuple) else (value, "") for key, value in strengths.items()}

    def registered(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        values = {key: float(number) for key, (number, _) in given.items()}
        texts = {key: text for key, (_, text) in given.items()}
        OBJECTIVES.add(name, Objective(loss, values, texts, aggregate), module=loss.__module__)
        return loss

    return registered


def kl_to_prior(output: Output) -> Tensor:
    """KL(q(z | x) || p(z)) over all latent spaces, in nats, `batch`."""
    return output.latents.kl_to_prior().sum(1)


def elbo_per_image(output: Output) -> Tensor:
    """One-sample estimate of the ELBO (its KL in closed form), in nats, `batch`."""
    return output.log_likelihood - kl_to_prior(output)


# Default strengths are values in common use on other data (Locatello et al., 2019, and the papers above).
@register_objective("elbo")
def elbo(output: Output, *, kl_weight: float = 1.0) -> Tensor:
    """-ELBO: the loss of the VAE and of VITAE."""
    return -(output.log_likelihood - kl_weight * kl_to_prior(output)).mean()


@register_objective("beta", beta=(4.0, "weight of the KL"))
def beta(output: Output, *, beta: float, kl_weight: float = 1.0) -> Tensor:
    """-ELBO with the KL multiplied by beta (Higgins et al., 2017); beta = 1 is -ELBO."""
    return elbo(output, kl_weight=kl_weight * beta)


@register_objective("beta-tc", aggregate=True, beta=(6.0, "weight of the total correlation"))
def beta_tc(output: Output, *, beta: float, kl_weight: float = 1.0) -> Tensor:
    """-ELBO + (beta - 1) TC over all latent spaces jointly (Chen et al., 2018); beta = 1 is -ELBO."""
    correlation = output.latents.joint().total_correlation(output.latents.joint_sample())
    return elbo(output, kl_weight=kl_weight) + kl_weight * (beta - 1) * correlation


def aggregate_covariance(posterior: Gaussian) -> Tensor:
    """Covariance of the aggregate posterior of a batch, Cov(mu) + mean(diag sigma^2), `latents x latents`."""
    centred = posterior.mean - posterior.mean.mean(0)
    return centred.T @ centred / len(centred) + torch.diag(posterior.log_variance.exp().mean(0))


@register_objective(
    "dip-ii", aggregate=True, dip_lambda=(10.0, "weight of the aggregate covariance's distance from the identity")
)
def dip_ii(output: Output, *, dip_lambda: float, kl_weight: float = 1.0) -> Tensor:
    """-ELBO + dip_lambda times the squared distance of the aggregate covariance from I (Kumar et al., 2018)."""
    covariance = aggregate_covariance(output.latents.joint())
    distance = ((covariance - torch.eye(len(covariance)).to(covariance)) ** 2).sum()
    return elbo(output, kl_weight=kl_weight) + kl_weight * dip_lambda * distance


@register_objective(
    "capacity",
    gamma=(100.0, "weight of the distance of the KL from its capacity"),
    capacity=(25.0, "KL at the end of KL annealing, in nats"),
)
def capacity(output: Output, *, gamma: float, capacity: float, kl_weight: float = 1.0) -> Tensor:
    """`reconstruction + gamma |KL - C|` (Burgess et al., 2018); KL annealing raises C from 0 to `capacity` nats."""
    distance = (kl_to_prior(output).mean() - kl_weight * capacity).abs()
    return gamma * distance - output.log_likelihood.mean()


@register_objective("held", hold=(200.0, "weight, at first, of holding q(k | x) to the k-means clusters"))
def held(output: Output, *, hold: float, kl_weight: float = 1.0) -> Tensor:
    """-ELBO, and the cross-entropy of q(k | x) with the nearest k-means cluster, fading out over KL annealing.

    Until the transformations are learned, the template that fits an image best is one that happens to be near. The hold
    keeps the choice from following it.
    """
    return elbo(output, kl_weight=kl_weight) + (1 - kl_weight) * hold * output.terms["hold"]


@register_objective("mi", gamma=(10.0, "weight of the mutual information of z_A and z_P"))
def mi(output: Output, *, gamma: float, kl_weight: float = 1.0) -> Tensor:
    """-ELBO + gamma I(z_A; z_P), plus the loss of the discriminator that estimates the mutual information."""
    return elbo(output, kl_weight=kl_weight) + _mutual_information(output, gamma, kl_weight)


@register_objective("held-mi", hold=OBJECTIVES["held"].strengths["hold"], gamma=OBJECTIVES["mi"].strengths["gamma"])
def held_mi(output: Output, *, hold: float, gamma: float, kl_weight: float = 1.0) -> Tensor:
    """`held` and the penalty of `mi`."""
    return held(output, hold=hold, kl_weight=kl_weight) + _mutual_information(output, gamma, kl_weight)


def _mutual_information(output: Output, gamma: float, kl_weight: float) -> Tensor:
    return kl_weight * gamma * output.terms["mutual_information"] + output.terms["discriminator"]


@register_objective("factor", gamma=(35.0, "weight of the total correlation"))
def factor(output: Output, *, gamma: float, kl_weight: float = 1.0) -> Tensor:
    """-ELBO + gamma TC, with FactorVAE's estimate of the TC, plus the loss of its discriminator (Kim & Mnih, 2018)."""
    penalty = kl_weight * gamma * output.terms["total_correlation"]
    return elbo(output, kl_weight=kl_weight) + penalty + output.terms["discriminator"]


@register_objective(
    "decremental",
    beta_1=(1.0, "weight of the KL in DeVAE's first and widest stage"),
    beta_2=(10.0, "weight of the KL in DeVAE's second stage"),
    beta_3=(40.0, "weight of the KL in DeVAE's third stage"),
)
@register_objective("decremental-2", beta_1=1.0, beta_2=40.0)
def decremental(output: Output, *, kl_weight: float = 1.0, **betas: float) -> Tensor:
    """The sum of the `beta` losses of DeVAE's stages, the widest first, with weights beta_1, beta_2, ...

    Raises:
        InputError: the betas are not one per stage.
    """
    stages = (output, *output.extra_passes)
    names = [f"beta_{number}" for number in range(1, len(stages) + 1)]
    if betas.keys() != set(names):
        raise InputError(
            f"a model with {len(stages)} stages needs as many betas ({', '.join(names)}), got "
            f"{', '.join(sorted(betas)) or 'none'}: choose an objective with one beta per stage."
        )
    return sum(beta(stage, beta=betas[name], kl_weight=kl_weight) for stage, name in zip(stages, names, strict=True))


# Weight of the gradient penalty (Gulrajani et al., 2017).
_GRADIENT_PENALTY = 10.0


@register_objective(
    "difference",
    difference=(1.0, "weight of DiD's contrastive loss"),
    independence=(0.0, "weight of the total correlation in DiD, for comparison with the contrastive loss"),
)
def difference(output: Output, *, difference: float, independence: float, kl_weight: float = 1.0) -> Tensor:
    """The sum of DiD's losses; `independence` weights the total correlation, an alternative to the contrastive loss."""
    terms = output.terms
    adversarial = terms["critic"] + _GRADIENT_PENALTY * terms["penalty"] + terms["generator"]
    disentangling = difference * terms["difference"] + independence * terms["total_correlation"]
    return adversarial + terms["encoder"] + kl_weight * disentangling
