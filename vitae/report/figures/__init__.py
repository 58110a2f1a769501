"""Every figure of the book: functions of arrays, records and models that return a matplotlib figure."""

from vitae.report.figures.diagrams import Box, diagram
from vitae.report.figures.heatmaps import Matrix, importances, matrices, score_matrices
from vitae.report.figures.images import (
    before_and_after,
    contact_sheet,
    factor_sheet,
    image_rows,
    reconstructions,
    swap_grid,
    undone,
)
from vitae.report.figures.latents import (
    latent_label,
    latent_spaces,
    plane,
    planes,
    space_and_number,
    traversal,
    traversals,
    warped_by,
)
from vitae.report.figures.lines import Curve, curves, learning_curves
from vitae.report.figures.provenance import Maker, at_full_size, demonstration, saved_figure, write_figure
from vitae.report.figures.scores import beside_the_poster, leaders, scores_of, space_knowledge
from vitae.report.figures.style import STYLE
from vitae.report.figures.transforms import area_changes, convergence, velocity_fields, warped_grids

__all__ = [
    "STYLE",
    "Box",
    "Curve",
    "Maker",
    "Matrix",
    "area_changes",
    "at_full_size",
    "before_and_after",
    "beside_the_poster",
    "contact_sheet",
    "convergence",
    "curves",
    "demonstration",
    "diagram",
    "factor_sheet",
    "image_rows",
    "importances",
    "latent_label",
    "latent_spaces",
    "leaders",
    "learning_curves",
    "matrices",
    "plane",
    "planes",
    "reconstructions",
    "saved_figure",
    "score_matrices",
    "scores_of",
    "space_and_number",
    "space_knowledge",
    "swap_grid",
    "traversal",
    "traversals",
    "undone",
    "velocity_fields",
    "warped_by",
    "warped_grids",
    "write_figure",
]
