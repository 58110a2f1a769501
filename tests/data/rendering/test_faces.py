import hashlib

import numpy as np
import pytest

from vitae.data.rendering import faces
from vitae.data.rendering.faces import CLASSES, FACTORS, RANGES


def face_factors(**changed):
    middle = {name: sum(ends) / 2 for name, ends in RANGES.items()} | dict.fromkeys(CLASSES, 1)
    return np.array([(middle | {"skin": 0.3, "jaw": 0.1, "light": 0.0} | changed)[name] for name in FACTORS])


def draw_face(side=64, **changed):
    image = np.empty((3, side, side), np.uint8)
    faces.draw(face_factors(**changed), image)
    return image.astype(float)


def head_mask(image):
    """Where the image differs from the background, which is constant along each row."""
    edge = image[:, :, :1]
    return np.abs(image - edge).max(0) > 12


def test_sixteen_faces_have_the_same_bytes_on_any_machine():
    images = []
    for i in range(16):
        part = i / 15
        values = {
            name: low + (high - low) * (part * (1 + k) % 1) for k, (name, (low, high)) in enumerate(RANGES.items())
        }
        values |= {name: i % len(labels) for name, labels in CLASSES.items()}
        images.append(draw_face(**values))
    assert (
        hashlib.sha256(np.stack(images).astype(np.uint8).tobytes()).hexdigest()
        == "6d3693b14162e53558d1b6469d04b47efac6d973b1022c9f6f9a0ef1bb6953df"
    )


@pytest.mark.parametrize("name", FACTORS)
def test_every_factor_changes_the_image(name):
    ends = RANGES.get(name) or (0, len(CLASSES[name]) - 1)
    first, last = (draw_face(**{name: value}) for value in ends)
    assert np.abs(first - last).max() > 40


def test_dx_and_dy_translate_in_pixels():
    middle = draw_face()
    across, down = draw_face(dx=3.0), draw_face(dy=-2.0)
    inner = (slice(None), slice(8, 50), slice(12, 52))
    np.testing.assert_allclose(np.roll(middle, 3, axis=2)[inner], across[inner], atol=1)
    # The background does not move with the head.
    mask = head_mask(middle)[8:50, 12:52]
    difference = np.abs(np.roll(middle, -2, axis=1)[inner] - down[inner]).max(0)
    assert np.quantile(difference[mask], 0.95) <= 1


def test_scale_and_roll_change_the_head():
    areas = [head_mask(draw_face(scale=scale, **{"hair_length": 0.0}))[:40].sum() for scale in (0.85, 1.0, 1.15)]
    assert areas[0] < areas[1] < areas[2]
    # Opposite rolls mirror each other, because the head is symmetric and lit from the front.
    left, right = draw_face(roll=12.0), draw_face(roll=-12.0)
    assert np.abs(left[:, :, ::-1] - right).mean() < 3


def test_opposite_yaws_are_mirror_images_and_opposite_pitches_are_not():
    assert np.abs(draw_face(yaw=20.0)[:, :, ::-1] - draw_face(yaw=-20.0)).mean() < 3
    assert np.abs(draw_face(pitch=12.0) - draw_face(pitch=-12.0)).mean() > 10


def test_light_comes_from_the_given_side():
    """+60 degrees is +x, the viewer's right."""
    right = draw_face(light=60.0, **{"hair_length": 0.0})[:, 20:44, 18:46]
    assert right[:, :, 14:].mean() > right[:, :, :14].mean() + 20


def test_colour_factors_change_only_their_material():
    """Hair colour does not change skin, eyes and background; skin colour does not change the hair."""
    dark, blond = draw_face(**{"hair_colour": 0}), draw_face(**{"hair_colour": 3})
    mouth_and_nose = (slice(None), slice(30, 46), slice(26, 38))
    np.testing.assert_allclose(dark[mouth_and_nose], blond[mouth_and_nose], atol=1)
    np.testing.assert_array_equal(dark[:, :20, :4], blond[:, :20, :4])
    assert blond[:, :8, 28:36].mean() > dark[:, :8, 28:36].mean() + 60
    pale, deep = draw_face(skin=0.0), draw_face(skin=1.0)
    np.testing.assert_allclose(pale[:, :4, 28:36], deep[:, :4, 28:36], atol=1)


def test_background_is_the_hue_of_the_background():
    import colorsys

    top = draw_face(background=1 / 3, **{"hair_length": 0.0})[:, 0, 0] / 255
    assert colorsys.rgb_to_hsv(*top)[0] == pytest.approx(1 / 3, abs=0.01)


def test_a_higher_resolution_shows_the_same_image():
    fine = draw_face(128).reshape(3, 64, 2, 64, 2).mean((2, 4))
    assert np.abs(fine - draw_face()).mean() < 2
