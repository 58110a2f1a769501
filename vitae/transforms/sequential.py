"""Compositions of transformations, such as an affine map followed by a CPAB deformation."""

import torch
from torch import Tensor

from vitae.support.errors import InputError
from vitae.transforms.base import Transformation, require_dim


class Sequential(Transformation):
    """Several transformations applied in the given order; gamma is the concatenation of their parameters.

    The inverse applies the inverses in reverse order, (T_2 T_1)^-1 = T_1^-1 T_2^-1; negating gamma is not enough.

    Raises:
        InputError: there are no parts, or a part is not a `Transformation`.
    """

    def __init__(self, *parts: Transformation):
        if not parts:
            raise InputError("Sequential needs at least one transformation.")
        for number, part in enumerate(parts, 1):
            if not isinstance(part, Transformation):
                raise InputError(
                    f"Sequential takes transformations, as in Sequential(Affine(), CPAB()), but argument {number} is "
                    f"{part!r:.60}."
                )
            require_dim(part)
        self.parts = parts
        self.dim = sum(part.dim for part in parts)

    @property
    def generators(self) -> Tensor:
        return torch.block_diag(*(part.generators for part in self.parts))

    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        points = self.check(gamma, points=points)
        for part, part_gamma in self._in_order(gamma, inverse):
            points = part.apply(part_gamma, points, inverse=inverse)
        return points

    def sample(self, images: Tensor, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        points = self.check(gamma, points=points, images=images)
        *first, (last, last_gamma) = self._in_order(gamma, inverse)
        for part, part_gamma in first:
            points = part.apply(part_gamma, points, inverse=inverse)
        return last.sample(images, last_gamma, points, inverse=inverse)

    def _in_order(self, gamma: Tensor, inverse: bool) -> list[tuple[Transformation, Tensor]]:
        """The parts and their parameters, in the order in which they move a point."""
        pairs = list(zip(self.parts, gamma.split([part.dim for part in self.parts], dim=1), strict=True))
        return pairs[::-1] if inverse else pairs

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.parts))})"
