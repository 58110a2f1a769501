r"""DeVAE (decremental bottleneck): several latent spaces of one image, each narrower than the one before.

The encoder gives the posterior of space 0. Space i + 1 comes from space i by a diagonal map, a factor exp(w_i) for the
means and an offset u_i of the log-variances, which start at 1 and 0: no axis ever gets anything of another, so what
is disentangled in a narrow space is so in the wide one. One decoder serves all, told by an embedding which space a
code is of. Space i is trained by reconstruction and beta_i KL, with beta increasing; space 0 is the code.
"""

import torch
from torch import Tensor, nn

from vitae.models.base import Latents, Output
from vitae.models.gaussian import Gaussian
from vitae.models.vae import VAE
from vitae.support.errors import InputError
from vitae.support.randomness import Noise


class DeVAE(VAE):
    """One latent space `z`, space 0, and `stages - 1` narrower ones that only training sees.

    Args:
        decoder: of `latents + embedding` numbers.
        stages: how many spaces; with one it is a VAE whose decoder gets a constant beside the code.
        embedding: numbers that tell the decoder which space a code is of.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        latents: int,
        stages: int,
        embedding: int,
    ):
        super().__init__(encoder, decoder, likelihood, latents)
        if stages < 1:
            raise InputError(f"DeVAE needs one space or more, got {stages}.")
        self.embeddings = nn.Parameter(torch.randn(stages, embedding))
        self.log_factors = nn.Parameter(torch.zeros(stages - 1, latents))
        self.offsets = nn.Parameter(torch.zeros(stages - 1, latents))

    def decode(self, z: dict[str, Tensor]) -> Tensor:
        return self._decode(z["z"], 0)

    def _decode(self, z: Tensor, stage: int) -> Tensor:
        told = self.embeddings[stage].expand(len(z), -1).to(z.dtype)
        return self.likelihood.mean(self.decoder(torch.cat([z, told], 1)))

    def narrower(self, posterior: Gaussian) -> list[Gaussian]:
        """Posteriors of spaces 1, 2, ... from that of space 0, `batch x d` each."""
        found = [posterior]
        for factor, offset in zip(self.log_factors, self.offsets, strict=True):
            last = found[-1]
            found.append(Gaussian(last.mean * factor.exp(), last.log_variance + offset))
        return found[1:]

    def forward(self, x: Tensor, noise: Noise | None) -> Output:
        """As in every model, of space 0; `further` has the passes through the narrower spaces."""
        output = super().forward(x, noise)
        further = []
        for stage, posterior in enumerate(self.narrower(output.latents.posteriors["z"]), 1):
            z = posterior.sample(noise)
            mean = self._decode(z, stage)
            further.append(Output(Latents({"z": posterior}, {"z": z}), mean, self.log_likelihood(x, mean)))
        output.further = tuple(further)
        return output
