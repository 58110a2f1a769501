"""Figures of latent spaces: codes as points, latent traversals, and planes of decoded images."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vitae.data.dataset import as_floats
from vitae.models.base import GenerativeModel
from vitae.report.figures.images import image_rows, mosaic
from vitae.report.figures.style import BLUE, ORANGE, book_figure, hide_frame, subplots


def _two_dimensions(codes: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, str]]:
    """Two-dimensional codes unchanged, others along their first two principal axes; with labels for both axes."""
    if codes.shape[1] == 2:
        return codes, (f"${name}$, first", f"${name}$, second")
    centred = codes - codes.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:2].T, (f"${name}$, 1st principal axis", f"${name}$, 2nd principal axis")


@book_figure
def latent_spaces(codes: dict[str, np.ndarray], digits: np.ndarray) -> Figure:
    """Codes of zeros and ones in both latent spaces of VITAE, in two colours (the poster's Figure 1).

    Args:
        codes: space -> posterior means, `n x d`.
        digits: `n`; only zeros and ones are drawn.
    """
    figure, axes = subplots(1, len(codes), figsize=(4.4 * len(codes), 3.8))
    titles = {"z_A": "appearance", "z_P": "perspective"}
    for cell, (name, values) in zip(axes[0], codes.items(), strict=True):
        points, labels = _two_dimensions(values, name)
        for digit, colour, marker in ((0, BLUE, "o"), (1, ORANGE, "^")):
            chosen = points[digits == digit]
            cell.scatter(*chosen.T, s=10, alpha=0.6, c=colour, marker=marker, linewidths=0, label=f"digit {digit}")
        cell.set(title=titles.get(name, name), xlabel=labels[0], ylabel=labels[1])
    axes[0][0].legend()
    return figure


def space_and_number(latent: str) -> tuple[str, int]:
    """The space of a latent and its number within it, counted from 1: `z_P1` gives `("z_P", 1)`."""
    space = latent.rstrip("0123456789")
    return space, int(latent[len(space) :])


def latent_label(latent: str) -> str:
    """A latent's name in matplotlib's TeX: `z_P1` becomes a z with the subscript P,1, and a choice stays `k`."""
    if not latent[-1].isdigit():
        return f"${latent}$"
    space, number = space_and_number(latent)
    return f"$z_{{{number}}}$" if space == "z" else f"$z_{{{space[2:]},{number}}}$"


def traversal(model: GenerativeModel, image: Tensor, latent: str, steps: int = 9, reach: float = 2.5) -> Tensor:
    """Decoded images as one latent goes from -reach to reach; the others stay at the image's posterior means.

    A categorical latent goes through its first values; where it has fewer than `steps`, white images follow.

    Args:
        image: uint8, `channels x height x width`.
        latent: its name, such as `z_P1`.

    Returns:
        `steps x channels x height x width` in [0, 1].
    """
    moving = next(each for each in model.latents if each.name == latent)
    values = torch.linspace(-reach, reach, steps)[:, None]
    if moving.categories:
        values = torch.eye(moving.categories)[:steps]
    with torch.no_grad():
        means = model.infer(as_floats(image[None]), noise=None).samples
        moved = {name: codes.repeat(len(values), 1) for name, codes in means.items()}
        moved[moving.space][:, list(moving.columns)] = values
        decoded = model.decode(moved).clamp(0, 1)
    return torch.cat([decoded, decoded.new_ones(steps - len(decoded), *decoded.shape[1:])])


def warped_by(model: GenerativeModel, image: Tensor, latent: str, steps: int = 9, reach: float = 2.5) -> Tensor:
    """The input image itself, not its reconstruction, as a perspective latent moves from its posterior mean.

    The image's own perspective is undone, then T_gamma' is applied, where gamma' is decoded from z_P with the latent
    moved by -reach to reach.

    Args:
        image: uint8, `channels x height x width`.
        latent: its name, such as `z_P1`.

    Returns:
        `steps x channels x height x width` in [0, 1].
    """
    _, number = space_and_number(latent)
    with torch.no_grad():
        x = as_floats(image[None])
        z = model.infer(x, noise=None).samples
        upright = model.undo_perspective(x, z)
        moved = {name: values.repeat(steps, 1) for name, values in z.items()}
        moved["z_P"][:, number - 1] += torch.linspace(-reach, reach, steps)
        return model.transformation.warp(upright.expand(steps, *x.shape[1:]), model.gamma(moved)).clamp(0, 1)


def traversals(model: GenerativeModel, image: Tensor, title: str, steps: int = 9, reach: float = 2.5) -> Figure:
    """A row of images for each latent of the model; see `traversal`.

    Args:
        image: uint8, `channels x height x width`.
    """
    names = [latent.name for latent in model.latents]
    return image_rows([(latent_label(name), traversal(model, image, name, steps, reach)) for name in names], title)


def plane(
    model: GenerativeModel, space: str, held: dict[str, Sequence[float]], steps: int = 9, reach: float = 2.5
) -> Tensor:
    """Decoded images on a grid over the first two latents of a space, row by row.

    Both latents go from -reach to reach: the first grows to the right, the second upwards.

    Args:
        held: space -> values of its first latents; all latents that are neither moved nor listed here are zero.

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


@book_figure
def planes(panels: Sequence[tuple[str, str, Tensor]]) -> Figure:
    """Planes of images side by side, see `plane`; each panel is a space, a title and the plane's images."""
    figure, axes = subplots(1, len(panels), figsize=(4.2 * len(panels), 4.4))
    for cell, (space, title, images) in zip(axes[0], panels, strict=True):
        side = round(len(images) ** 0.5)
        cell.imshow(mosaic(list(images.split(side))), interpolation="nearest")
        hide_frame(cell)
        cell.set(title=title, xlabel=f"${space[:-1]}{{{space[-1]}1}}$ →", ylabel=f"${space[:-1]}{{{space[-1]}2}}$ →")
    return figure
