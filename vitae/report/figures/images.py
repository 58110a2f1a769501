"""Figures made of images: contact sheets, reconstructions, and images before and after the inverse transformation."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vitae.data.dataset import as_floats
from vitae.models.base import GenerativeModel, TransformingModel
from vitae.report.figures.style import BLUE, ORANGE, book_figure, draw_image, hide_frame, subplots

_IMAGE_INCHES = 0.62  # the side of an image in a grid of images
# Contact sheets are about this many dots wide, at the style's dots per inch.
_SHEET_DOTS, _DPI = 1100, 160


@book_figure
def image_rows(rows: list[tuple[str, Tensor]], title: str = "") -> Figure:
    """Labelled rows of images, each `n x channels x height x width` in [0, 1], with the same n in every row."""
    columns = max(len(images) for _, images in rows)
    figure, axes = subplots(
        len(rows), columns, figsize=(_IMAGE_INCHES * columns + 1.2, _IMAGE_INCHES * len(rows) + 0.4)
    )
    for (label, images), row in zip(rows, axes, strict=True):
        for image, cell in zip(images, row, strict=True):
            draw_image(cell, image)
        # The label of a latent, as `latents.latent_label` writes it, has its space's colour.
        colour = BLUE if "z_{A" in label else ORANGE if "z_{P" in label else "black"
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", color=colour)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    if title:
        figure.suptitle(title)
    return figure


def mosaic(rows: list[Tensor]) -> np.ndarray:
    """Rows of uint8 images as one picture with values in [0, 1]; images are one grey pixel apart, gaps are grey.

    Args:
        rows: each `n x channels x height x width`; n may differ.

    Returns:
        `picture height x picture width x 3`.
    """
    count = max(map(len, rows))
    height, width = rows[0].shape[-2:]
    picture = np.full((len(rows) * (height + 1) - 1, count * (width + 1) - 1, 3), 0.5)
    for i, row in enumerate(rows):
        for j, image in enumerate(as_floats(row).cpu().numpy()):
            top, left = i * (height + 1), j * (width + 1)
            picture[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return picture


def _draw_mosaic(rows: list[Tensor]) -> tuple[Figure, plt.Axes]:
    """A figure in which every image pixel is a square with a whole number of dots per side."""
    picture = mosaic(rows)
    height, width = picture.shape[:2]
    dots = max(1, round(_SHEET_DOTS / width))
    figure = plt.figure(figsize=(width * dots / _DPI, height * dots / _DPI), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    hide_frame(axes)
    return figure, axes


@book_figure
def contact_sheet(images: Tensor, columns: int | None = None) -> Figure:
    """uint8 images, `n x channels x height x width`, in rows of `columns`: by default 16 up to 32 pixels, else 8."""
    figure, _ = _draw_mosaic(list(images.split(columns or (16 if images.shape[-1] <= 32 else 8))))
    return figure


@book_figure
def factor_sheet(rows: list[tuple[str, Tensor]]) -> Figure:
    """Named rows of uint8 images, `n x channels x height x width`; one factor varies in each row."""
    figure, axes = _draw_mosaic([images for _, images in rows])
    height = rows[0][1].shape[-2] + 1
    axes.set_yticks([(i + 0.5) * height - 1 for i in range(len(rows))], [name for name, _ in rows])
    axes.tick_params(length=0)
    return figure


@book_figure
def before_and_after(model: GenerativeModel, images: Tensor) -> Figure:
    """Images before and after `T_-gamma`, with the outline of the transformed frame (the poster's Figure 1).

    Args:
        images: uint8, `n x channels x height x width`.
    """
    x = as_floats(images)
    z = model.infer(x, noise=None).samples
    upright = model.undo_perspective(x, z)
    side = torch.linspace(-1, 1, 41)
    rim = torch.cat(
        [
            torch.stack(pair, 1)
            for pair in ((side, -1 + 0 * side), (1 + 0 * side, side), (-side, 1 + 0 * side), (-1 + 0 * side, -side))
        ]
    )
    # T_-gamma(x)(p) = x(T_-gamma(p)): the frame of the result, drawn on the input.
    outline = model.transformation.apply(model.gamma(z), rim, inverse=True)
    figure, axes = subplots(2, len(x), figsize=(1.7 * len(x) + 0.8, 3.4))
    for j in range(len(x)):
        draw_image(axes[0][j], x[j])
        height, width = x.shape[-2:]
        axes[0][j].plot(
            (outline[j, :, 0] + 1) * width / 2 - 0.5, (outline[j, :, 1] + 1) * height / 2 - 0.5, c=ORANGE, lw=1.2
        )
        # The outline may extend beyond the image.
        rx, ry = 0.3 * width, 0.3 * height
        axes[0][j].set(xlim=(-rx, width + rx - 1), ylim=(height + ry - 1, -ry), facecolor="black")
        draw_image(axes[1][j], upright[j])
    axes[0][0].set_ylabel("$x$", rotation=0, ha="right", va="center")
    axes[1][0].set_ylabel(r"$T_{-\gamma}(x)$", rotation=0, ha="right", va="center")
    return figure


@book_figure
def reconstructions(models: dict[str, GenerativeModel], images: Tensor) -> Figure:
    """Images above each model's reconstructions from posterior means.

    Args:
        models: printed name -> model.
        images: uint8, `n x channels x height x width`.
    """
    x = as_floats(images)
    return image_rows([("input", x), *((name, model(x, None).mean) for name, model in models.items())])


@book_figure
def undone(models: dict[str, GenerativeModel], images: Tensor) -> Figure:
    """Images above `T_-gamma(x)` of each model: the images with the inferred perspective undone.

    Args:
        models: label -> VITAE model.
        images: uint8, `n x channels x height x width`.
    """
    x = as_floats(images)
    rows = [("input", x)]
    for name, model in models.items():
        rows.append((name, model.undo_perspective(x, model.infer(x, noise=None).samples)))
    return image_rows(rows)


@book_figure
def swap_grid(model: TransformingModel, appearances: Tensor, perspectives: Tensor) -> Figure:
    """The appearance of each row's image from the perspective of each column's, decoded from posterior means.

    A model that separates the two keeps what an image shows along a row, and how it is seen along a column.

    Args:
        appearances: uint8, `rows x channels x height x width`.
        perspectives: uint8, `columns x channels x height x width`.
    """
    kept, seen = (as_floats(images) for images in (appearances, perspectives))
    z_A, z_P = model.infer(kept, noise=None).samples["z_A"], model.infer(seen, noise=None).samples["z_P"]
    corner = torch.ones_like(seen[:1])
    rows = [("perspective of", torch.cat([corner, seen]))]
    for image, code in zip(kept, z_A, strict=True):
        swapped = model.decode({"z_A": code.expand(len(z_P), -1), "z_P": z_P}).clamp(0, 1)
        rows.append(("appearance of" if len(rows) == 1 else "", torch.cat([image[None], swapped])))
    return image_rows(rows)
