"""Every figure of the book: functions of arrays and models that return a matplotlib figure, and the one way to save.

A figure's file is named by its maker, `NOTEBOOK-NAME`, and has its provenance beside it as JSON: notebook, profile,
seed, commit, seconds and the records that it shows.
"""

import base64
import html
import io
import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from vitae import paths, results
from vitae.data.base import as_floats
from vitae.errors import InputError, require_number
from vitae.files import picture_kind, write_bytes, write_text
from vitae.metrics.report import Report
from vitae.models.base import GenerativeModel
from vitae.transforms import CPAB, Transformation, pixel_grid

STYLE = Path(__file__).with_name("vitae.mplstyle")

# They differ in lightness too, for readers who do not see the hue. Where spaces are told apart, appearance is blue.
_BLUE, _ORANGE = "#0072b2", "#d55e00"
_MARKERS = "o^sDvPX"


def _figure(make: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the book's style, without gradients, and leave nothing behind in pyplot's list of open figures."""

    @wraps(make)
    def made(*arguments, **settings) -> Figure:
        with plt.style.context(STYLE), torch.no_grad():
            figure = make(*arguments, **settings)
        plt.close(figure)
        return figure

    return made


def _subplots(rows: int = 1, columns: int = 1, **settings):
    return plt.subplots(rows, columns, squeeze=False, **settings)


def _draw_image(axes, image: Tensor | np.ndarray) -> None:
    image = np.clip(np.asarray(image), 0, 1)  # a Gaussian's means may lie outside
    axes.imshow(image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0), vmin=0, vmax=1, interpolation="nearest")
    _bare(axes)


def _bare(axes) -> None:
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)


_INCHES = 0.62  # a side of an image in a grid of them


def _image_grid(rows: list[tuple[str, Tensor]], title: str = "") -> Figure:
    """Labelled rows of images, each `n x channels x height x width` in [0, 1], all rows of one length."""
    columns = max(len(images) for _, images in rows)
    figure, axes = _subplots(len(rows), columns, figsize=(_INCHES * columns + 1.2, _INCHES * len(rows) + 0.4))
    for (label, images), row in zip(rows, axes, strict=True):
        for image, cell in zip(images, row, strict=True):
            _draw_image(cell, image)
        # A latent's space, as `latent_label` writes it.
        colour = _BLUE if "z_{A" in label else _ORANGE if "z_{P" in label else "black"
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", color=colour)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    if title:
        figure.suptitle(title)
    return figure


def _mosaic(rows: list[Tensor]) -> np.ndarray:
    """Rows of uint8 images as one picture in [0, 1], a pixel of grey between them; short rows end in grey."""
    count = max(map(len, rows))
    height, width = rows[0].shape[-2:]
    picture = np.full((len(rows) * (height + 1) - 1, count * (width + 1) - 1, 3), 0.5)
    for i, row in enumerate(rows):
        for j, image in enumerate(as_floats(row).cpu().numpy()):
            top, left = i * (height + 1), j * (width + 1)
            picture[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return picture


def _draw_mosaic(rows: list[Tensor]) -> tuple[Figure, plt.Axes]:
    """A figure in which every pixel of the images is a square of whole dots."""
    picture = _mosaic(rows)
    height, width = picture.shape[:2]
    dots = max(1, round(_SHEET_DOTS / width))
    figure = plt.figure(figsize=(width * dots / _DPI, height * dots / _DPI), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    _bare(axes)
    return figure, axes


# Contact sheets are about so many dots wide, at the style's dots an inch.
_SHEET_DOTS, _DPI = 1100, 160


@_figure
def contact_sheet(images: Tensor, columns: int | None = None) -> Figure:
    """uint8 images `n x channels x height x width` in rows, by default of 16 small ones or of 8."""
    figure, _ = _draw_mosaic(list(images.split(columns or (16 if images.shape[-1] <= 32 else 8))))
    return figure


@_figure
def factor_sheet(rows: list[tuple[str, Tensor]]) -> Figure:
    """Named rows of uint8 images, `n x channels x height x width`: in each one factor moves."""
    figure, axes = _draw_mosaic([images for _, images in rows])
    height = rows[0][1].shape[-2] + 1
    axes.set_yticks([(i + 0.5) * height - 1 for i in range(len(rows))], [name for name, _ in rows])
    axes.tick_params(length=0)
    return figure


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


@_figure
def before_and_after(model: GenerativeModel, images: Tensor) -> Figure:
    """Poster, Figure 1: images before and after `T_-gamma`, with the warped outline of the frame.

    Args:
        images: uint8, `n x channels x height x width`.
    """
    x = as_floats(images)
    z_P = model.infer(x, noise=None).samples["z_P"]
    upright = model.undo_perspective(x, z_P)
    side = torch.linspace(-1, 1, 41)
    rim = torch.cat(
        [
            torch.stack(pair, 1)
            for pair in ((side, -1 + 0 * side), (1 + 0 * side, side), (-side, 1 + 0 * side), (-1 + 0 * side, -side))
        ]
    )
    # T_-gamma(x)(p) = x(T_-gamma(p)): the frame of the result, seen in the input.
    outline = model.transformation.apply(model.decoder_P(z_P), rim, inverse=True)
    figure, axes = _subplots(2, len(x), figsize=(1.7 * len(x) + 0.8, 3.4))
    for j in range(len(x)):
        _draw_image(axes[0][j], x[j])
        height, width = x.shape[-2:]
        axes[0][j].plot(
            (outline[j, :, 0] + 1) * width / 2 - 0.5, (outline[j, :, 1] + 1) * height / 2 - 0.5, c=_ORANGE, lw=1.2
        )
        # Room for the part of the frame that lies outside the image.
        rx, ry = 0.3 * width, 0.3 * height
        axes[0][j].set(xlim=(-rx, width + rx - 1), ylim=(height + ry - 1, -ry), facecolor="black")
        _draw_image(axes[1][j], upright[j])
    axes[0][0].set_ylabel("$x$", rotation=0, ha="right", va="center")
    axes[1][0].set_ylabel(r"$T_{-\gamma}(x)$", rotation=0, ha="right", va="center")
    return figure


@_figure
def reconstructions(models: dict[str, GenerativeModel], images: Tensor) -> Figure:
    """Images over the reconstructions from posterior means by each model.

    Args:
        models: printed name -> model.
        images: uint8, `n x channels x height x width`.
    """
    x = as_floats(images)
    return _image_grid([("input", x), *((name, model(x, None).mean) for name, model in models.items())])


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


@_figure
def learning_curves(records: list[dict], names: dict[str, str]) -> Figure:
    """Each run's training loss by epoch, in nats; the loss of each row's own objective, so levels do not compare."""
    figure, axes = _subplots(1, 1, figsize=(6.4, 3.4))
    cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    # Beyond as many rows as there are colours the second round is dashed.
    styles = {name: {"c": cycle[i % len(cycle)], "ls": "-" if i < len(cycle) else "--"} for i, name in enumerate(names)}
    labelled = set()
    for record in records:
        model = record["configuration"]["model"]
        losses = np.array(record["losses"], float)
        label = names.get(model, model) if model not in labelled else None
        labelled.add(model)
        axes[0][0].plot(1 + np.arange(len(losses)), losses, lw=1.2, label=label, **styles.get(model, {"c": "0.5"}))
    axes[0][0].set(xlabel="epoch", ylabel="training loss (nats per image)")
    # From the second epoch on: the first is far above all others and would flatten them.
    shown = [loss for record in records for loss in record["losses"][1:]] or [0, 1]
    margin = 0.05 * (max(shown) - min(shown)) + 1
    axes[0][0].set_ylim(min(shown) - margin, max(shown) + margin)
    axes[0][0].legend(ncols=2)
    return figure


def _draw_matrix(axes, matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str], largest: float):
    """Numbers as shades of grey and as numbers; returns what a colour bar is made of."""
    shown = axes.imshow(matrix, vmin=0, vmax=largest, cmap="Greys", aspect="auto")
    for (i, j), number in np.ndenumerate(matrix):
        colour = "white" if number > largest / 2 else "black"
        axes.text(j, i, f"{number:.2f}", ha="center", va="center", fontsize=7, color=colour)
    # Names are somebody's: a dollar in them is no formula.
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", parse_math=False)
    axes.set_yticks(range(len(rows)), rows, parse_math=False)
    return shown


@_figure
def importances(records: dict[str, dict]) -> Figure:
    """The importance matrices behind D_score, one for each printed name; dark means the latent knows the factor."""
    columns = min(3, len(records))
    rows = -(-len(records) // columns)
    figure, axes = _subplots(rows, columns, figsize=(2.9 * columns, 2.7 * rows))
    largest = max(np.max(record["scores"]["importance"]) for record in records.values())
    for cell in axes.flat[len(records) :]:
        cell.set_visible(False)
    for cell, (name, record) in zip(axes.flat, records.items(), strict=False):
        scores = record["scores"]
        shown = _draw_matrix(cell, np.array(scores["importance"]), scores["latents"], scores["factors"], largest)
        cell.set_title(f"{name}, D = {scores['d_score']:.2f}")
    figure.colorbar(shown, ax=axes, label="importance", shrink=0.6)
    return figure


@dataclass(frozen=True)
class Matrix:
    """Numbers to be drawn as shades: codes down, factors across."""

    title: str
    numbers: np.ndarray
    codes: Sequence[str]
    factors: Sequence[str]


def _matrix_width(panel: Matrix) -> float:
    """Inches for a matrix and for the names of its rows, of which a few letters are in the margin already."""
    return 1.3 + 0.4 * len(panel.factors) + 0.08 * max(0, max(map(len, panel.codes)) - 6)


@_figure
def matrices(panels: Sequence[Matrix], columns: int | None = None) -> Figure:
    """Matrices in rows of `columns`, by default all in one, each in its own shades: its largest number is black."""
    columns = min(columns or len(panels), len(panels))
    rows = -(-len(panels) // columns)
    height = 1.1 + 0.28 * max(len(panel.codes) for panel in panels)
    widths = [max(_matrix_width(panel) for panel in panels[i::columns]) for i in range(columns)]
    figure, axes = _subplots(rows, columns, figsize=(sum(widths), rows * height), width_ratios=widths)
    for cell in axes.flat[len(panels) :]:
        cell.set_visible(False)
    for cell, panel in zip(axes.flat, panels, strict=False):
        _draw_matrix(cell, panel.numbers, panel.codes, panel.factors, max(float(np.nanmax(panel.numbers)), 1e-9))
        cell.set_title(panel.title)
    return figure


def score_matrices(report: Report) -> Figure:
    """The matrices behind scores, codes by factors: what matters for, tells of and predicts what; dark is much."""
    dci, mig, sap, knn = report.dci, report.mig, report.sap, report.d_score
    panels = (
        (f"DCI importance\nD = {dci.disentanglement:.2f}, C = {dci.completeness:.2f}", dci.importance),
        (f"information (nats)\nMIG = {mig.score:.2f}", mig.information),
        (f"linear prediction\nSAP = {sap.score:.2f}", sap.predictability),
        (f"gain of 10 neighbours\nD_score = {knn.score:.2f}", knn.importance),
    )
    return matrices([Matrix(title, numbers, report.codes, report.factors) for title, numbers in panels])


@_figure
def leaders(panels: Sequence[Matrix]) -> Figure:
    """For each factor the best code's bar, the second best's in front of it: what stands out is the gap."""
    figure, axes = _subplots(1, len(panels), figsize=(3.1 * len(panels), 2.6), sharey=True)
    for cell, panel in zip(axes[0], panels, strict=True):
        ordered = np.sort(panel.numbers, axis=0)
        places = np.arange(len(panel.factors))
        cell.bar(places, ordered[-1], width=0.7, color=_BLUE, label="best code")
        cell.bar(places, ordered[-2], width=0.7, color="0.8", label="second best")
        for place, top, gap in zip(places, ordered[-1], ordered[-1] - ordered[-2], strict=True):
            cell.text(place, top + 0.01, f"{gap:.2f}", ha="center", va="bottom", fontsize=7)
        cell.set_xticks(places, panel.factors, rotation=30, ha="right", parse_math=False)
        cell.set(title=panel.title, ylim=(0, 1.12 * max(1.0, float(ordered.max()))))
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


@dataclass(frozen=True)
class Curve:
    """Points that belong together: where, how high, what they are, and whether they are drawn as a line."""

    x: Sequence[float]
    y: Sequence[float]
    label: str
    line: bool = True


# More cover the curves.
_MOST_IN_A_LEGEND_INSIDE = 4
_MOST_ACROSS = 6
# On a long curve markers tell which it is, and more of them hide where it goes.
_MARKERS_A_LINE = 8


@_figure
def curves(
    panels: Sequence[tuple[str, str, str, Sequence[Curve]]],
    log: bool = False,
    up_to: float | None = None,
) -> Figure:
    """Panels of curves: title, what is across, what is up, and the curves.

    Args:
        log: across in powers of ten.
        up_to: the top of all panels, which then begin at 0, so that heights compare across them.
    """
    figure, axes = _subplots(1, len(panels), figsize=(4.2 * len(panels), 3.0))
    colours = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    for cell, (title, across, up, drawn) in zip(axes[0], panels, strict=True):
        for curve, colour, marker in zip(drawn, itertools.cycle(colours), itertools.cycle(_MARKERS), strict=False):
            style = {"ls": "-" if curve.line else "none", "marker": marker, "ms": 4, "c": colour}
            every = max(1, len(curve.x) // _MARKERS_A_LINE) if curve.line else 1
            cell.plot(curve.x, curve.y, label=curve.label, markevery=every, **style)
        if log:
            cell.set_xscale("log")
            marks = sorted({mark for curve in drawn for mark in curve.x})
            cell.set_xticks(marks, [f"{mark:,g}" for mark in marks])
            cell.minorticks_off()
        cell.set(title=title, xlabel=across, ylabel=up)
        if up_to is not None:
            cell.set_ylim(0, up_to)
    labels = [[curve.label for curve in drawn] for _, _, _, drawn in panels]
    if len(labels[0]) > _MOST_IN_A_LEGEND_INSIDE and all(each == labels[0] for each in labels):
        figure.legend(
            *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=min(len(labels[0]), _MOST_ACROSS)
        )
    else:
        for cell in axes[0]:
            cell.legend()
    return figure


@_figure
def scores_of(
    examples: dict[str, dict[str, float]], scores: Sequence[str], ceilings: dict[str, float] | None = None
) -> Figure:
    """A row a score, a mark an example, one below the other: which score tells which codes apart.

    Args:
        examples: name -> score -> value.
        scores: those shown, from 0 to 1.
        ceilings: score -> what perfect codes reach; drawn as a line across its row.
    """
    figure, axes = _subplots(1, 1, figsize=(7.4, 0.44 * len(scores) + 1.0))
    cell = axes[0][0]
    colours = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    # Equal scores would otherwise hide each other.
    apart = np.linspace(-0.28, 0.28, len(examples))
    for (name, values), down, colour, marker in zip(
        examples.items(), apart, itertools.cycle(colours), itertools.cycle(_MARKERS), strict=False
    ):
        places = np.arange(len(scores)) + down
        cell.scatter([values[score] for score in scores], places, c=colour, marker=marker, s=26, label=name)
    if ceilings:
        rows = np.arange(len(scores))
        reached = [ceilings[score] for score in scores]
        cell.vlines(reached, rows - 0.42, rows + 0.42, color="0.2", lw=1.6, label="perfect codes, full protocol")
    cell.set_yticks(range(len(scores)), scores)
    cell.set(xlim=(-0.03, 1.03), xlabel="score")
    cell.grid(axis="y", alpha=0.3)
    cell.invert_yaxis()
    cell.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@_figure
def warped_grids(transformation: Transformation, gammas: Tensor, titles: list[str], image: Tensor) -> Figure:
    """A grid of lines moved by T_gamma, and an image warped by it, for each gamma.

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
    # A map of the square to itself needs no room around it.
    reach = 1.9 if float(moved.abs().max()) > 1.001 else 1.05
    warped = transformation.warp(image.expand(len(gammas), *image.shape), gammas)
    figure, axes = _subplots(2, len(gammas), figsize=(2.1 * len(gammas), 4.4))
    for j, title in enumerate(titles):
        for stroke in moved[j]:
            axes[0][j].plot(stroke[:, 0], stroke[:, 1], c=_BLUE, lw=0.8)
        axes[0][j].plot([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1], c="0.6", lw=0.8, ls="--")
        axes[0][j].set(title=title, xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
        _bare(axes[0][j])
        _draw_image(axes[1][j], warped[j])
    return figure


@_figure
def velocity_fields(
    transformation: Transformation, gammas: Tensor, titles: list[str], steps: int = 24, drops: int = 3
) -> Figure:
    """Velocity fields as arrows, half as long as the way in unit time, and the paths of drops x drops points.

    Paths go from time 0 (dots) to time 1. A CPAB family is drawn on its mesh.
    """
    figure, axes = _subplots(1, len(gammas), figsize=(2.4 * len(gammas), 2.6))
    grid = pixel_grid(9, 9)
    seeds = pixel_grid(drops, drops)
    for cell, gamma, title in zip(axes[0], gammas, titles, strict=True):
        if isinstance(transformation, CPAB):
            _draw_mesh(cell, transformation)
        velocity = transformation.velocity(grid, gamma[None])[0]
        cell.quiver(
            *grid.T, velocity[:, 0], velocity[:, 1], angles="xy", scale_units="xy", scale=2, color="0.6", width=0.006
        )
        times = torch.linspace(0, 1, steps)
        paths_of_seeds = transformation.apply(times[:, None] * gamma, seeds)
        cell.plot(paths_of_seeds[..., 0], paths_of_seeds[..., 1], c=_ORANGE, lw=1.5)
        cell.scatter(*seeds.T, s=12, c=_ORANGE)
        cell.set(title=title, xlim=(-1.3, 1.3), ylim=(1.3, -1.3), aspect="equal")
        _bare(cell)
    return figure


def _draw_mesh(axes, cpab: CPAB) -> None:
    """Cells and their diagonals."""
    rows, columns = cpab.tessellation
    vertices = cpab.vertices.numpy()
    centres = (rows + 1) * (columns + 1)
    for i, j in np.ndindex(rows, columns):
        corner = i * (columns + 1) + j
        around = [corner, corner + 1, corner + columns + 2, corner + columns + 1]
        axes.plot(*vertices[[*around, corner]].T, c="0.75", lw=0.8)
        for vertex in around:
            axes.plot(*vertices[[vertex, centres + i * columns + j]].T, c="0.85", lw=0.5)


@_figure
def area_changes(transformation: Transformation, gammas: Tensor, titles: list[str], side: int = 112) -> Figure:
    """log2 of the Jacobian determinant of T_gamma at every pixel: 0 where areas stay, 1 where they double.

    Args:
        gammas: `n x dim`.
    """
    determinant = transformation.jacobian_determinant(gammas, pixel_grid(side, side)).view(-1, side, side)
    figure, axes = _subplots(1, len(gammas), figsize=(2.3 * len(gammas) + 0.6, 2.6))
    doublings = determinant.log2()
    reach = max(0.5, float(doublings.abs().max()))
    for cell, values, title in zip(axes[0], doublings, titles, strict=True):
        shown = cell.imshow(values.numpy(), vmin=-reach, vmax=reach, cmap="PuOr_r", extent=(-1, 1, 1, -1))
        cell.set(title=f"{title}\nat least {2 ** float(values.min()):.2f} times")
        _bare(cell)
    figure.colorbar(shown, ax=axes, label="areas, doublings", shrink=0.9)
    return figure


@_figure
def convergence(found: list[dict]) -> Figure:
    """Errors against evaluations, as `bench.convergence` measures them, one panel a mesh; mean and largest error."""
    figure, axes = _subplots(1, len(found), figsize=(4.4 * len(found), 3.6), sharey=True)
    for cell, measured in zip(axes[0], found, strict=True):
        for (name, errors), colour, marker in zip(
            ((name, errors) for name, errors in measured.items() if isinstance(errors, dict)),
            ("0.5", _ORANGE, _BLUE),
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


@dataclass(frozen=True)
class Box:
    """A box of a diagram: what it says, where its middle is, in boxes across and down, whether it is learned, and the
    latent space that it belongs to."""

    text: str
    across: float
    down: float
    learned: bool = False
    space: str = ""


# Of latent spaces, in diagrams, and those of the page `play`: a line's colour and a ground's.
SPACE_COLOURS = {"z_A": ("#0072b2", "#dceaf7"), "z_P": ("#d55e00", "#fbe3d6"), "": ("black", "white")}


@_figure
def diagram(boxes: dict[str, Box], arrows: Sequence[tuple[str, str]], dashed: Sequence[tuple[str, str]] = ()) -> Figure:
    """Boxes and arrows between them, by name; what is learned is round, and coloured, as is what belongs to a space."""
    width, height = 1 + max(box.across for box in boxes.values()), 1 + max(box.down for box in boxes.values())
    figure, axes = _subplots(1, 1, figsize=(1.35 * width, 0.75 * height))
    cell, drawn = axes[0][0], {}
    for name, box in boxes.items():
        edge, ground = SPACE_COLOURS[box.space]
        style = {
            "boxstyle": "round,pad=0.5" if box.learned else "square,pad=0.4",
            "fc": SPACE_COLOURS["z_A"][1] if box.learned and not box.space else ground,
            "ec": edge,
        }
        drawn[name] = cell.text(box.across, -box.down, box.text, ha="center", va="center", bbox=style, fontsize=9)
    for pairs, line in ((arrows, "-"), (dashed, "--")):
        for start, end in pairs:
            ends = [(boxes[name].across, -boxes[name].down) for name in (start, end)]
            patches = {f"patch{side}": drawn[name].get_bbox_patch() for side, name in (("A", start), ("B", end))}
            arrow = {"arrowstyle": "-|>", "color": "0.3", "ls": line, "shrinkA": 0, "shrinkB": 2, **patches}
            cell.annotate("", xy=ends[1], xytext=ends[0], arrowprops=arrow)
    cell.set(xlim=(-0.6, width - 0.4), ylim=(-height + 0.4, 0.6))
    cell.axis("off")
    return figure


@_figure
def image_rows(rows: list[tuple[str, Tensor]], title: str = "") -> Figure:
    """Labelled rows of images, each `n x channels x height x width` in [0, 1], all rows of one length."""
    return _image_grid(rows, title)


@_figure
def undone(models: dict[str, GenerativeModel], images: Tensor) -> Figure:
    """Images, and below them what each model makes of them by undoing the perspective it infers.

    Args:
        models: label -> VITAE model.
        images: uint8, `n x channels x height x width`.
    """
    x = as_floats(images)
    rows = [("input", x)]
    for name, model in models.items():
        rows.append((name, model.undo_perspective(x, model.infer(x, noise=None).samples["z_P"])))
    return _image_grid(rows)


@_figure
def beside_the_poster(panels: Sequence[tuple[str, dict[str, results.Interval], dict[str, float]]], names) -> Figure:
    """Our means with 95% intervals as points and the poster's numbers as crosses, a panel a score, a row a model.

    Args:
        panels: title, model -> interval, model -> the poster's number; models without one get no cross.
        names: model -> printed name, in the order of the rows.
    """
    figure, axes = _subplots(1, len(panels), figsize=(3.2 * len(panels) + 0.8, 2.8), sharey=True)
    rows = list(names)
    for cell, (title, ours, theirs) in zip(axes[0], panels, strict=True):
        present = [model for model in rows if model in ours]
        heights = [rows.index(model) for model in present]
        spread = [np.nan_to_num(ours[model].half_width) for model in present]
        means = [ours[model].mean for model in present]
        cell.errorbar(means, heights, xerr=spread, fmt="o", c=_BLUE, ms=5, capsize=3, label="ours, 95% over seeds")
        printed = [model for model in rows if model in theirs]
        cell.scatter(
            [theirs[model] for model in printed],
            [rows.index(model) for model in printed],
            marker="x",
            c=_ORANGE,
            s=40,
            label="poster",
        )
        cell.set(title=title)
        cell.set_yticks(range(len(rows)), [names[model] for model in rows])
        cell.grid(axis="y", alpha=0.3)
    axes[0][0].invert_yaxis()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


@_figure
def space_knowledge(records: list[dict], names: dict[str, str], factor: str, what: str, guessing: float) -> Figure:
    """What each model's appearance (or only) space and its perspective space know of a factor, a dot a seed.

    Args:
        what: the number's name, for the axis.
        guessing: where knowing nothing lies.
    """
    figure, axes = _subplots(1, 1, figsize=(6.4, 3.2))
    cell = axes[0][0]
    present = [name for name in names if any(r["configuration"]["model"] == name for r in records)]
    for space, colour, marker, label in (
        ("z", "0.35", "s", "whole code $z$"),
        ("z_A", _BLUE, "o", "appearance $z_A$"),
        ("z_P", _ORANGE, "^", "perspective $z_P$"),
    ):
        rows = [r for r in records if space in r["scores"]["predictability"] and r["configuration"]["model"] in present]
        heights = [present.index(r["configuration"]["model"]) for r in rows]
        numbers = [r["scores"]["predictability"][space][factor] for r in rows]
        cell.scatter(numbers, heights, c=colour, marker=marker, label=label, alpha=0.8)
    cell.axvline(guessing, c="0.6", ls=":", lw=1)
    cell.annotate("guessing", (guessing + 0.015, 0.1), color="0.4", fontsize=8)
    cell.set_yticks(range(len(present)), [names[name] for name in present])
    cell.set(xlabel=f"{what} (10 nearest neighbours, test)", xlim=(min(0, guessing) - 0.02, 1.02))
    cell.invert_yaxis()
    cell.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@dataclass(frozen=True)
class Maker:
    """Who makes a notebook's figures: what stands under each of them and in the file beside it.

    Attributes:
        notebook: its name, which its figures' names begin with.
        profile: of the runs.
        seed: of the runs that are drawn.
        takes_models: the notebook has a parameter `models`, so that a figure can be made without training those that
            it does not show.

    Raises:
        InputError: a seed that is no whole number from 0 on, as papermill passes on what somebody typed.
    """

    notebook: str
    profile: str
    seed: int
    takes_models: bool = False

    def __post_init__(self):
        require_number("seed", self.seed, 0, whole=True)

    def show(self, figure: Figure, name: str, alt: str, records: list[dict], *, vector: bool = False):
        """Save a figure with its provenance, and return it for display with its caption.

        Args:
            name: what the figure shows; its file is `NOTEBOOK-NAME.png` or `.svg`.
            alt: the picture in words, for those who do not see it.
            records: the runs that the figure shows.
            vector: save as SVG: for lines and points rather than images.
        """
        path = paths.figures(self.profile) / f"{self.notebook}-{name}.{'svg' if vector else 'png'}"
        write_figure(figure, path)
        provenance = {
            "notebook": f"notebooks/{self.notebook}.ipynb",
            "profile": self.profile,
            "seed": self.seed,
            "commit": results.commit(),
            "seconds": round(sum(sum(record["seconds"].values()) for record in records), 1),
            "runs": [record["run"] for record in records],
            "alt": alt,
        }
        if self.takes_models and records:
            provenance["models"] = list(dict.fromkeys(record["configuration"]["model"] for record in records))
        write_text(path.with_suffix(".json"), json.dumps(provenance, indent=1, ensure_ascii=False) + "\n")
        return saved_figure(path)


def saved_figure(path: Path):
    """A figure that a `Maker` saved, with its caption, for display in a notebook.

    Raises:
        InputError: the figure or its provenance is not there.
    """
    from IPython.display import HTML

    try:
        picture, provenance = path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"there is no {error.filename}: run the notebook that makes it first.") from None
    # As an image of its own, not inline: the identifiers inside two SVGs on one page would collide.
    if path.suffix == ".png":
        picture, (width, height) = _lighter(picture)
        source = f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
    else:
        drawing, (width, height) = _shorter(picture.decode())
        source = f"data:image/svg+xml,{drawing.replace('%', '%25').replace('#', '%23')}"
    work = f"{provenance['seconds']:.0f} s of training and scoring" if provenance["runs"] else "nothing trained"
    notebook = Path(provenance["notebook"])
    command = f"papermill {notebook} out.ipynb -p profile {provenance['profile']} -p seed {provenance['seed']}"
    if models := provenance.get("models"):
        command += f" -p models '{' '.join(models)}'"
    # For eyes alone: whoever hears the page has just heard it as the picture's text.
    seen = f'<span class="seen" aria-hidden="true">{html.escape(provenance["alt"])}</span>'
    caption = (
        f'{seen}<a href="../_sources/{notebook}" download>{notebook}</a> · profile {provenance["profile"]} · '
        f"seed {provenance['seed']} · commit {provenance['commit']} · {work}"
        f'<button type="button" class="copy-command" data-command="{html.escape(command)}">copy command</button>'
    )
    return HTML(
        f'<figure class="{"vector" if path.suffix == ".svg" else "picture"}">'
        f'<img src="{source}" width="{width}" height="{height}" alt="{html.escape(provenance["alt"])}">'
        f'<figcaption class="provenance">{caption}</figcaption></figure>'
    )


def at_full_size(notebook: str, *names: str) -> list:
    """Figures of profile full for display, on a page of another profile: your own, else those that come with the clone.

    Args:
        names: as given to `Maker.show`; a star stands for anything.

    Raises:
        InputError: there is none of a name.
    """
    shown = []
    for name in names:
        for folder in (paths.figures("full"), paths.committed_figures()):
            found = sorted(path for path in folder.glob(f"{notebook}-{name}.*") if path.suffix in (".png", ".svg"))
            if found:
                shown += map(saved_figure, found)
                break
        else:
            raise InputError(f"there is no figure {notebook}-{name} of profile full: run the notebook with it first.")
    return shown


# Of an SVG: what no reader sees, and digits beyond the hundredth of a point; factors below one keep all of theirs.
_UNSEEN = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_DIGITS_UNSEEN = re.compile(r"(\d\d\.\d|[1-9]\.\d\d)\d+")


def _shorter(drawing: str) -> tuple[str, tuple[int, int]]:
    """An SVG for an attribute in double quotes, and its width and height in pixels."""
    width, height = (round(float(side) * 4 / 3) for side in re.findall(r'(?:width|height)="([\d.]+)pt"', drawing)[:2])
    drawing = _DIGITS_UNSEEN.sub(r"\1", _UNSEEN.sub("", drawing))
    return re.sub(r"\s+", " ", drawing).replace("> <", "><").replace('"', "'").strip(), (width, height)


# Beyond this many bytes a picture is shown with a loss that nobody sees, and hardly wider than a page.
_LARGE_PICTURE, _WIDEST = 40_000, 900


def _lighter(png: bytes) -> tuple[bytes, tuple[int, int]]:
    """A picture for a page, as WebP, and its width and height: a book of PNGs is megabytes a page."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    packed = io.BytesIO()
    image.save(packed, "WEBP", lossless=True)
    if packed.tell() > _LARGE_PICTURE:
        packed, shown = io.BytesIO(), image.copy()
        shown.thumbnail((_WIDEST, 10 * _WIDEST), Image.Resampling.LANCZOS)
        shown.save(packed, "WEBP", quality=70)
    return packed.getvalue(), image.size


def demonstration(name: str, still):
    """A demonstration of the book's page `play`, with a figure that stands for it on paper and without scripts.

    Args:
        name: as book/_static/play/NAME.js calls it.
        still: what `Maker.show` returned.
    """
    from IPython.display import HTML

    return HTML(f'<div class="demo" data-demo="{name}"><div class="still">{still.data}</div></div>')


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure atomically, as PNG or SVG by its extension, without dates, so that equal figures are equal files.

    Raises:
        InputError: another extension, or a folder that cannot be written.
    """
    extension = picture_kind(path)
    picture = io.BytesIO()
    with plt.style.context(STYLE):
        figure.savefig(picture, format=extension, metadata={"Date": None} if extension == "svg" else {})
    write_bytes(path, picture.getvalue())
