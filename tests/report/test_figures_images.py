"""Figures made of images show the images that models compute."""

import numpy as np
import pytest
import torch

from vitae.report import figures


def test_reconstructions_show_the_input_above_each_models_mean_image(drawn_images, model, images):
    drawn = drawn_images(figures.reconstructions({"a model": model}, images))
    x = images.float() / 255
    with torch.no_grad():
        expected = [*x[:, 0], *model(x, None).mean[:, 0]]
    assert len(drawn) == 6
    for image, mean in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(image, mean.numpy(), atol=1e-6)


def test_the_outline_is_the_part_of_the_image_that_the_appearance_encoder_sees(model, images):
    with torch.no_grad():
        model.decoder_P.motions.bias.copy_(torch.tensor([0.0, 0, 0, 0, -2 / 28 * 3, 0]))
        model.decoder_P.motions.weight.zero_()
    figure = figures.before_and_after(model, images)
    # T_-gamma samples three pixels to the right of each output pixel.
    outline = figure.axes[0].lines[0].get_xdata()
    assert (float(outline.min()), float(outline.max())) == pytest.approx((2.5, 30.5), abs=1e-4)
    np.testing.assert_allclose(
        figure.axes[3].images[0].get_array()[:, :-3], images[0, 0, :, 3:].numpy() / 255, atol=1e-5
    )


def test_a_swap_grid_has_the_appearance_of_the_row_from_the_perspective_of_the_column(drawn_images, model, images):
    drawn = drawn_images(figures.swap_grid(model, images[:1], images))
    x = images.float() / 255
    with torch.no_grad():
        z = model.infer(x, None).samples
        expected = [model.decode({"z_A": z["z_A"][:1], "z_P": z_P[None]})[0, 0] for z_P in z["z_P"]]
    columns = 1 + len(images)
    assert len(drawn) == 2 * columns
    shown = [*x[:, 0], x[0, 0], *expected]
    # The corner is white.
    for image, mean in zip([*drawn[1:columns], *drawn[columns:]], shown, strict=True):
        np.testing.assert_allclose(image, mean.numpy(), atol=1e-6)


def test_undone_shows_the_input_and_each_models_inverse_transformation(drawn_images, model, images):
    figure = figures.undone({"affine": model}, images)
    shown = drawn_images(figure)
    np.testing.assert_allclose(shown[0], images[0, 0] / 255)
    x = images / 255
    expected = model.undo_perspective(x, model.infer(x, noise=None).samples)
    np.testing.assert_allclose(shown[3], expected[0, 0].detach(), atol=1e-6)
