"""Figures of transformations: warped grids, velocity fields, changes of area and the solver's convergence."""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vitae.report.figures.style import BLUE, ORANGE, book_figure, draw_image, hide_frame, subplots
from vitae.transforms import CPAB, Transformation, pixel_grid


@book_figure
def warped_grids(transformation: Transformation, gammas: Tensor, titles: list[str], image: Tensor) -> Figure:
    """A grid of lines moved by T_gamma above an image warped by it, for each gamma.

    Args:
        gammas: `n x dim`.
        image: `channels x height x width` in [0, 1].
    """
    lines = 11
    along = torch.linspace(-1, 1, 61)
    across = torch.linspace(-1, 1, lines)
    strokes = [torch.stack([along, torch.full_like(along, float(c))], 1) for c in across]
    strokes += [stroke.flip(1) for stroke in strokes]
    points = torch.cat(strokes)
    moved = transformation.apply(gammas, points).reshape(len(gammas), 2 * lines, len(along), 2)
    # A map from the square to itself needs no margin.
    reach = 1.9 if float(moved.abs().max()) > 1.001 else 1.05
    warped = transformation.warp(image.expand(len(gammas), *image.shape), gammas)
    figure, axes = subplots(2, len(gammas), figsize=(2.1 * len(gammas), 4.4))
    for j, title in enumerate(titles):
        for stroke in moved[j]:
            axes[0][j].plot(stroke[:, 0], stroke[:, 1], c=BLUE, lw=0.8)
        axes[0][j].plot([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1], c="0.6", lw=0.8, ls="--")
        axes[0][j].set(title=title, xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
        hide_frame(axes[0][j])
        draw_image(axes[1][j], warped[j])
    return figure


@book_figure
def velocity_fields(
    transformation: Transformation, gammas: Tensor, titles: list[str], steps: int = 24, drops: int = 3
) -> Figure:
    """Velocity fields as arrows with the paths of points over unit time, for each gamma; CPAB with its mesh.

    An arrow is half as long as the displacement at its velocity in unit time.

    Args:
        gammas: `n x dim`.
        steps: points per path.
        drops: paths start on a grid of drops x drops points, drawn as dots.
    """
    figure, axes = subplots(1, len(gammas), figsize=(2.4 * len(gammas), 2.6))
    grid = pixel_grid(9, 9)
    seeds = pixel_grid(drops, drops)
    for cell, gamma, title in zip(axes[0], gammas, titles, strict=True):
        if isinstance(transformation, CPAB):
            _draw_mesh(cell, transformation)
        velocity = transformation.velocity(gamma[None], grid)[0]
        cell.quiver(
            *grid.T, velocity[:, 0], velocity[:, 1], angles="xy", scale_units="xy", scale=2, color="0.6", width=0.006
        )
        times = torch.linspace(0, 1, steps)
        paths_of_seeds = transformation.apply(times[:, None] * gamma, seeds)
        cell.plot(paths_of_seeds[..., 0], paths_of_seeds[..., 1], c=ORANGE, lw=1.5)
        cell.scatter(*seeds.T, s=12, c=ORANGE)
        cell.set(title=title, xlim=(-1.3, 1.3), ylim=(1.3, -1.3), aspect="equal")
        hide_frame(cell)
    return figure


def _draw_mesh(axes, cpab: CPAB) -> None:
    """Draw the cells and their diagonals."""
    rows, columns = cpab.tessellation
    vertices = cpab.vertices.numpy()
    centres = (rows + 1) * (columns + 1)
    for i, j in np.ndindex(rows, columns):
        corner = i * (columns + 1) + j
        around = [corner, corner + 1, corner + columns + 2, corner + columns + 1]
        axes.plot(*vertices[[*around, corner]].T, c="0.75", lw=0.8)
        for vertex in around:
            axes.plot(*vertices[[vertex, centres + i * columns + j]].T, c="0.85", lw=0.5)


@book_figure
def area_changes(transformation: Transformation, gammas: Tensor, titles: list[str], side: int = 112) -> Figure:
    """log2 of the Jacobian determinant of T_gamma at every pixel: 0 where areas are preserved, 1 where they double.

    Args:
        gammas: `n x dim`.
        side: pixels per side.
    """
    determinant = transformation.jacobian_determinant(gammas, pixel_grid(side, side)).view(-1, side, side)
    figure, axes = subplots(1, len(gammas), figsize=(2.3 * len(gammas) + 0.6, 2.6))
    doublings = determinant.log2()
    reach = max(0.5, float(doublings.abs().max()))
    for cell, values, title in zip(axes[0], doublings, titles, strict=True):
        shown = cell.imshow(values.numpy(), vmin=-reach, vmax=reach, cmap="PuOr_r", extent=(-1, 1, 1, -1))
        cell.set(title=f"{title}\nat least {2 ** float(values.min()):.2f} times")
        hide_frame(cell)
    figure.colorbar(shown, ax=axes, label="areas, doublings", shrink=0.9)
    return figure


@book_figure
def convergence(measurements: list[dict]) -> Figure:
    """Mean and largest error against the number of evaluations of the velocity field, a panel for each mesh.

    Args:
        measurements: what `vitae.report.benchmarks.transforms.convergence` returns, for each mesh.
    """
    figure, axes = subplots(1, len(measurements), figsize=(4.4 * len(measurements), 3.6), sharey=True)
    for cell, measured in zip(axes[0], measurements, strict=True):
        for (name, errors), colour, marker in zip(
            ((name, errors) for name, errors in measured.items() if isinstance(errors, dict)),
            ("0.5", ORANGE, BLUE),
            ("s", "^", "o"),
            strict=True,
        ):
            cell.loglog(measured["evaluations"], errors["mean"], c=colour, marker=marker, ms=4, label=f"{name}, mean")
            cell.loglog(measured["evaluations"], errors["max"], c=colour, marker=marker, ms=4, ls=":", mfc="white")
        cell.set(title=f"{' × '.join(map(str, measured['tessellation']))} cells", xlabel="evaluations of the field")
        cell.set_xticks(measured["evaluations"], [str(n) for n in measured["evaluations"]])
        cell.minorticks_off()
        cell.grid(alpha=0.3)
    axes[0][0].set_ylabel("error (pixels of 64); dotted: largest")
    axes[0][0].legend(loc="lower left")
    return figure
