"""Every figure of the book: functions of arrays and models that return a matplotlib figure, and the one way to save.

A figure's file is named by its maker, `NOTEBOOK-NAME`, and has its provenance beside it as JSON: notebook, profile,
seed, commit, seconds and the records that it shows.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from vitae.metrics.report import Report
from vitae.report import statistics
from vitae.report.figures.style import _BLUE, _MARKERS, _ORANGE, _figure, _subplots

# Contact sheets are about so many dots wide, at the style's dots an inch.
_SHEET_DOTS, _DPI = 1100, 160


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
def beside_the_poster(panels: Sequence[tuple[str, dict[str, statistics.Interval], dict[str, float]]], names) -> Figure:
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
