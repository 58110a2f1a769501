"""TODO report.figures.latents."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vitae.data.dataset import as_floats
from vitae.models.base import GenerativeModel
from vitae.report.figures.images import _image_grid, _mosaic
from vitae.report.figures.style import _BLUE, _ORANGE, _bare, _figure, _subplots


def _two_dimensions(codes: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, str]]:
    """Codes as they are if they are two numbers, else along their two principal axes."""
    if codes.shape[1] == 2:
        return codes, (f"${name}$, first", f"${name}$, second")
    centred = codes - codes.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:2].T, (f"${name}$, 1st principal axis", f"${name}$, 2nd principal axis")


@_figure
def latent_spaces(codes: dict[str, np.ndarray], digits: np.ndarray) -> Figure:
    """Poster, Figure 1: both latent spaces of VITAE, zeros and ones in two colours.

    Args:
        codes: posterior means, `n x d` for each space.
        digits: `n`; only zeros and ones are drawn.
    """
    figure, axes = _subplots(1, len(codes), figsize=(4.4 * len(codes), 3.8))
    titles = {"z_A": "appearance", "z_P": "perspective"}
    for cell, (name, values) in zip(axes[0], codes.items(), strict=True):
        points, labels = _two_dimensions(values, name)
        for digit, colour, marker in ((0, _BLUE, "o"), (1, _ORANGE, "^")):
            chosen = points[digits == digit]
            cell.scatter(*chosen.T, s=10, alpha=0.6, c=colour, marker=marker, linewidths=0, label=f"digit {digit}")
        cell.set(title=titles.get(name, name), xlabel=labels[0], ylabel=labels[1])
    axes[0][0].legend()
    return figure


def space_and_number(latent: str) -> tuple[str, int]:
    """A latent's space and its place in it, counted from 1: of `z_P1` these are `z_P` and 1."""
    space = latent.rstrip("0123456789")
    return space, int(latent[len(space) :])


def traversal(model: GenerativeModel, image: Tensor, latent: str, steps: int = 9, reach: float = 2.5) -> Tensor:
    """Images, `steps x channels x height x width` in [0, 1]: one latent moves from -reach to reach, the others stay.

    Args:
        image: uint8, `channels x height x width`; the others stay at its posterior means.
        latent: its name, such as `z_P1`.
    """
    space, number = space_and_number(latent)
    with torch.no_grad():
        found = model.infer(as_floats(image[None]), noise=None).samples
        moved = {name: values.repeat(steps, 1) for name, values in found.items()}
        moved[space][:, number - 1] = torch.linspace(-reach, reach, steps)
        return model.decode(moved).clamp(0, 1)


def warped_by(model: GenerativeModel, image: Tensor, latent: str, steps: int = 9, reach: float = 2.5) -> Tensor:
    """The image itself, not its reconstruction, as a perspective latent moves by up to reach from where it is.

    What it shows is T_gamma' of the image with its own T_gamma undone, `steps x channels x height x width`.
    """
    _, number = space_and_number(latent)
    with torch.no_grad():
        x = as_floats(image[None])
        z = model.infer(x, noise=None).samples["z_P"]
        upright = model.undo_perspective(x, z)
        moved = z.repeat(steps, 1)
        moved[:, number - 1] += torch.linspace(-reach, reach, steps)
        return model.transformation.warp(upright.expand(steps, *x.shape[1:]), model.decoder_P(moved)).clamp(0, 1)


def latent_label(latent: str) -> str:
    """A latent's name as mathematics: z_P1 becomes z with P, 1 below."""
    space, number = space_and_number(latent)
    return f"$z_{{{number}}}$" if space == "z" else f"$z_{{{space[2:]},{number}}}$"


@_figure
def traversals(model: GenerativeModel, image: Tensor, title: str, steps: int = 9, reach: float = 2.5) -> Figure:
    """One strip for each latent: it moves from -reach to reach, the others stay at the image's posterior means.

    Args:
        image: uint8, `channels x height x width`.
    """
    names = [f"{space}{i + 1}" for space, size in model.spaces.items() for i in range(size)]
    return _image_grid([(latent_label(name), traversal(model, image, name, steps, reach)) for name in names], title)


def plane(
    model: GenerativeModel, space: str, held: dict[str, Sequence[float]], steps: int = 9, reach: float = 2.5
) -> Tensor:
    """What a model draws over the first two latents of a space, row by row: the first grows to the right, the second
    upwards.

    Args:
        held: the first latents of any space that are not moved; all others are zero.

    Returns:
        uint8, `(steps * steps) x channels x height x width`.
    """
    line = torch.linspace(-reach, reach, steps)
    z = {name: torch.zeros(steps * steps, size) for name, size in model.spaces.items()}
    for name, values in held.items():
        z[name][:, : len(values)] = torch.tensor(values)
    z[space][:, 0] = line.repeat(steps)
    z[space][:, 1] = line.flip(0).repeat_interleave(steps)
    with torch.no_grad():
        return model.decode(z).clamp(0, 1).mul(255).round().byte()


@_figure
def planes(panels: Sequence[tuple[str, str, Tensor]]) -> Figure:
    """Planes of pictures side by side, each with the space that it is over and a title; see `plane`."""
    figure, axes = _subplots(1, len(panels), figsize=(4.2 * len(panels), 4.4))
    for cell, (space, title, images) in zip(axes[0], panels, strict=True):
        side = round(len(images) ** 0.5)
        cell.imshow(_mosaic(list(images.split(side))), interpolation="nearest")
        _bare(cell)
        cell.set(title=title, xlabel=f"${space[:-1]}{{{space[-1]}1}}$ →", ylabel=f"${space[:-1]}{{{space[-1]}2}}$ →")
    return figure
