"""The interface of all transformations: parameters gamma, moving points, the inverse, and warping images."""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitae.support.errors import InputError

# The default of an optional argument for which None is an invalid value.
_ABSENT: Any = object()


def pixel_grid(height: int, width: int, *, dtype=None, device=None) -> Tensor:
    """The centres of all pixels, row by row, as `(height * width) x 2` points (x, y) in `[-1, 1]^2`."""
    ys = (2 * torch.arange(height, dtype=dtype or torch.get_default_dtype(), device=device) + 1) / height - 1
    xs = (2 * torch.arange(width, dtype=ys.dtype, device=device) + 1) / width - 1
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def resample(images: Tensor, points: Tensor) -> Tensor:
    """Sample images at points, bilinearly; points outside an image read the nearest edge pixel.

    Args:
        images: `batch x channels x height x width`.
        points: where each output pixel is sampled, row by row, `batch x (height * width) x 2`.

    Returns:
        `batch x channels x height x width`.
    """
    batch, _, height, width = images.shape
    # NaN crashes the process in grid_sample's backward pass on the CPU.
    grid = points.reshape(batch, height, width, 2).nan_to_num(nan=0.0)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _description(value) -> str:
    """A tensor's dtype, shape, device and unusual layout, or the type of any other value, for error messages."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    layout = "" if value.layout is torch.strided else f", stored as {value.layout} and not dense"
    return f"{value.dtype} of shape {tuple(value.shape)} on {value.device}{layout}"


def _alike(value, gamma: Tensor) -> bool:
    """Whether a value is a dense tensor of gamma's dtype on its device: kernels read memory by address and trust both.

    A tensor of another device would be read as if it were here, and a sparse one has no such memory at all.
    """
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.dtype == gamma.dtype
        and value.device == gamma.device
    )


def require_dim(transformation: "Transformation") -> None:
    """Refuse a transformation of which it is not known how many parameters it has.

    Raises:
        InputError: its class sets no `dim`.
    """
    if not isinstance(getattr(transformation, "dim", None), int):
        raise InputError(f"{type(transformation).__name__} must set dim, the number of its parameters.")


class Transformation(ABC):
    """A family T_gamma of invertible maps of the plane with `dim` parameters; gamma = 0 is the identity.

    A subclass sets `dim` and implements `apply`. If its maps are the flows of velocity fields, it implements `velocity`
    too; if it has named motions, it overrides `generators`.
    """

    dim: int

    @property
    def generators(self) -> Tensor:
        """The gammas of the family's named motions, `n x dim`, in the order in which perspective latents use them.

        `0 x dim` for a family without named motions.
        """
        return torch.zeros(0, self.dim)

    @abstractmethod
    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        """Move points by T_gamma, or by its inverse.

        Args:
            gamma: `batch x dim`.
            points: `batch x n x 2`, or `n x 2` or `1 x n x 2` for the same points in every transformation.
            inverse: move points by the inverse map, which is `T_-gamma` for the flow of a velocity field.

        Returns:
            `batch x n x 2`.

        Raises:
            InputError: a shape or dtype is wrong; see `check`.
        """

    def velocity(self, gamma: Tensor, points: Tensor) -> Tensor:
        """The velocity field whose flow for unit time is T_gamma.

        Args:
            gamma: `batch x dim`.
            points: as for `apply`.

        Returns:
            `batch x n x 2`, in units of half the image per unit of time.

        Raises:
            InputError: a shape or dtype is wrong, or the family's maps are not the flow of a single velocity field, as
                for `Sequential`.
        """
        raise InputError(f"{self} has no velocity field: its maps are not the flow of a single one.")

    def warp(self, images: Tensor, gamma: Tensor, *, inverse: bool = False) -> Tensor:
        """T_gamma(images), a new tensor `batch x channels x height x width`.

        `vitae.transforms` states the convention.

        Args:
            images: `batch x channels x height x width`.
            gamma: `batch x dim`.
            inverse: warp by the inverse map.

        Raises:
            InputError: a shape or dtype is wrong; see `check`.
        """
        self.check(gamma, images=images)
        grid = pixel_grid(*images.shape[-2:], dtype=images.dtype, device=images.device)
        return self.sample(images, gamma, grid, inverse=inverse)

    def sample(self, images: Tensor, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        """Sample images where T_gamma moves the points: `warp` for any grid of points.

        A family with a kernel that moves points and samples images in one pass overrides this.

        Args:
            images: `batch x channels x height x width`.
            gamma: `batch x dim`.
            points: the point of each output pixel, row by row, before it is moved: `batch x (height * width) x 2`, or
                `(height * width) x 2` for the same points in every transformation.
            inverse: move the points by the inverse map.

        Returns:
            `batch x channels x height x width`.

        Raises:
            InputError: a shape or dtype is wrong; see `check`.
        """
        points = self.check(gamma, points=points, images=images)
        return resample(images, self.apply(gamma, points, inverse=inverse))

    def jacobian_determinant(self, gamma: Tensor, points: Tensor) -> Tensor:
        """The determinant of the derivative of T_gamma at points, `batch x n`: the local change of area.

        Raises:
            InputError: a shape or dtype is wrong; see `check`.
        """
        points = self.check(gamma, points=points)
        with torch.inference_mode(False), torch.enable_grad():
            # Clone, because inference tensors do not support autograd.
            points = points.expand(len(gamma), -1, -1).clone().detach().requires_grad_()
            x, y = self.apply(gamma.clone().detach(), points).unbind(-1)
            (grad_x,) = torch.autograd.grad(x.sum(), points, retain_graph=True)
            (grad_y,) = torch.autograd.grad(y.sum(), points)
        return grad_x[..., 0] * grad_y[..., 1] - grad_x[..., 1] * grad_y[..., 0]

    def check(self, gamma: Tensor, *, points: Tensor = _ABSENT, images: Tensor = _ABSENT) -> Tensor | None:
        """Validate the arguments of a method; every method calls this before it computes.

        Returns:
            The points as `batch x n x 2`, or `1 x n x 2` if all transformations share them; None without points.

        Raises:
            InputError: gamma is not a dense floating-point `batch x dim`; points are not `n x 2`, `1 x n x 2` or
                `batch x n x 2`, or images not `batch x channels x height x width`, dense, of gamma's dtype and on its
                device; or there are both, and not one point per pixel.
        """
        require_dim(self)
        fits = isinstance(gamma, Tensor) and gamma.ndim == 2 and gamma.shape[1] == self.dim
        if not fits or not gamma.is_floating_point() or gamma.layout is not torch.strided:
            raise InputError(
                f"{self} takes floating-point gamma of shape batch x {self.dim}, got {_description(gamma)}."
            )
        batch, dtype, device = len(gamma), gamma.dtype, gamma.device
        if images is not _ABSENT and not (_alike(images, gamma) and images.ndim == 4 and len(images) == batch):
            raise InputError(
                f"{self} takes images of {dtype} and shape {batch} x channels x height x width on {device} with this "
                f"gamma, got {_description(images)}."
            )
        if points is _ABSENT:
            return None
        fits = _alike(points, gamma) and (points.ndim == 2 or (points.ndim == 3 and len(points) in (1, batch)))
        if not fits or points.shape[-1] != 2:
            raise InputError(
                f"{self} takes points of {dtype} and shape n x 2 or {batch} x n x 2 on {device} with this gamma, "
                f"got {_description(points)}."
            )
        points = points if points.ndim == 3 else points[None]
        if images is not _ABSENT:
            height, width = images.shape[-2:]
            if points.shape[1] != height * width:
                raise InputError(
                    f"images of {height} x {width} pixels must be sampled at {height * width} points, row by row, got "
                    f"{points.shape[1]}."
                )
        return points

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def fitted(transformation: Transformation, points: Tensor, target: Tensor, iterations: int = 60) -> Tensor:
    """The gamma, `1 x dim`, that moves points `n x 2` closest to a target `n x 2`, by least squares from the identity.

    Uses L-BFGS, which needs no Jacobian, unlike Levenberg-Marquardt, and is part of torch.
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
