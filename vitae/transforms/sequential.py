"""TODO transforms.sequential."""

import torch
from torch import Tensor

from vitae.support.errors import InputError
from vitae.transforms.base import Transformation


class Sequential(Transformation):
    """Several transformations, one after the other; gamma is their parameters side by side.

    The inverse undoes them in reverse order: (T_2 T_1)^-1 = T_1^-1 T_2^-1, so negating gamma alone would not do.
    """

    def __init__(self, *parts: Transformation):
        if not parts:
            raise InputError("Sequential needs at least one transformation.")
        self.parts = parts
        self.dim = sum(part.dim for part in parts)

    @property
    def generators(self) -> Tensor:
        return torch.block_diag(*(part.generators for part in self.parts))

    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        self.check(gamma)
        for part, own in self._pairs(gamma, inverse):
            points = part.apply(own, points, inverse=inverse)
        return points

    def sample(self, images: Tensor, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        points = self.check_sample(images, gamma, points)
        pairs = self._pairs(gamma, inverse)
        for part, own in pairs[:-1]:
            points = part.apply(own, points, inverse=inverse)
        part, own = pairs[-1]
        return part.sample(images, own, points, inverse=inverse)

    def _pairs(self, gamma: Tensor, inverse: bool) -> list[tuple[Transformation, Tensor]]:
        """Parts and their parameters in the order in which they move a point."""
        pairs = list(zip(self.parts, gamma.split([part.dim for part in self.parts], dim=1), strict=True))
        return pairs[::-1] if inverse else pairs

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.parts))})"
