"""Orientation-preserving affine maps, parametrised by the matrix logarithm.

The flow of the velocity field v(p) = A p + t for unit time is the affine map given by the matrix exponential of the
generator [[g11 g12 g13], [g21 g22 g14], [0 0 0]] (second column of the poster); -gamma gives the exact inverse.
`kernels.affine_reference` describes how it is computed.
"""

import torch
from torch import Tensor

from vitae.transforms.base import Transformation
from vitae.transforms.kernels import operators


class Affine(Transformation):
    """Affine maps with six parameters, gamma = (g11, g12, g21, g22, g13, g14): the 2 x 2 part, then the translation.

    Translations are in units of half the image. A rotation by r radians is gamma = (0, -r, r, 0, 0, 0).
    """

    dim = 6

    @property
    def generators(self) -> Tensor:
        """Translation right and down, rotation, scaling, stretching along the axes and along the diagonals, `6 x 6`.

        The names describe the motion of points; the content of a warped image moves the opposite way.
        """
        return torch.tensor(
            [
                [0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                [0.0, -1.0, 1.0, 0.0, 0.0, 0.0],
                [1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
                [1.0, 0.0, 0.0, -1.0, 0.0, 0.0],
                [0.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            ]
        )

    def matrix(self, gamma: Tensor, *, inverse: bool = False) -> Tensor:
        """The affine map of each gamma, `batch x 2 x 3`.

        Raises:
            InputError: gamma is not `batch x 6`.
        """
        self.check(gamma)
        entries = self._entries(gamma, inverse)
        return torch.cat([entries[:, :4].unflatten(1, (2, 2)), entries[:, 4:, None]], dim=-1)

    def _entries(self, gamma: Tensor, inverse: bool) -> Tensor:
        return operators.affine_map(-gamma if inverse else gamma)

    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        points = self.check(gamma, points=points)
        return _transform(self._entries(gamma, inverse), points)

    def velocity(self, gamma: Tensor, points: Tensor) -> Tensor:
        points = self.check(gamma, points=points)
        return _transform(gamma, points)

    def sample(self, images: Tensor, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        points = self.check(gamma, points=points, images=images)
        if not operators.has_cpu_kernels(images):
            return super().sample(images, gamma, points, inverse=inverse)
        # On one core, the two warps of a C-VITAE step on MNIST take 45% of the step in plain torch, and 20% compiled.
        return operators.affine_sample(self._entries(gamma, inverse), points, images)


def _transform(entries: Tensor, points: Tensor) -> Tensor:
    """A p + t, `batch x n x 2`, for the entries (a11, a12, a21, a22, t1, t2) of affine maps, `batch x 6`."""
    a, b, c, d, tx, ty = entries[..., None].unbind(1)
    x, y = points[..., 0], points[..., 1]
    # Component by component: a batched product of 2 x 2 matrices takes five times as long on a CPU.
    return torch.stack([a * x + b * y + tx, c * x + d * y + ty], dim=-1)
