r"""Models whose two spaces are trained to know nothing of each other.

A discriminator learns to distinguish codes (z_A, z_P) from those whose z_P is another image's. Its log odds estimate
log q(z_A, z_P) / q(z_A) q(z_P), and their mean over codes the mutual information of the two spaces in nats: the part of
the total correlation that lies between the spaces. So latents may depend on each other within a space, and the
aggregate posterior needs no density. The method is FactorVAE's (Kim & Mnih, 2018) with spaces in place of latents.

The choice of archetypes is a draw without a gradient: there the mutual information trains z_P and what is continuous.
"""

import torch
from torch import Tensor

from vitae.models.archetypes import Archetypes
from vitae.models.base import Output, TransformingModel
from vitae.models.discriminator import log_ratio
from vitae.models.networks import perceptron
from vitae.models.vitae import VITAE
from vitae.support.randomness import Noise, normal

_HIDDEN = (256, 256, 256)


class WithDiscriminator(TransformingModel):
    """Mixin, before the class of a model: passes of a training carry the spaces' mutual information.

    Arguments are those of the model.
    """

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
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
            own, mixed = (torch.cat([z_A, each], 1) for each in (z_P, others))
            estimate, cross_entropy = log_ratio(self.discriminator, own, mixed)
            output.terms |= {"mutual_information": estimate, "discriminator": cross_entropy}
        return output


class IndependentVITAE(WithDiscriminator, VITAE):
    """A VITAE with a discriminator of its two spaces."""


class IndependentArchetypes(WithDiscriminator, Archetypes):
    """Archetypes with a discriminator of the two spaces."""
