r"""What moving one latent does to a picture: how much it scales it, moves it, and recolours it.

Two routes. From the images: a small step of a latent changes an image x by

    dx = b - (A p + t) . grad x + rest,

with an affine motion of the picture's points p and a shift b of each channel; the least-squares fit of (A, t, b)
over all pixels gives the scaling `trace(A) / 2`, the translation `|t|`, and what no motion explains, the recolouring:
the root mean square of `dx` after its motion has been taken out. From the transformation itself: the same fit to the
motion of the pixels, which is exact and exists for perspective latents only.

All effects are a unit of the latent, that is one standard deviation of its prior: scaling as a part of the size,
translation as a part of the image's side, recolouring as a part of the range from black to white.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vitae.data.dataset import as_floats
from vitae.models.base import GenerativeModel
from vitae.models.vitae import VITAE
from vitae.transforms import pixel_grid

# A latent moves by so much to either side: little, so that the change of an image is nearly linear in it.
_STEP = 0.25


@dataclass(frozen=True)
class Effects:
    """Means over images of the size of each effect, a unit of the latent; see the module."""

    scaling: float
    translation: float
    recolouring: float


def _coordinates(height: int, width: int, like: Tensor) -> Tensor:
    return pixel_grid(height, width, dtype=like.dtype, device=like.device)


def image_effects(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scaling, translation and recolouring between pairs of nearly equal images, each `batch`.

    Args:
        before, after: `batch x channels x height x width`, in [0, 1].
    """
    batch, channels, height, width = before.shape
    middle = (before + after) / 2
    # The gradient along x and y, a unit of the coordinates in [-1, 1].
    dy, dx = torch.gradient(middle, dim=(2, 3))
    gradient = torch.stack([dx * width / 2, dy * height / 2], -1).flatten(2, 3)
    x, y = _coordinates(height, width, before).T
    directions = torch.stack([torch.ones_like(x), x, y], 1)
    # Six columns of motion: each of (1, x, y) times each component of the gradient; and one of b for each channel.
    motion = -(gradient[..., :, None] * directions[None, None, :, None, :]).flatten(3)
    shift = torch.eye(channels).to(before)[:, None].expand(channels, height * width, channels)
    columns = torch.cat([motion, shift.expand(batch, -1, -1, -1)], -1).flatten(1, 2).double()
    change = (after - before).flatten(1).double()[..., None]
    normal = columns.transpose(1, 2) @ columns
    # A picture without edges moves unseen: the smallest norm says that nothing did.
    found = torch.linalg.pinv(normal, rtol=1e-9, hermitian=True) @ (columns.transpose(1, 2) @ change)
    rest = change - columns[..., :6] @ found[:, :6]
    a = found[:, :6, 0].unflatten(1, (2, 3))
    scaling = (a[:, 0, 1] + a[:, 1, 2]).abs() / 2
    # A side is two units of the coordinates.
    return scaling, a[:, :, 0].norm(dim=1) / 2, rest[..., 0].square().mean(1).sqrt()


def motion_effects(before: Tensor, after: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Scaling and translation of a picture whose pixel p shows `before(p)`, then `after(p)`; each `batch`.

    Args:
        before, after: where the pixels look, `batch x (height * width) x 2`.
    """
    points = _coordinates(height, width, before)
    columns = torch.cat([torch.ones_like(points[:, :1]), points], 1).double()
    # What a pixel shows moves against where it looks.
    found = torch.linalg.lstsq(columns.expand(len(before), -1, -1), (before - after).double()).solution
    scaling = (found[:, 1, 0] + found[:, 2, 1]).abs() / 2
    return scaling, found[:, 0].norm(dim=1) / 2


@torch.no_grad()
def latent_effects(model: GenerativeModel, images: Tensor) -> dict[str, Effects]:
    """What each latent does to images, from the images; by the latent's name.

    Args:
        images: uint8, `n x channels x height x width`; each is encoded, and its posterior mean moved.
    """
    return {
        name: Effects(*(effect.mean().item() / (2 * _STEP) for effect in image_effects(*map(model.decode, ends))))
        for name, ends in _moved(model, images)
    }


@torch.no_grad()
def perspective_effects(model: VITAE, images: Tensor) -> dict[str, Effects]:
    """What each perspective latent does, from the transformation itself, which recolours nothing."""
    height, width = images.shape[-2:]
    points = _coordinates(height, width, next(model.parameters()))
    found = {}
    for name, ends in _moved(model, images):
        if name.startswith("z_P"):
            grids = [model.transformation.apply(model.decoder_P(z["z_P"]), points) for z in ends]
            scaling, translation = motion_effects(*grids, height, width)
            found[name] = Effects(scaling.mean().item() / (2 * _STEP), translation.mean().item() / (2 * _STEP), 0.0)
    return found


def _moved(model: GenerativeModel, images: Tensor):
    """For each latent its name and the codes of all images with it a step lower and a step higher."""
    model.eval()
    codes = model.infer(as_floats(images), noise=None).samples
    for space, z in codes.items():
        for i in range(z.shape[1]):
            ends = []
            for step in (-_STEP, _STEP):
                moved = z.clone()
                moved[:, i] += step
                ends.append({**codes, space: moved})
            yield f"{space}{i + 1}", ends


@torch.no_grad()
def round_trip(model: VITAE, images: Tensor) -> dict[str, float]:
    """Whether the transformations that a model infers can be undone: `T_-gamma(T_gamma(p))` against p.

    Returns:
        `error`, the largest over all images and pixels, in pixels; and `least_area`, the smallest Jacobian determinant
        at any pixel: above 0 where nothing folds.
    """
    model.eval()
    height, width = images.shape[-2:]
    z_P = model.infer(as_floats(images), noise=None).samples["z_P"]
    gamma = model.decoder_P(z_P)
    points = _coordinates(height, width, gamma)
    there = model.transformation.apply(gamma, points)
    back = model.transformation.apply(gamma, there, inverse=True)
    half = there.new_tensor([width / 2, height / 2])
    area = model.transformation.jacobian_determinant(gamma, points)
    return {"error": ((back - points) * half).norm(dim=-1).max().item(), "least_area": area.min().item()}
