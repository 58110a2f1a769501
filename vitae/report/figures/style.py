"""TODO report.figures.style."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

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
