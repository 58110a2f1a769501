"""The log ratio of two densities of codes by a discriminator, for FactorVAE and the mutual information of spaces."""

from torch import Tensor, nn
from torch.nn.functional import softplus

from vitae.models.base import frozen


def log_ratio(discriminator: nn.Module, own: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
    """The mean log ratio of the density of codes to that of mixed codes, and what trains its estimate.

    The discriminator learns to distinguish the two; its log odds then estimate the log ratio (Kim & Mnih, 2018).

    Args:
        discriminator: codes -> log odds, `batch x 1`.
        own: codes, `batch x latents`, which get the gradient of the estimate.
        mixed: the same with parts exchanged over the batch.

    Returns:
        The estimate in nats, without a gradient to the discriminator; and the discriminator's cross-entropy, summed
        over both kinds of codes, without a gradient to the codes.
    """
    cross_entropy = softplus(-discriminator(own.detach())) + softplus(discriminator(mixed.detach()))
    return frozen(discriminator)(own).mean(), cross_entropy.mean()
