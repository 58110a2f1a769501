r"""FactorVAE (Kim & Mnih, 2018): a VAE and a discriminator that tells codes from codes whose parts were shuffled.

Codes z ~ q(z) are told from draws of prod_j q(z_j), which are codes with each latent shuffled over the batch. The
discriminator's log odds are then an estimate of log q(z) / prod_j q(z_j), and their mean one of the total correlation.

Both are trained in one step from one batch: the discriminator's loss sees codes without a gradient, and the total
correlation sees a discriminator without one. The paper alternates, with a second batch for the discriminator.
"""

from torch import Tensor, nn
from torch.nn.functional import softplus

from vitae.models.base import Output, frozen
from vitae.models.networks import perceptron
from vitae.models.vae import VAE
from vitae.support.randomness import Noise, normal


class FactorVAE(VAE):
    """A VAE whose passes carry an estimate of the total correlation, in nats, and the discriminator's loss."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        latents: int,
        hidden: tuple[int, ...] = (256, 256, 256),
    ):
        super().__init__(encoder, decoder, likelihood, latents)
        self.discriminator = perceptron(latents, hidden, 1)

    def forward(self, x: Tensor, noise: Noise | None) -> Output:
        """As in every model; with noise, `terms` has `total_correlation` and `discriminator`, means over the batch."""
        output = super().forward(x, noise)
        if noise is not None:
            z = output.latents.samples["z"]
            # Sorting by noise shuffles each latent by itself.
            shuffled = z.gather(0, normal(z, noise).argsort(0)).detach()
            told = softplus(-self.discriminator(z.detach())) + softplus(self.discriminator(shuffled))
            output.terms["total_correlation"] = frozen(self.discriminator)(z).mean()
            output.terms["discriminator"] = told.mean()
        return output
