"""Figures of transformations show the package's own velocities, maps and errors."""

import numpy as np
import torch

from vitae import CPAB, Affine
from vitae.report import figures


def test_a_cpab_field_is_drawn_on_its_mesh_with_arrows_of_its_velocities():
    cpab = CPAB((2, 3))
    gamma = torch.zeros(1, cpab.dim)
    gamma[0, -2] = 0.6  # the last centre moves to the right
    figure = figures.velocity_fields(cpab, gamma, ["one"], drops=2)
    (axes,) = figure.axes
    (arrows,) = [collection for collection in axes.collections if hasattr(collection, "U")]
    velocities = cpab.velocity(gamma, torch.tensor(np.asarray(arrows.XY), dtype=torch.float32))[0]
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1), velocities.numpy(), atol=1e-6)
    outlines = [line for line in axes.lines if len(line.get_xdata()) == 5]
    assert len(outlines) == 6, "one outline for each cell"


def test_area_changes_are_in_doublings_and_the_title_states_the_smallest(drawn_images):
    gamma = torch.tensor([[np.log(2) / 2, 0, 0, np.log(2) / 2, 0, 0]], dtype=torch.float32)
    figure = figures.area_changes(Affine(), gamma, ["twice"], side=4)
    np.testing.assert_allclose(drawn_images(figure)[0], 1, atol=1e-5)
    assert figure.axes[0].get_title() == "twice\nat least 2.00 times"


def test_convergence_draws_mean_and_largest_error_of_each_scheme():
    schemes = ["Euler", "exponential Euler (libcpab)", "one-leg (ours)"]
    measured = {"tessellation": (2, 4), "evaluations": [8, 16]}
    measured |= {name: {"mean": [1.0, 0.5], "max": [3.0, 2.0]} for name in schemes}
    (axes,) = figures.convergence([measured]).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[1.0, 0.5], [3.0, 2.0]] * 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"{name}, mean" for name in schemes]


def test_a_grid_that_stays_in_the_square_fills_its_axes():
    image = torch.zeros(1, 28, 28)
    inside = figures.warped_grids(CPAB((1, 1)), torch.full((1, 2), 0.1), ["in"], image)
    outside = figures.warped_grids(Affine(), torch.tensor([[0.5, 0, 0, 0.5, 0, 0]]), ["out"], image)
    assert inside.axes[0].get_xlim()[1] < 1.1 < outside.axes[0].get_xlim()[1]
