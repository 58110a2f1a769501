"""Diagrams of a model: boxes and arrows."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from vitae.report.figures.style import BLUE, ORANGE, book_figure, subplots


@dataclass(frozen=True)
class Box:
    """A box of a diagram.

    Attributes:
        text: what is written in it.
        across: column of its centre, counted from 0; may lie between two columns.
        down: row of its centre, counted from 0 at the top.
        learned: whether it is a network; drawn with round corners.
        space: the latent space whose colour it has, `z_A` or `z_P`; none by default.
    """

    text: str
    across: float
    down: float
    learned: bool = False
    space: str = ""


# Latent space -> edge and fill colour.
_SPACE_COLOURS = {"z_A": (BLUE, "#dceaf7"), "z_P": (ORANGE, "#fbe3d6"), "": ("black", "white")}


@book_figure
def diagram(boxes: dict[str, Box], arrows: Sequence[tuple[str, str]], dashed: Sequence[tuple[str, str]] = ()) -> Figure:
    """Boxes by name, with solid and dashed arrows between pairs of names, from first to second."""
    width, height = 1 + max(box.across for box in boxes.values()), 1 + max(box.down for box in boxes.values())
    figure, axes = subplots(1, 1, figsize=(1.35 * width, 0.75 * height))
    cell, drawn = axes[0][0], {}
    for name, box in boxes.items():
        edge, fill = _SPACE_COLOURS[box.space]
        style = {
            "boxstyle": "round,pad=0.5" if box.learned else "square,pad=0.4",
            "fc": _SPACE_COLOURS["z_A"][1] if box.learned and not box.space else fill,
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
