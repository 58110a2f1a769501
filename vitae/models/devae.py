r"""DeVAE (decremental bottleneck): several latent spaces per image, each with a narrower bottleneck than the last.

The encoder computes the posterior of space 0. The posterior of space i + 1 is that of space i with its means multiplied
by exp(w_i) and u_i added to its log-variances; both start at zero. These maps are diagonal and never mix axes, so a
code that is disentangled in a narrow space is disentangled in the wide one too. All spaces share one decoder, which
gets an embedding of the stage beside the code. The loss of space i is its reconstruction error plus beta_i KL, with
increasing beta. Space 0 is the code at test time.
"""

import torch
from torch import Tensor, nn

from vitae.models.base import Latents, Output, code_in
from vitae.models.gaussian import Gaussian
from vitae.models.vae import VAE
from vitae.support.errors import InputError
from vitae.support.randomness import Noise


class DeVAE(VAE):
    """One latent space `z`, space 0, and `stages - 1` narrower ones that only training uses.

    Args:
        encoder: images -> `Gaussian`, `batch x latents`.
        decoder: `batch x (latents + embedding)` -> unbounded images.
        likelihood: see `vitae.models.likelihoods`.
        latents: dimension of each space.
        stages: number of spaces; one stage is a VAE whose decoder gets a constant beside the code.
        embedding: dimension of the stage's embedding.

    Raises:
        InputError: `stages` is below one.
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
            raise InputError(f"DeVAE needs at least one stage, got {stages}.")
        self.embeddings = nn.Parameter(torch.randn(stages, embedding))
        self.log_factors = nn.Parameter(torch.zeros(stages - 1, latents))
        self.offsets = nn.Parameter(torch.zeros(stages - 1, latents))

    def decode(self, z: dict[str, Tensor]) -> Tensor:
        return self._decode(code_in(z, "z"), 0)

    def _decode(self, z: Tensor, stage: int) -> Tensor:
        embedding = self.embeddings[stage].expand(len(z), -1).to(z.dtype)
        return self.likelihood.mean(self.decoder(torch.cat([z, embedding], 1)))

    def narrower_posteriors(self, posterior: Gaussian) -> list[Gaussian]:
        """The posteriors of spaces 1, 2, ..., `batch x latents` each.

        Args:
            posterior: that of space 0.
        """
        posteriors = [posterior]
        for log_factor, offset in zip(self.log_factors, self.offsets, strict=True):
            last = posteriors[-1]
            posteriors.append(Gaussian(last.mean * log_factor.exp(), last.log_variance + offset))
        return posteriors[1:]

    def forward(self, x: Tensor, noise: Noise | None) -> Output:
        """The pass through space 0, with those through the narrower spaces as `extra_passes`."""
        output = super().forward(x, noise)
        extra_passes = []
        for stage, posterior in enumerate(self.narrower_posteriors(output.latents.posteriors["z"]), 1):
            z = posterior.sample(noise)
            mean = self._decode(z, stage)
            extra_passes.append(Output(Latents({"z": posterior}, {"z": z}), mean, self.log_likelihood(x, mean)))
        output.extra_passes = tuple(extra_passes)
        return output
