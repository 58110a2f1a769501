"""What every transformation is: a dimension, a flow of points, an inverse, and the images it warps."""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from vitae.support.errors import InputError


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


def _said(value) -> str:
    """What was given, for an error's sentence."""
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


class Transformation(ABC):
    """A family T_gamma of invertible maps of the plane, `dim` numbers each, the identity at gamma = 0."""

    dim: int

    @property
    def generators(self) -> Tensor:
        """The gammas of motions with a name, in the order in which perspective latents take them, `n x dim`.

        Empty for a family that singles none out.
        """
        return torch.zeros(0, self.dim)

    @abstractmethod
    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        """Move points by T_gamma, or by its inverse.

        Args:
            gamma: `batch x dim`.
            points: `batch x n x 2`, or `n x 2` or `1 x n x 2` for the same points in every transformation.
            inverse: move by the inverse map, for a one-parameter flow `T_-gamma`.

        Returns:
            `batch x n x 2`.
        """

    def warp(self, images: Tensor, gamma: Tensor, *, inverse: bool = False) -> Tensor:
        """T_gamma(images), a new tensor `batch x channels x height x width`; see the module for the convention."""
        self.check_images(images, gamma)
        grid = pixel_grid(*images.shape[-2:], dtype=images.dtype, device=images.device)
        return self.sample(images, gamma, grid, inverse=inverse)

    def sample(self, images: Tensor, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        """Images read where T_gamma moves points: `warp` for a grid of your own.

        A family with a kernel that moves and reads in one pass overrides this.

        Args:
            images: `batch x channels x height x width`.
            gamma: `batch x dim`.
            points: where each output pixel starts, row by row: `batch x (height * width) x 2`, or without the batch.
        """
        points = self.check_sample(images, gamma, points)
        return resample(images, self.apply(gamma, points, inverse=inverse))

    def jacobian_determinant(self, gamma: Tensor, points: Tensor) -> Tensor:
        """det of the derivative of T_gamma at points, `batch x n`: by how much it magnifies areas, 1 at gamma = 0."""
        points = self.check_points(gamma, points)
        with torch.inference_mode(False), torch.enable_grad():
            # Clones, because tensors of the inference mode never take part in gradients.
            points = points.expand(len(gamma), -1, -1).clone().detach().requires_grad_()
            x, y = self.apply(gamma.clone().detach(), points).unbind(-1)
            (of_x,) = torch.autograd.grad(x.sum(), points, retain_graph=True)
            (of_y,) = torch.autograd.grad(y.sum(), points)
        return of_x[..., 0] * of_y[..., 1] - of_x[..., 1] * of_y[..., 0]

    def check(self, gamma: Tensor) -> None:
        """Raise `InputError` unless gamma is `batch x dim`, of floating point."""
        fits = isinstance(gamma, Tensor) and gamma.ndim == 2 and gamma.shape[1] == self.dim
        if not fits or not gamma.is_floating_point():
            raise InputError(f"{self} takes floating point gamma of shape batch x {self.dim}, got {_said(gamma)}.")

    def check_points(self, gamma: Tensor, points: Tensor) -> Tensor:
        """Points as `batch x n x 2`, or as `1 x n x 2` if they are shared.

        Raises:
            InputError: gamma is not `batch x dim`, or points are neither `batch x n x 2` nor `n x 2` of gamma's type.
        """
        self.check(gamma)
        fits = isinstance(points, Tensor) and (
            points.ndim == 2 or (points.ndim == 3 and len(points) in (1, len(gamma)))
        )
        if not fits or points.shape[-1] != 2 or points.dtype != gamma.dtype:
            raise InputError(
                f"{self} moves points of shape n x 2 or {len(gamma)} x n x 2 with this gamma, of its {gamma.dtype}, "
                f"got {_said(points)}."
            )
        return points if points.ndim == 3 else points[None]

    def check_images(self, images: Tensor, gamma: Tensor) -> None:
        """Raise `InputError` unless gamma is `batch x dim` and images are `batch x channels x height x width` of its
        type."""
        self.check(gamma)
        fits = isinstance(images, Tensor) and images.ndim == 4
        if not fits or len(images) != len(gamma) or images.dtype != gamma.dtype:
            raise InputError(
                f"{self} warps images of {gamma.dtype} of shape {len(gamma)} x channels x height x width with this "
                f"gamma, got {_said(images)}."
            )

    def check_sample(self, images: Tensor, gamma: Tensor, points: Tensor) -> Tensor:
        """All three checks, and as many points as pixels; returns what `check_points` does."""
        self.check_images(images, gamma)
        points = self.check_points(gamma, points)
        height, width = images.shape[-2:]
        if points.shape[1] != height * width:
            raise InputError(
                f"images of {height} x {width} pixels are read at {height * width} points, row by row, got "
                f"{points.shape[1]}."
            )
        return points

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def fitted(transformation: Transformation, points: Tensor, target: Tensor, iterations: int = 60) -> Tensor:
    """The gamma, `1 x dim`, that brings points `n x 2` closest to a target `n x 2`: least squares from the identity.

    Levenberg-Marquardt would be the classic; L-BFGS needs no Jacobian and is in torch.
    """
    gamma = torch.zeros(1, transformation.dim, dtype=points.dtype, device=points.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([gamma], max_iter=iterations, line_search_fn="strong_wolfe", history_size=30)

    def misfit() -> Tensor:
        optimiser.zero_grad()
        loss = (transformation.apply(gamma, points)[0] - target).square().sum(-1).mean()
        loss.backward()
        return loss

    optimiser.step(misfit)
    return gamma.detach()
