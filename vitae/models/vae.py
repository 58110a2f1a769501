"""The variational autoencoder: z ~ N(0, I), x ~ p(x | decoder(z)), q(z | x) a diagonal Gaussian (poster, [2])."""

from torch import Tensor, nn

from vitae.models.base import GenerativeModel, Latents
from vitae.support.randomness import Noise


class VAE(GenerativeModel):
    """One latent space, `z`. With another objective it is a beta-VAE, a beta-TCVAE or a DIP-VAE."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: nn.Module, latents: int):
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.spaces = {"z": latents}

    def infer(self, x: Tensor, noise: Noise | None, samples: int = 1) -> Latents:
        posterior = self.encoder(x).repeat(samples)
        return Latents({"z": posterior}, {"z": posterior.sample(noise)})

    def decode(self, z: dict[str, Tensor]) -> Tensor:
        return self.likelihood.mean(self.decoder(z["z"]))
