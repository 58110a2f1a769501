"""decoder_P: maps perspective latents to the parameters gamma of a transformation."""

import torch
from torch import Tensor, nn

from vitae.models.networks import hidden_layers
from vitae.support.errors import InputError

PERSPECTIVE_DECODERS = ("generators", "generators+hidden", "linear", "hidden")


def _scaled_down(layer: nn.Linear, scale: float) -> nn.Linear:
    """Multiply a layer's initial weights by `scale` and set its bias to zero, in place."""
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.bias.zero_()
    return layer


class ParameterDecoder(nn.Module):
    """Maps perspective latents, `batch x latents`, to parameters of a transformation, `batch x dim`.

    The initial transformation is near the identity. A large random warp moves digits out of the frame, and the model
    then learns to explain everything by appearance.

    With `generators`, gamma is the sum of a linear map, in which each latent starts as one generator, and, if there are
    hidden layers, their output, which starts at zero. The ELBO does not prefer any rotation of two latents whose
    motions are inferred equally well, so training tends to keep the initial axes.

    Args:
        latents: dimension of z_P.
        dim: number of parameters of the transformation.
        hidden: widths of the hidden layers.
        start: scale of the initial map: the last layer has this fraction of its usual weights and no bias, and a latent
            of one moves this far along its generator.
        limit: bound on each parameter, enforced by a tanh; None for no bound.
        generators: named motions of the transformation, `n x dim`. Latents beyond the n-th start at random.

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
        nonlinear = hidden_layers([latents, *hidden])
        if generators is None or nonlinear:
            self.layers = nn.Sequential(*nonlinear, _scaled_down(nn.Linear([latents, *hidden][-1], dim), start))
        if generators is not None:
            self.motions = _scaled_down(nn.Linear(latents, dim), start)
            assigned = generators[:latents]
            with torch.no_grad():
                self.motions.weight[:, : len(assigned)] = start * assigned.T
                if nonlinear:
                    self.layers[-1].weight.zero_()

    def forward(self, z: Tensor) -> Tensor:
        gamma = sum(part(z) for part in (self.motions, self.layers) if part is not None).to(z.dtype)
        return gamma if self.limit is None else self.limit * torch.tanh(gamma / self.limit)
