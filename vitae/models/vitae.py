"""VITAE, the variationally inferred transformational autoencoder (Detlefsen & Hauberg, 2019).

Generative model: z_A, z_P ~ N(0, I); x_tilde = decoder_A(z_A); gamma = decoder_P(z_P); x = T_gamma(x_tilde).

There are two inference models. U-VITAE (unconditional) infers both latents from the image, q(z_P | x) q(z_A | x).
C-VITAE (conditional) infers appearance from the image with the inferred perspective undone,
`q(z_P | x) q(z_A | T_-gamma(x))` with gamma = decoder_P(z_P), so that inference mirrors generation.
"""

from torch import Tensor, nn

from vitae.models.base import Latents, TransformingModel, code_in
from vitae.support.randomness import Noise
from vitae.transforms import Transformation


class VITAE(TransformingModel):
    """Two latent spaces, appearance `z_A` and perspective `z_P`, combined by a spatial transformer.

    Args:
        encoder_A: images -> q(z_A | .), a `Gaussian`, `batch x d_A`.
        encoder_P: images -> q(z_P | x), a `Gaussian`, `batch x d_P`.
        decoder_A: z_A -> unbounded images.
        decoder_P: z_P -> gamma, `batch x transformation.dim`.
        transformation: T_gamma.
        likelihood: see `vitae.models.likelihoods`.
        spaces: the dimensions, `{"z_A": d_A, "z_P": d_P}`.
        conditional: C-VITAE if true, else U-VITAE.
    """

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
            q_A = self.encoder_A(self.undo_perspective(x.repeat_interleave(samples, 0), {"z_P": z_P}))
        else:
            q_A = self.encoder_A(x).repeat(samples)
        return Latents({"z_A": q_A, "z_P": q_P}, {"z_A": q_A.sample(noise), "z_P": z_P})

    def appearance(self, z: dict[str, Tensor]) -> Tensor:
        return self.likelihood.mean(self.decoder_A(code_in(z, "z_A")))

    def gamma(self, z: dict[str, Tensor]) -> Tensor:
        return self.decoder_P(code_in(z, "z_P"))
