"""Heatmaps show the numbers of their matrices under the right names."""

import numpy as np

from vitae.metrics import report
from vitae.report import figures


def test_score_matrices_show_the_reports_numbers_and_names():
    codes = np.random.default_rng(0).normal(size=(120, 3))
    factors = np.column_stack([np.arange(120) % 3, np.arange(120) % 4])
    scores = report(codes, factors, names=["kind", "turn"], spaces={"z_A": 1, "z_P": 2}, fast=True)
    panels = figures.score_matrices(scores).axes
    drawn = [panel.images[0].get_array().data for panel in panels]
    expected = [scores.dci.importance, scores.mig.information, scores.sap.predictability, scores.d_score.importance]
    for shown, matrix in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(shown, matrix)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["z_A, 1", "z_P, 1", "z_P, 2"]
    assert [label.get_text() for label in panels[3].get_xticklabels()] == ["kind", "turn"]
    assert f"MIG = {scores.mig.score:.2f}" in panels[1].get_title()


def test_each_matrix_has_its_own_scale():
    small = figures.Matrix("small", np.array([[0.01, 0.0]]), ["a"], ["x", "y"])
    large = figures.Matrix("large", np.array([[5.0, 1.0]]), ["a"], ["x", "y"])
    for panel, matrix in zip(figures.matrices([small, large]).axes, (small, large), strict=True):
        assert panel.images[0].get_clim() == (0, matrix.numbers.max())


def test_matrices_continue_in_the_next_row_and_unused_axes_are_hidden():
    panels = [figures.Matrix(str(i), np.full((2, 3), i + 1.0), ["a", "b"], ["x", "y", "z"]) for i in range(4)]
    shown = figures.matrices(panels, columns=3)
    visible = [cell for cell in shown.axes if cell.get_visible()]
    assert [cell.get_title() for cell in visible] == ["0", "1", "2", "3"]
    assert len(shown.axes) == 6
    places = [cell.get_subplotspec() for cell in visible]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [(0, 0), (0, 1), (0, 2), (1, 0)]
