"""decoder_P: from perspective latents to the parameters of a transformation."""

import torch
from torch import Tensor, nn

from vitae.models.networks import hidden_layers
from vitae.support.errors import InputError

PERSPECTIVE_DECODERS = ("generators", "generators+hidden", "linear", "hidden")


def _near_zero(layer: nn.Linear, scale: float) -> nn.Linear:
    """A layer with `scale` times its usual weights, and no bias."""
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.bias.zero_()
    return layer


class ParameterDecoder(nn.Module):
    """decoder_P: from perspective latents to the parameters gamma of a transformation, `batch x dim`.

    The last layer starts `start` times smaller than usual and without a bias, so that training begins near the
    identity: a large random warp at the start throws digits out of the frame, and the model then learns to
    explain everything by appearance. No parameter goes beyond `limit`, which a tanh sees to; None is no limit.

    Given `generators`, `n x dim`, gamma is the sum of two parts: a linear map in which each latent starts as one of
    them, `start` times as much at one standard deviation (latents beyond the n-th start at random), and, if there are
    hidden layers, their output, which starts at zero. Where two motions are known equally well the ELBO costs the same
    whichever way they share two axes, so that a training has no reason to leave the axes it starts with.

    Raises:
        InputError: no latents, or generators of another size than `dim`.
    """

    def __init__(
        self,
        latents: int,
        dim: int,
        hidden: tuple[int, ...] = (128,),
        start: float = 0.1,
        limit: float | None = None,
        generators: Tensor | None = None,
    ):
        super().__init__()
        if generators is not None and (generators.ndim != 2 or generators.shape[1] != dim):
            raise InputError(f"generators must be n x {dim}, got {' x '.join(map(str, generators.shape))}.")
        self.limit = limit
        self.motions = self.layers = None
        bends = hidden_layers([latents, *hidden])
        if generators is None or bends:
            self.layers = nn.Sequential(*bends, _near_zero(nn.Linear([latents, *hidden][-1], dim), start))
        if generators is not None:
            self.motions = _near_zero(nn.Linear(latents, dim), start)
            followed = generators[:latents]
            with torch.no_grad():
                self.motions.weight[:, : len(followed)] = start * followed.T
                if bends:
                    self.layers[-1].weight.zero_()

    def forward(self, z: Tensor) -> Tensor:
        gamma = sum(part(z) for part in (self.motions, self.layers) if part is not None).to(z.dtype)
        return gamma if self.limit is None else self.limit * torch.tanh(gamma / self.limit)
