"""TODO report.figures.diagrams."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from vitae.report.figures.style import _figure, _subplots


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
