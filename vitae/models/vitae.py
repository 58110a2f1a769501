"""VITAE, the variationally inferred transformational autoencoder (poster, "Architecture").

Generative story: z_A, z_P ~ N(0, I); x_tilde = decoder_A(z_A); gamma = decoder_P(z_P); x = T_gamma(x_tilde).

Inference comes in two variants. U-VITAE (unconditional) reads both spaces from the image, q(z_P | x) q(z_A | x).
C-VITAE (conditional) first undoes the perspective it has just inferred and reads appearance from what remains,
`q(z_P | x) q(z_A | T_-gamma(x))` with gamma = decoder_P(z_P): the encoder mirrors the decoder.
"""

from torch import Tensor, nn

from vitae.models.base import GenerativeModel, Latents
from vitae.support.randomness import Noise
from vitae.transforms import Transformation


class VITAE(GenerativeModel):
    """Two latent spaces, `z_A` for appearance and `z_P` for perspective, tied by a spatial transformer."""

    def __init__(
        self,
        encoder_A: nn.Module,
        encoder_P: nn.Module,
        decoder_A: nn.Module,
        decoder_P: nn.Module,
        transformation: Transformation,
        likelihood: nn.Module,
        spaces: dict[str, int],
        conditional: bool,
    ):
        super().__init__()
        self.encoder_A, self.encoder_P = encoder_A, encoder_P
        self.decoder_A, self.decoder_P = decoder_A, decoder_P
        self.transformation, self.likelihood = transformation, likelihood
        self.spaces = dict(spaces)
        self.conditional = conditional

    def infer(self, x: Tensor, noise: Noise | None, samples: int = 1) -> Latents:
        q_P = self.encoder_P(x).repeat(samples)
        z_P = q_P.sample(noise)
        if self.conditional:
            q_A = self.encoder_A(self.undo_perspective(x.repeat_interleave(samples, 0), z_P))
        else:
            q_A = self.encoder_A(x).repeat(samples)
        return Latents({"z_A": q_A, "z_P": q_P}, {"z_A": q_A.sample(noise), "z_P": z_P})

    def undo_perspective(self, x: Tensor, z_P: Tensor) -> Tensor:
        """`T_-gamma(x)` with gamma = decoder_P(z_P): the image as the appearance encoder of C-VITAE sees it."""
        return self.transformation.warp(x, self.decoder_P(z_P), inverse=True)

    def decode(self, z: dict[str, Tensor]) -> Tensor:
        appearance = self.likelihood.mean(self.decoder_A(z["z_A"]))
        return self.transformation.warp(appearance, self.decoder_P(z["z_P"]))
