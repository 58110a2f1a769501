r"""Effect of each latent on an image: scaling, translation, and recolouring.

Two estimates. From images: a small step of a latent changes an image x by

    dx = b - (A p + t) . grad x + residual,

where p is the position of a pixel, (A, t) an affine motion, and b a shift of each channel. A least-squares fit of
(A, t, b) over all pixels gives the scaling `trace(A) / 2` and the translation `|t|`. Recolouring is the root mean
square of `dx` without the motion term. From the transformation: the same affine fit to the motion of the pixels
themselves, which needs no linearisation of the image but exists only for perspective latents.

All effects are per unit of the latent, one standard deviation of its prior: scaling relative to the object's size,
translation relative to the image's side, recolouring relative to the range from black to white.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vitae.data.dataset import as_floats
from vitae.models.base import GenerativeModel, TransformingModel
from vitae.transforms import pixel_grid

# Step of a latent to either side, small enough that images change almost linearly.
_STEP = 0.25


@dataclass(frozen=True)
class Effects:
    """Mean absolute effects over images, per unit of the latent; see the module for units."""

    scaling: float
    translation: float
    recolouring: float


def _coordinates(height: int, width: int, like: Tensor) -> Tensor:
    return pixel_grid(height, width, dtype=like.dtype, device=like.device)


def image_effects(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scaling, translation and recolouring between pairs of similar images, each `batch`.

    Args:
        before, after: `batch x channels x height x width`, in [0, 1].
    """
    batch, channels, height, width = before.shape
    middle = (before + after) / 2
    # Gradient along x and y, per unit of the coordinates in [-1, 1].
    dy, dx = torch.gradient(middle, dim=(2, 3))
    gradient = torch.stack([dx * width / 2, dy * height / 2], -1).flatten(2, 3)
    x, y = _coordinates(height, width, before).T
    directions = torch.stack([torch.ones_like(x), x, y], 1)
    # Regressors: six for the motion, (1, x, y) times each gradient component, and one shift per channel.
    motion = -(gradient[..., :, None] * directions[None, None, :, None, :]).flatten(3)
    shift = torch.eye(channels).to(before)[:, None].expand(channels, height * width, channels)
    columns = torch.cat([motion, shift.expand(batch, -1, -1, -1)], -1).flatten(1, 2).double()
    change = (after - before).flatten(1).double()[..., None]
    normal = columns.transpose(1, 2) @ columns
    # Motion of an image without edges is undetermined: the pseudo-inverse then estimates zero.
    solution = torch.linalg.pinv(normal, rtol=1e-9, hermitian=True) @ (columns.transpose(1, 2) @ change)
    residual = change - columns[..., :6] @ solution[:, :6]
    a = solution[:, :6, 0].unflatten(1, (2, 3))
    scaling = (a[:, 0, 1] + a[:, 1, 2]).abs() / 2
    # The side of an image is two units of the coordinates.
    return scaling, a[:, :, 0].norm(dim=1) / 2, residual[..., 0].square().mean(1).sqrt()


def motion_effects(before: Tensor, after: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Scaling and translation between two warps of the same image, each `batch`.

    Args:
        before, after: source position that each pixel samples, `batch x (height * width) x 2`, in [-1, 1].
    """
    points = _coordinates(height, width, before)
    columns = torch.cat([torch.ones_like(points[:, :1]), points], 1).double()
    # The content of an image moves opposite to the positions that its pixels sample.
    solution = torch.linalg.lstsq(columns.expand(len(before), -1, -1), (before - after).double()).solution
    scaling = (solution[:, 1, 0] + solution[:, 2, 1]).abs() / 2
    return scaling, solution[:, 0].norm(dim=1) / 2


@torch.no_grad()
def latent_effects(model: GenerativeModel, images: Tensor) -> dict[str, Effects]:
    """Effects of each continuous latent, estimated from decoded images: latent name, such as `z_A1` -> effects.

    Args:
        images: uint8, `n x channels x height x width`. Latents move around the posterior means of these images.
    """
    return {
        name: Effects(*(effect.mean().item() / (2 * _STEP) for effect in image_effects(*map(model.decode, ends))))
        for name, ends in _moved(model, images)
    }


@torch.no_grad()
def perspective_effects(model: TransformingModel, images: Tensor) -> dict[str, Effects]:
    """Effects of each perspective latent, from the transformation itself, which never recolours.

    Args:
        images: as for `latent_effects`.
    """
    height, width = images.shape[-2:]
    points = _coordinates(height, width, next(model.parameters()))
    by_latent = {}
    for name, ends in _moved(model, images):
        if name.startswith("z_P"):
            grids = [model.transformation.apply(model.gamma(z), points) for z in ends]
            scaling, translation = motion_effects(*grids, height, width)
            by_latent[name] = Effects(scaling.mean().item() / (2 * _STEP), translation.mean().item() / (2 * _STEP), 0.0)
    return by_latent


def _moved(model: GenerativeModel, images: Tensor):
    """For each continuous latent its name, and the codes of all images with it one step lower and one step higher."""
    model.eval()
    codes = model.infer(as_floats(images), noise=None).samples
    for latent in model.latents:
        if latent.categories:
            continue
        ends = []
        for step in (-_STEP, _STEP):
            moved = codes[latent.space].clone()
            moved[:, latent.columns] += step
            ends.append({**codes, latent.space: moved})
        yield latent.name, ends


@torch.no_grad()
def round_trip(model: TransformingModel, images: Tensor) -> dict[str, float]:
    """How accurately the inferred transformations are inverted: `T_-gamma(T_gamma(p))` compared with p.

    Args:
        images: uint8, `n x channels x height x width`.

    Returns:
        `error`, the largest distance over all images and pixels, in pixels; and `least_area`, the smallest Jacobian
        determinant at any pixel, positive if no transformation folds.
    """
    model.eval()
    height, width = images.shape[-2:]
    gamma = model.gamma(model.infer(as_floats(images), noise=None).samples)
    points = _coordinates(height, width, gamma)
    warped = model.transformation.apply(gamma, points)
    back = model.transformation.apply(gamma, warped, inverse=True)
    half = warped.new_tensor([width / 2, height / 2])
    area = model.transformation.jacobian_determinant(gamma, points)
    return {"error": ((back - points) * half).norm(dim=-1).max().item(), "least_area": area.min().item()}
