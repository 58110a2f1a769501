"""Figures of scores place numbers in the right rows."""

import numpy as np
import pytest
from example_record import example_record

from vitae.report import figures, statistics


def test_intervals_and_the_posters_numbers_are_in_the_row_of_their_model():
    ours = {"c-vitae": statistics.Interval.of([0.7, 0.8, 0.9]), "vae": statistics.Interval.of([0.4])}
    (axes,) = figures.beside_the_poster([("D", ours, {"vae": 0.579})]).axes
    (points,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert list(zip(points.get_xdata(), points.get_ydata(), strict=True)) == [(0.4, 0), (pytest.approx(0.8), 1)]
    crosses = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(crosses, [[0.579, 0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["VAE", "C-VITAE"]


def test_leaders_show_the_gap_between_the_two_best_codes_of_each_factor():
    numbers = np.array([[0.9, 0.2], [0.3, 0.8], [0.5, 0.75]])
    (panel,) = figures.leaders([figures.Matrix("title", numbers, "abc", ["kind", "turn"])]).axes
    assert [text.get_text() for text in panel.texts] == ["0.40", "0.05"]
    assert [bar.get_height() for bar in panel.patches] == [0.9, 0.8, 0.5, 0.75]


def test_scores_of_examples_are_points_in_the_row_of_their_score():
    figure = figures.scores_of({"one": {"MIG": 0.2, "SAP": 0.4}, "two": {"MIG": 0.7, "SAP": 0.1}}, ["SAP", "MIG"])
    first, second = (marks.get_offsets() for marks in figure.axes[0].collections)
    with_ceilings = figures.scores_of({"one": {"MIG": 0.2, "SAP": 0.4}}, ["SAP", "MIG"], {"MIG": 0.9, "SAP": 0.3})
    assert [line[0][0] for line in with_ceilings.axes[0].collections[1].get_segments()] == [0.3, 0.9]
    assert (first[:, 0].tolist(), second[:, 0].tolist()) == ([0.4, 0.2], [0.1, 0.7])
    assert first[:, 1].round().tolist() == second[:, 1].round().tolist() == [0, 1]
    assert (first[:, 1] < second[:, 1]).all()


def test_space_knowledge_marks_guessing_and_names_rows_by_their_titles():
    (axes,) = figures.space_knowledge([example_record("c-vitae"), example_record("vae")], "digit", "accuracy").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["VAE", "C-VITAE"]
    (line,) = axes.lines
    assert list(line.get_xdata()) == [0.12, 0.12]
    points = [marks.get_offsets().tolist() for marks in axes.collections]
    assert points == [[[0.5, 0]], [[0.8, 1]], [[0.2, 1]]]
