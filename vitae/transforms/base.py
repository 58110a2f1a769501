"""What every transformation is: a dimension, a flow of points, an inverse, and the images it warps."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from vitae.errors import InputError


def pixel_grid(height: int, width: int, *, dtype=None, device=None) -> Tensor:
    """The centres of all pixels, row by row, as `(height * width) x 2` points (x, y) in `[-1, 1]^2`."""
    ys = (2 * torch.arange(height, dtype=dtype or torch.get_default_dtype(), device=device) + 1) / height - 1
    xs = (2 * torch.arange(width, dtype=ys.dtype, device=device) + 1) / width - 1
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def resample(images: Tensor, points: Tensor) -> Tensor:
    """Read images at points, bilinearly, the nearest edge pixel outside.

    Args:
        images: `batch x channels x height x width`.
        points: `batch x (height * width) x 2`, where each output pixel looks.

    Returns:
        `batch x channels x height x width`.
    """
    batch, _, height, width = images.shape
    # Points that are not numbers crash grid_sample's backward pass on a CPU, without a message.
    where = points.reshape(batch, height, width, 2).nan_to_num(nan=0.0)
    return F.grid_sample(images, where, mode="bilinear", padding_mode="border", align_corners=False)


class Transformation(ABC):
    """A family T_gamma of invertible maps of the plane, `dim` numbers each, the identity at gamma = 0."""

    dim: int

    @abstractmethod
    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        """Move points by T_gamma, or by its inverse.

        Args:
            gamma: `batch x dim`.
            points: `batch x n x 2`, or `n x 2` for the same points in every transformation of the batch.
            inverse: move by the inverse map, for a one-parameter flow `T_-gamma`.

        Returns:
            `batch x n x 2`.
        """

    def warp(self, images: Tensor, gamma: Tensor, *, inverse: bool = False) -> Tensor:
        """T_gamma(images), a new tensor `batch x channels x height x width`; see the module for the convention."""
        self._check_images(images, gamma)
        grid = pixel_grid(*images.shape[-2:], dtype=images.dtype, device=images.device)
        return resample(images, self.apply(gamma, grid, inverse=inverse))

    def check(self, gamma: Tensor) -> None:
        """Raise `InputError` unless gamma is `batch x dim`."""
        if gamma.ndim != 2 or gamma.shape[1] != self.dim:
            raise InputError(f"{self} takes gamma of shape batch x {self.dim}, got {tuple(gamma.shape)}.")

    def _check_images(self, images: Tensor, gamma: Tensor) -> None:
        self.check(gamma)
        if images.ndim != 4 or len(images) != len(gamma) or not images.is_floating_point():
            raise InputError(
                f"{self} warps floating point images of shape {len(gamma)} x channels x height x width with this "
                f"gamma, got {images.dtype} of shape {tuple(images.shape)}."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Sequential(Transformation):
    """Several transformations, one after the other; gamma is their parameters side by side.

    The inverse undoes them in reverse order: (T_2 T_1)^-1 = T_1^-1 T_2^-1, so negating gamma alone would not do.
    """

    def __init__(self, *parts: Transformation):
        if not parts:
            raise InputError("Sequential needs at least one transformation.")
        self.parts = parts
        self.dim = sum(part.dim for part in parts)

    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        self.check(gamma)
        pairs = list(zip(self.parts, gamma.split([part.dim for part in self.parts], dim=1), strict=True))
        for part, own in reversed(pairs) if inverse else pairs:
            points = part.apply(own, points, inverse=inverse)
        return points

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.parts))})"
