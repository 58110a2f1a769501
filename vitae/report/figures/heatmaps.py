"""Heatmaps: matrices of codes by factors in shades of grey, with their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from vitae.metrics.report import Report
from vitae.report.figures.style import book_figure, subplots


@dataclass(frozen=True)
class Matrix:
    """A matrix to draw: `numbers` is `codes x factors`."""

    title: str
    numbers: np.ndarray
    codes: Sequence[str]
    factors: Sequence[str]


def _draw_matrix(axes: plt.Axes, matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str], largest: float):
    """Draw a matrix in shades of grey, 0 white and `largest` black, with its numbers; returns the drawn image."""
    shown = axes.imshow(matrix, vmin=0, vmax=largest, cmap="Greys", aspect="auto")
    for (i, j), number in np.ndenumerate(matrix):
        colour = "white" if number > largest / 2 else "black"
        axes.text(j, i, f"{number:.2f}", ha="center", va="center", fontsize=7, color=colour)
    # Names come from the user's data: a dollar sign in them starts no formula.
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", parse_math=False)
    axes.set_yticks(range(len(rows)), rows, parse_math=False)
    return shown


@book_figure
def importances(records: dict[str, dict]) -> Figure:
    """The importance matrices behind D* of posterior draws, latents x factors, on one scale; darker is larger.

    Args:
        records: printed name -> record.
    """
    columns = min(3, len(records))
    rows = -(-len(records) // columns)
    figure, axes = subplots(rows, columns, figsize=(2.9 * columns, 2.7 * rows))
    matrices = [np.array(record["scores"]["d_star_importance"]["draws"]["latents"]) for record in records.values()]
    # Never zero: draws may know nothing.
    largest = max(0.01, *(matrix.max() for matrix in matrices))
    for cell in axes.flat[len(records) :]:
        cell.set_visible(False)
    for cell, (name, record), matrix in zip(axes.flat, records.items(), matrices, strict=False):
        scores = record["scores"]
        shown = _draw_matrix(cell, matrix, scores["latents"], scores["factors"], largest)
        d_star = "undefined" if scores["d_star"] is None else f"{scores['d_star']:.2f}"
        cell.set_title(f"{name}, D* = {d_star} at {scores['d_star_coverage']:.2f}", fontsize="small")
    figure.colorbar(shown, ax=axes, label="importance", shrink=0.6)
    return figure


def _width(panel: Matrix) -> float:
    """Inches for a matrix and its row names; the margin already has room for a few letters."""
    return 1.3 + 0.4 * len(panel.factors) + 0.08 * max(0, max(map(len, panel.codes)) - 6)


@book_figure
def matrices(panels: Sequence[Matrix], columns: int | None = None) -> Figure:
    """Matrices in rows of `columns`, by default all in one row; each has its own scale, its largest number is black."""
    columns = min(columns or len(panels), len(panels))
    rows = -(-len(panels) // columns)
    height = 1.1 + 0.28 * max(len(panel.codes) for panel in panels)
    widths = [max(_width(panel) for panel in panels[i::columns]) for i in range(columns)]
    figure, axes = subplots(rows, columns, figsize=(sum(widths), rows * height), width_ratios=widths)
    for cell in axes.flat[len(panels) :]:
        cell.set_visible(False)
    for cell, panel in zip(axes.flat, panels, strict=False):
        _draw_matrix(cell, panel.numbers, panel.codes, panel.factors, max(float(np.nanmax(panel.numbers)), 1e-9))
        cell.set_title(panel.title)
    return figure


def score_matrices(report: Report) -> Figure:
    """The matrices behind DCI, MIG, SAP and D_score, codes x factors; darker is larger."""
    dci, mig, sap, knn = report.dci, report.mig, report.sap, report.d_score
    panels = (
        (f"DCI importance\nD = {dci.disentanglement:.2f}, C = {dci.completeness:.2f}", dci.importance),
        (f"information (nats)\nMIG = {mig.score:.2f}", mig.information),
        (f"linear prediction\nSAP = {sap.score:.2f}", sap.predictability),
        (f"gain of 10 neighbours\nD_score = {knn.score:.2f}", knn.importance),
    )
    return matrices([Matrix(title, numbers, report.codes, report.factors) for title, numbers in panels])
