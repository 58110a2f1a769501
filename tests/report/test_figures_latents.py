"""Latent traversals pass through the posterior mean, and labels are formulas."""

import numpy as np
import torch

from vitae import build, configure
from vitae.report import figures


def test_traversals_pass_through_the_images_posterior_mean(drawn_images, model, images):
    """At an end that equals the posterior mean, the image is the reconstruction."""
    with torch.no_grad():
        z = model.infer(images[:1].float() / 255, None).samples
        reach = float(z["z_A"][0, 0].abs())
        expected = model.decode(z)[0, 0].numpy()
    drawn = drawn_images(figures.traversals(model, images[0], "", steps=2, reach=reach))
    assert len(drawn) == 2 * 6
    end = int(z["z_A"][0, 0] > 0)
    np.testing.assert_allclose(drawn[end], expected, atol=1e-5)
    assert np.abs(drawn[1 - end] - expected).max() > 0


def test_an_image_warped_by_its_own_perspective_is_nearly_unchanged(model, images):
    with torch.no_grad():
        model.decoder_P.motions.weight.mul_(3)
    smooth = torch.nn.functional.avg_pool2d(images[:1].float(), 9, 1, 4)[0].round().to(torch.uint8)
    row = figures.warped_by(model, smooth, "z_P2", steps=3)
    assert row.shape == (3, 1, 28, 28)
    middle = row[1, :, 5:-5, 5:-5]
    # Nearly, because the image is interpolated twice.
    np.testing.assert_allclose(middle.numpy(), smooth[:, 5:-5, 5:-5].numpy() / 255, atol=0.02)
    assert (row[0] - row[1]).abs().max() > 0.02
    assert figures.latent_label("z_P2") == "$z_{P,2}$"
    assert figures.latent_label("z10") == "$z_{10}$"
    assert figures.latent_label("k") == "$k$"


def test_a_choice_is_traversed_value_by_value(images):
    model = build(configure("mnist", "archetypes", "smoke", templates=3), tuple(images.shape[1:])).eval()
    with torch.no_grad():
        model.templates.pixels.copy_(torch.randn_like(model.templates.pixels))
        z = model.infer(images[:1].float() / 255, None).samples
        expected = torch.cat([model.decode({**z, "z_A": choice[None]}) for choice in torch.eye(3)])
    row = figures.traversal(model, images[0], "k", steps=5)
    torch.testing.assert_close(row[:3], expected)
    assert (row[3:] == 1).all()
