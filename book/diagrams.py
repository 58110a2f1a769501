"""Draw the diagrams of the page `model`: python book/diagrams.py

The diagrams are committed, and a test compares them with what this script draws.
"""

from pathlib import Path

from matplotlib.figure import Figure

from vitae.report.figures.diagrams import Box, diagram
from vitae.report.figures.provenance import write_figure

STATIC = Path(__file__).resolve().parent / "_static"


def _generation(across: float, down: float) -> dict[str, Box]:
    """The boxes from both latents to the mean image, the first of them at (across, down)."""
    return {
        "z_A": Box("$z_A$", across, down, space="z_A"),
        "decoder_A": Box("decoder$_A$", across + 1.3, down, learned=True, space="z_A"),
        "picture": Box(r"$\tilde{x}$", across + 2.6, down, space="z_A"),
        "z_P": Box("$z_P$", across, down + 1.4, space="z_P"),
        "decoder_P": Box("decoder$_P$", across + 1.3, down + 1.4, learned=True, space="z_P"),
        "gamma": Box(r"$\gamma$", across + 2.6, down + 1.4, space="z_P"),
        "T": Box(r"$\mathcal{T}_\gamma$", across + 3.7, down + 0.7),
        "mean": Box("mean of $x$", across + 4.9, down + 0.7),
    }


_GENERATION_ARROWS = [
    ("z_A", "decoder_A"),
    ("decoder_A", "picture"),
    ("z_P", "decoder_P"),
    ("decoder_P", "gamma"),
    ("picture", "T"),
    ("gamma", "T"),
    ("T", "mean"),
]


def story() -> Figure:
    """The generative model of VITAE."""
    prior = {
        "p_A": Box("$N(0, I)$", 0, 0),
        "p_P": Box("$N(0, I)$", 0, 1.4),
    }
    return diagram(prior | _generation(1.2, 0), [("p_A", "z_A"), ("p_P", "z_P"), *_GENERATION_ARROWS])


def inference(conditional: bool) -> Figure:
    """Inference of both latents from an image in C-VITAE (conditional) or U-VITAE."""
    boxes = {
        "x": Box("$x$", 0, 0.7),
        "encoder_P": Box("encoder$_P$", 1.2, 1.4, learned=True, space="z_P"),
        "z_P": Box("$z_P$", 2.4, 1.4, space="z_P"),
        "encoder_A": Box("encoder$_A$", 4.9 if conditional else 1.2, 0, learned=True, space="z_A"),
        "z_A": Box("$z_A$", 6.1 if conditional else 2.4, 0, space="z_A"),
    }
    arrows = [("x", "encoder_P"), ("encoder_P", "z_P"), ("encoder_A", "z_A")]
    if not conditional:
        return diagram(boxes, [*arrows, ("x", "encoder_A")])
    boxes |= {
        "decoder_P": Box("decoder$_P$", 3.6, 1.4, learned=True, space="z_P"),
        "back": Box(r"$\mathcal{T}_{-\gamma}$", 2.4, 0),
        "upright": Box(r"$\mathcal{T}_{-\gamma}(x)$", 3.6, 0),
    }
    arrows += [
        ("z_P", "decoder_P"),
        ("decoder_P", "back"),
        ("x", "back"),
        ("back", "upright"),
        ("upright", "encoder_A"),
    ]
    return diagram(boxes, arrows)


DIAGRAMS = {"story": story, "u-vitae": lambda: inference(False), "c-vitae": lambda: inference(True)}


def main() -> None:
    for name, draw in DIAGRAMS.items():
        write_figure(draw(), STATIC / f"{name}.svg")


if __name__ == "__main__":
    main()
