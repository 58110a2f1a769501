"""The book's look: colours, markers, the decorator of every figure function, and how one image is drawn."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

STYLE = Path(__file__).with_name("vitae.mplstyle")
# These differ in lightness too, for colour-blind readers. Where latent spaces are compared, appearance is blue and
# perspective orange.
BLUE, ORANGE = "#0072b2", "#d55e00"
MARKERS = "o^sDvPX"


def book_figure(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a function that returns a figure: it draws in the book's style and without gradients.

    The figure is closed in pyplot, so that notebooks do not show it twice and pyplot does not keep it in memory.
    """

    @wraps(draw)
    def wrapper(*arguments, **settings) -> Figure:
        with plt.style.context(STYLE), torch.no_grad():
            figure = draw(*arguments, **settings)
        plt.close(figure)
        return figure

    return wrapper


def subplots(rows: int = 1, columns: int = 1, **settings) -> tuple[Figure, np.ndarray]:
    """`plt.subplots` with axes that are always a `rows x columns` array."""
    return plt.subplots(rows, columns, squeeze=False, **settings)


def draw_image(axes: plt.Axes, image: Tensor | np.ndarray) -> None:
    """Draw an image, `channels x height x width`, without ticks or frame; values are clipped to [0, 1]."""
    image = np.clip(np.asarray(image), 0, 1)  # the mean of a Gaussian likelihood may lie outside
    axes.imshow(image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0), vmin=0, vmax=1, interpolation="nearest")
    hide_frame(axes)


def hide_frame(axes: plt.Axes) -> None:
    """Remove ticks and the four lines around the axes."""
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)
