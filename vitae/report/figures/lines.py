"""Line plots: the training loss of runs, and curves of any numbers."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from vitae.experiments.declaration import printed_name
from vitae.report.figures.style import MARKERS, book_figure, subplots
from vitae.report.statistics import models_of

# A legend with more entries would cover the curves: it goes below the figure.
_MOST_IN_A_LEGEND_INSIDE = 4
_MOST_ACROSS = 6
# On a long curve more markers would hide the line.
_MARKERS_A_LINE = 8


@book_figure
def learning_curves(records: list[dict]) -> Figure:
    """Training loss by epoch, in nats per image, a colour for each row of the table.

    Each row minimises its own objective, so the levels of different rows are not comparable.
    """
    figure, axes = subplots(1, 1, figsize=(6.4, 3.4))
    cycle = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    models = models_of(records)
    # With more rows than colours, the colours repeat with dashes.
    styles = {
        name: {"c": cycle[i % len(cycle)], "ls": "-" if i < len(cycle) else "--"} for i, name in enumerate(models)
    }
    labelled = set()
    for record in records:
        model = record["configuration"]["model"]
        losses = np.array(record["losses"], float)
        label = printed_name(model) if model not in labelled else None
        labelled.add(model)
        axes[0][0].plot(1 + np.arange(len(losses)), losses, lw=1.2, label=label, **styles[model])
    axes[0][0].set(xlabel="epoch", ylabel="training loss (nats per image)")
    # The limits leave out the first epoch, which is far above all others and would flatten them.
    shown = [loss for record in records for loss in record["losses"][1:]] or [0, 1]
    margin = 0.05 * (max(shown) - min(shown)) + 1
    axes[0][0].set_ylim(min(shown) - margin, max(shown) + margin)
    axes[0][0].legend(ncols=2)
    return figure


@dataclass(frozen=True)
class Curve:
    """Points of one curve with a label; they are joined by a line unless `line` is False."""

    x: Sequence[float]
    y: Sequence[float]
    label: str
    line: bool = True


@book_figure
def curves(
    panels: Sequence[tuple[str, str, str, Sequence[Curve]]],
    log: bool = False,
    up_to: float | None = None,
) -> Figure:
    """Panels of curves side by side.

    Args:
        panels: title, label of the x axis, label of the y axis, and the curves.
        log: whether the x axis is logarithmic.
        up_to: the upper end of every y axis, which then starts at 0, so that panels compare.
    """
    figure, axes = subplots(1, len(panels), figsize=(4.2 * len(panels), 3.0))
    colours = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    for cell, (title, across, up, drawn) in zip(axes[0], panels, strict=True):
        for curve, colour, marker in zip(drawn, itertools.cycle(colours), itertools.cycle(MARKERS), strict=False):
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
