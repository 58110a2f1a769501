import math

import pytest
import torch

from vitae import build, configure
from vitae.evaluation.effects import image_effects, latent_effects, motion_effects, perspective_effects, round_trip
from vitae.transforms import Affine, pixel_grid

SIDE = 64


def blobs(points, centres=((-0.2, 0.1), (0.3, -0.3)), widths=(0.3, 0.25)):
    """A smooth image with three channels as a function of position, `... x 2` to `3 x ...`."""
    heights = [
        torch.exp(-((points - points.new_tensor(c)) ** 2).sum(-1) / (2 * w * w))
        for c, w in zip(centres, widths, strict=True)
    ]
    return torch.stack([0.2 + 0.6 * heights[0], 0.7 * heights[1], 0.3 * (heights[0] + heights[1])])


def pair(scale=0.0, shift=(0.0, 0.0), colour=0.0):
    """An image, and the same image scaled by 1 + `scale`, moved by `shift` half sides, and brightened by `colour`."""
    points = pixel_grid(SIDE, SIDE, dtype=torch.float64)
    before = blobs(points).reshape(1, 3, SIDE, SIDE)
    after = blobs((points - points.new_tensor(shift)) / (1 + scale)).reshape(1, 3, SIDE, SIDE)
    return before, after + colour * before


@pytest.mark.parametrize("scale", [-0.02, 0.01, 0.03])
def test_scaling_an_image_has_only_a_scaling_effect(scale):
    scaling, translation, recolouring = image_effects(*pair(scale=scale))
    assert scaling.item() == pytest.approx(abs(scale), rel=0.03)
    assert translation.item() < 1e-4
    assert recolouring.item() < 2e-3


@pytest.mark.parametrize("shift", [(0.03, 0.0), (0.0, -0.02), (0.02, 0.02)])
def test_moving_an_image_has_only_a_translation_effect_relative_to_the_side(shift):
    scaling, translation, recolouring = image_effects(*pair(shift=shift))
    # `shift` is in half sides.
    assert translation.item() == pytest.approx(math.hypot(*shift) / 2, rel=0.03)
    assert scaling.item() < 1e-3
    assert recolouring.item() < 2e-3


def test_brightening_an_image_is_recolouring_and_not_motion():
    before, after = pair(colour=0.05)
    _, translation, recolouring = image_effects(before, after)
    # Brightening a blob resembles enlarging it a little, but most of the change must remain.
    change = (after - before).square().mean().sqrt()
    assert recolouring.item() > 0.5 * change
    assert translation.item() < 0.01
    uniform = image_effects(before, before + 0.05)
    assert uniform[2].item() == pytest.approx(0.05, rel=1e-6)


def test_an_image_without_edges_has_no_effect():
    flat = torch.full((1, 3, 16, 16), 0.5)
    assert [effect.item() for effect in image_effects(flat, flat)] == [0, 0, 0]


def test_motion_effects_of_an_affine_map_follow_from_its_matrix():
    """Sampling at 1.1 x + t shrinks the image to 1 / 1.1 of its size, a scaling of 0.1 to first order."""
    points = pixel_grid(SIDE, SIDE)[None]
    moved = 1.1 * points + points.new_tensor([0.06, -0.08])
    scaling, translation = motion_effects(points, moved, SIDE, SIDE)
    assert scaling.item() == pytest.approx(0.1, rel=1e-5)
    assert translation.item() == pytest.approx(0.05, rel=1e-5)


@pytest.fixture
def model():
    """C-VITAE whose two perspective latents scale by 8% and translate by 0.05 half sides per unit."""
    vitae = build(configure("celeba", "c-vitae", "smoke", appearance=2, perspective=2), (3, SIDE, SIDE)).eval()
    with torch.no_grad():
        last = torch.nn.Linear(2, 6)
        last.weight.zero_(), last.bias.zero_()
        # gamma maps pixels to source positions: enlarging means sampling closer to the centre.
        last.weight[0, 0] = last.weight[3, 0] = -0.08
        last.weight[4, 1] = 0.05
    vitae.decoder_P.motions = last
    points = pixel_grid(SIDE, SIDE)
    vitae.decoder_A.forward = lambda z: blobs(points).reshape(1, 3, SIDE, SIDE).expand(len(z), -1, -1, -1)
    return vitae


def test_effects_from_images_and_from_the_transformation_agree(model, generator):
    """The remaining difference is due to the border of the image."""
    images = torch.randint(0, 256, (4, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    assert repr(model.transformation) == repr(Affine())
    estimated, exact = latent_effects(model, images), perspective_effects(model, images)
    assert list(estimated) == ["z_A1", "z_A2", "z_P1", "z_P2"]
    assert list(exact) == ["z_P1", "z_P2"]
    assert exact["z_P1"].scaling == pytest.approx(0.08, rel=0.05)
    assert exact["z_P2"].translation == pytest.approx(0.025, rel=0.1)
    assert estimated["z_P1"].scaling == pytest.approx(exact["z_P1"].scaling, rel=0.1)
    assert estimated["z_P2"].translation == pytest.approx(exact["z_P2"].translation, rel=0.1)
    assert exact["z_P2"].scaling < 1e-5
    assert estimated["z_A1"].recolouring == 0


def test_round_trip_of_affine_maps_is_exact_and_their_determinant_is_the_exponential_of_the_trace(model, generator):
    images = torch.randint(0, 256, (4, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    result = round_trip(model, images)
    with torch.no_grad():
        z = model.infer(images / 255, None).samples["z_P"]
    assert result["error"] < 1e-3
    assert result["least_area"] == pytest.approx(math.exp(-2 * 0.08 * z[:, 0].max().item()), rel=1e-4)


def test_round_trip_detects_a_wrong_inverse(model, generator):
    """The inverse is off by one and a half pixels in each direction."""
    images = torch.randint(0, 256, (4, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    correct = model.transformation.apply

    def wrong(gamma, points, *, inverse=False):
        return correct(gamma, points, inverse=inverse) + 1.5 * inverse / (SIDE / 2)

    model.transformation.apply = wrong
    assert round_trip(model, images)["error"] == pytest.approx(1.5 * math.sqrt(2), rel=1e-3)
