"""The variational autoencoder (Kingma & Welling, 2014): z ~ N(0, I), x ~ p(x | decoder(z)), q(z | x) is Gaussian."""

from torch import Tensor, nn

from vitae.models.base import GenerativeModel, Latents, code_in
from vitae.support.randomness import Noise


class VAE(GenerativeModel):
    """One latent space, `z`. Trained with other objectives it is a beta-VAE, beta-TCVAE or DIP-VAE.

    Args:
        encoder: images -> `Gaussian`, `batch x latents`.
        decoder: `batch x latents` -> unbounded images.
        likelihood: see `vitae.models.likelihoods`.
        latents: dimension of z.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: nn.Module, latents: int):
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.spaces = {"z": latents}

    def infer(self, x: Tensor, noise: Noise | None, samples: int = 1) -> Latents:
        posterior = self.encoder(x).repeat(samples)
        return Latents({"z": posterior}, {"z": posterior.sample(noise)})

    def decode(self, z: dict[str, Tensor]) -> Tensor:
        return self.likelihood.mean(self.decoder(code_in(z, "z")))
