r"""Models whose two spaces are trained to know nothing of each other.

A discriminator learns to distinguish codes (z_A, z_P) from those whose z_P is another image's. Its log odds estimate
log q(z_A, z_P) / q(z_A) q(z_P), and their mean over codes the mutual information of the two spaces in nats: the part of
the total correlation that lies between the spaces. So latents may depend on each other within a space, and the
aggregate posterior needs no density. The method is FactorVAE's (Kim & Mnih, 2018) with spaces in place of latents.

The choice of archetypes is a draw without a gradient: there the mutual information trains z_P and what is continuous.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from vitae.models.archetypes import Archetypes
from vitae.models.base import Output, TransformingModel, frozen
from vitae.models.networks import perceptron
from vitae.models.vitae import VITAE
from vitae.support.randomness import Noise, normal

_HIDDEN = (256, 256, 256)


class WithDiscriminator(TransformingModel):
    """Mixin: passes of a training carry the mutual information of the spaces and the discriminator's loss."""

    def add_discriminator(self) -> None:
        """Add a discriminator of all latents with initial weights."""
        self.discriminator = perceptron(sum(self.spaces.values()), _HIDDEN, 1)

    def forward(self, x: Tensor, noise: Noise | None) -> Output:
        """A pass as in every model; with noise, `terms` holds two more means over the batch.

        `mutual_information` is the estimate in nats, `discriminator` the discriminator's cross-entropy, summed over
        codes and those with another image's z_P.
        """
        output = super().forward(x, noise)
        if noise is not None:
            z_A, z_P = output.latents.samples["z_A"], output.latents.samples["z_P"]
            # The order of independent normals is a uniform permutation.
            others = z_P[normal(z_P[:, 0], noise).argsort()]
            own = torch.cat([z_A, z_P], 1)
            mixed = torch.cat([z_A, others], 1)
            cross_entropy = softplus(-self.discriminator(own.detach())) + softplus(self.discriminator(mixed.detach()))
            output.terms["mutual_information"] = frozen(self.discriminator)(own).mean()
            output.terms["discriminator"] = cross_entropy.mean()
        return output


class IndependentVITAE(WithDiscriminator, VITAE):
    """A VITAE with a discriminator of its two spaces; arguments as of `VITAE`."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.add_discriminator()


class IndependentArchetypes(WithDiscriminator, Archetypes):
    """Archetypes with a discriminator of the two spaces; arguments as of `Archetypes`."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.add_discriminator()
