"""Figures of scores: of models over seeds, beside the poster's numbers, and of example codes."""

import itertools
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from vitae.experiments.declaration import printed_name
from vitae.report.figures.heatmaps import Matrix
from vitae.report.figures.style import BLUE, MARKERS, ORANGE, book_figure, subplots
from vitae.report.statistics import Interval, guessing, in_table_order, models_of


@book_figure
def scores_of(
    examples: dict[str, dict[str, float]], scores: Sequence[str], ceilings: dict[str, float] | None = None
) -> Figure:
    """A row for each score with a point for each example.

    Args:
        examples: name -> score -> value.
        scores: the scores to show, all between 0 and 1.
        ceilings: score -> what perfect codes reach; drawn as a line across the row.
    """
    figure, axes = subplots(1, 1, figsize=(7.4, 0.44 * len(scores) + 1.0))
    cell = axes[0][0]
    colours = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
    # Points are shifted vertically, or equal scores would hide each other.
    offsets = np.linspace(-0.28, 0.28, len(examples))
    for (name, values), offset, colour, marker in zip(
        examples.items(), offsets, itertools.cycle(colours), itertools.cycle(MARKERS), strict=False
    ):
        places = np.arange(len(scores)) + offset
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


@book_figure
def leaders(panels: Sequence[Matrix]) -> Figure:
    """Bars of the best and the second-best code for each factor, one in front of the other, and the gap as a number."""
    figure, axes = subplots(1, len(panels), figsize=(3.1 * len(panels), 2.6), sharey=True)
    for cell, panel in zip(axes[0], panels, strict=True):
        ordered = np.sort(panel.numbers, axis=0)
        places = np.arange(len(panel.factors))
        cell.bar(places, ordered[-1], width=0.7, color=BLUE, label="best code")
        cell.bar(places, ordered[-2], width=0.7, color="0.8", label="second best")
        for place, top, gap in zip(places, ordered[-1], ordered[-1] - ordered[-2], strict=True):
            cell.text(place, top + 0.01, f"{gap:.2f}", ha="center", va="bottom", fontsize=7)
        cell.set_xticks(places, panel.factors, rotation=30, ha="right", parse_math=False)
        cell.set(title=panel.title, ylim=(0, 1.12 * max(1.0, float(ordered.max()))))
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


@book_figure
def beside_the_poster(panels: Sequence[tuple[str, dict[str, Interval], dict[str, float]]]) -> Figure:
    """Our means with 95% intervals as points and the poster's numbers as crosses: a panel a score, a row a model.

    Args:
        panels: title, model -> interval, model -> the poster's number; a model may lack either.
    """
    figure, axes = subplots(1, len(panels), figsize=(3.2 * len(panels) + 0.8, 2.8), sharey=True)
    rows = in_table_order({model for _, ours, theirs in panels for model in (*ours, *theirs)})
    for cell, (title, ours, theirs) in zip(axes[0], panels, strict=True):
        present = [model for model in rows if model in ours]
        heights = [rows.index(model) for model in present]
        spread = [np.nan_to_num(ours[model].half_width) for model in present]
        means = [ours[model].mean for model in present]
        cell.errorbar(means, heights, xerr=spread, fmt="o", c=BLUE, ms=5, capsize=3, label="ours, 95% over seeds")
        printed = [model for model in rows if model in theirs]
        cell.scatter(
            [theirs[model] for model in printed],
            [rows.index(model) for model in printed],
            marker="x",
            c=ORANGE,
            s=40,
            label="poster",
        )
        cell.set(title=title)
        cell.set_yticks(range(len(rows)), [printed_name(model) for model in rows])
        cell.grid(axis="y", alpha=0.3)
    axes[0][0].invert_yaxis()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


@book_figure
def space_knowledge(records: list[dict], factor: str, label: str) -> Figure:
    """How well nearest neighbours predict a factor from draws of each latent space of each model, a point a seed.

    A dotted line marks guessing, see `statistics.guessing`.

    Args:
        label: the name of the number, for the axis.
    """
    figure, axes = subplots(1, 1, figsize=(6.4, 3.2))
    cell = axes[0][0]
    models, chance = models_of(records), guessing(records[0], factor)
    for space, colour, marker, name in (
        ("z", "0.35", "s", "whole code $z$"),
        ("z_A", BLUE, "o", "appearance $z_A$"),
        ("z_P", ORANGE, "^", "perspective $z_P$"),
    ):
        rows = [record for record in records if space in record["scores"]["predictability_of_draws"]]
        heights = [models.index(record["configuration"]["model"]) for record in rows]
        numbers = [record["scores"]["predictability_of_draws"][space][factor] for record in rows]
        cell.scatter(numbers, heights, c=colour, marker=marker, label=name, alpha=0.8)
    cell.axvline(chance, c="0.6", ls=":", lw=1)
    cell.annotate("guessing", (chance + 0.015, 0.1), color="0.4", fontsize=8)
    cell.set_yticks(range(len(models)), [printed_name(model) for model in models])
    cell.set(xlabel=f"{label} (nearest neighbours, posterior draws)", xlim=(min(0, chance) - 0.02, 1.02))
    cell.invert_yaxis()
    cell.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
