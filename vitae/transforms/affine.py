"""Affine maps that are the matrix exponential of their velocity field; their determinant is positive.

A velocity field v(p) = A p + t, flowed for unit time, moves p by the matrix exponential of the generator
[[g11 g12 g13], [g21 g22 g14], [0 0 0]] (the poster's second column), and running the field backwards, -gamma, is the
exact inverse. See `exponential` for how it is computed.
"""

import torch
from torch import Tensor

from vitae.transforms.base import Transformation
from vitae.transforms.kernels import operators


class Affine(Transformation):
    """The six-parameter family; gamma = (g11, g12, g21, g22, g13, g14): the 2 x 2 part, then the translation.

    Translations are in units of half the image; a pure rotation by r radians is gamma = (0, -r, r, 0, 0, 0).
    """

    dim = 6

    @property
    def generators(self) -> Tensor:
        """Translation right and down, rotation, scaling, stretching along the axes and along the diagonals: `6 x 6`.

        Named by what they do to points; a picture is pulled back and does the opposite.
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
        """The affine map of each gamma, `batch x 2 x 3`."""
        entries = self._entries(gamma, inverse)
        return torch.cat([entries[:, :4].unflatten(1, (2, 2)), entries[:, 4:, None]], dim=-1)

    def _entries(self, gamma: Tensor, inverse: bool) -> Tensor:
        self.check(gamma)
        return operators.affine_map(-gamma if inverse else gamma)

    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        points = self.check_points(gamma, points)
        a, b, c, d, tx, ty = self._entries(gamma, inverse)[..., None].unbind(1)
        x, y = points[..., 0], points[..., 1]
        # Written out, because a batched product of 2 x 2 matrices costs five times as much on a CPU.
        return torch.stack([a * x + b * y + tx, c * x + d * y + ty], dim=-1)

    def sample(self, images: Tensor, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        if not operators.on_cpu_kernels(images):
            return super().sample(images, gamma, points, inverse=inverse)
        points = self.check_sample(images, gamma, points)
        return operators.affine_sample(self._entries(gamma, inverse), points, images)

    def velocity(self, points: Tensor, gamma: Tensor) -> Tensor:
        points = self.check_points(gamma, points)
        a, b, c, d, tx, ty = gamma[..., None].unbind(1)
        x, y = points[..., 0], points[..., 1]
        return torch.stack([a * x + b * y + tx, c * x + d * y + ty], dim=-1)
