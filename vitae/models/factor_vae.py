r"""FactorVAE (Kim & Mnih, 2018): a VAE whose total correlation is estimated by a discriminator.

The discriminator is trained to distinguish codes z ~ q(z) from draws of prod_j q(z_j): codes with each latent permuted
over the batch. Its log odds then estimate log q(z) / prod_j q(z_j), and their mean over codes the total correlation.

Each step trains both from one batch: codes are detached in the discriminator's loss, and the discriminator is frozen in
the total correlation. Kim and Mnih alternate between the two, with a second batch for the discriminator.
"""

from torch import Tensor, nn

from vitae.models.base import Output
from vitae.models.discriminator import log_ratio
from vitae.models.networks import perceptron
from vitae.models.vae import VAE
from vitae.support.randomness import Noise, normal


class FactorVAE(VAE):
    """A VAE with a discriminator; its passes carry the total correlation and the discriminator's loss.

    Args:
        encoder: images -> `Gaussian`, `batch x latents`.
        decoder: `batch x latents` -> unbounded images.
        likelihood: see `vitae.models.likelihoods`.
        latents: dimension of z.
        hidden: widths of the discriminator.
    """

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
        """A pass as in every model; with noise, `terms` holds two means over the batch.

        `total_correlation` is the estimate in nats, `discriminator` the discriminator's cross-entropy, summed over real
        and permuted codes.
        """
        output = super().forward(x, noise)
        if noise is not None:
            z = output.latents.samples["z"]
            # The order of independent normals is a uniform permutation, one for each latent.
            permuted = z.gather(0, normal(z, noise).argsort(0))
            estimate, cross_entropy = log_ratio(self.discriminator, z, permuted)
            output.terms |= {"total_correlation": estimate, "discriminator": cross_entropy}
        return output
