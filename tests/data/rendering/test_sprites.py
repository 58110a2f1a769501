import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitae.data.rendering import sprites

SQUARE, ELLIPSE, HEART = range(3)


def draw_sprites(*rows, side=64):
    factors = np.array(rows, float)
    images = np.empty((len(factors), side, side), np.uint8)
    sprites.draw(factors, images)
    return images


def moments(image):
    """Area, centre and angle of the long axis (counter-clockwise on the screen) of the white pixels."""
    y, x = np.nonzero(image)
    x, y = x + 0.5, y + 0.5
    dx, dy = x - x.mean(), -(y - y.mean())
    angle = 0.5 * np.arctan2(2 * (dx * dy).mean(), (dx**2 - dy**2).mean())
    return len(x), x.mean(), y.mean(), angle


def test_sixteen_sprites_have_the_same_bytes_on_any_machine():
    rows = [(i % 3, 0.5 + 0.1 * (i % 6), 2 * np.pi * i / 16, i / 15, (i * 7 % 16) / 15) for i in range(16)]
    digest = hashlib.sha256(draw_sprites(*rows).tobytes()).hexdigest()
    assert digest == "5f2be7747792cb04a11e61c56cc2819593edd7331d35e73b0371f8bde7675cb5"


@pytest.mark.parametrize(("shape", "area"), [(SQUARE, 4 * 9.597**2), (ELLIPSE, np.pi * 12.765 * 7.2125)])
def test_areas_grow_with_the_square_of_the_scale(shape, area):
    for scale in (0.5, 0.7, 1.0):
        rotated = draw_sprites(*((shape, scale, angle, 0.4, 0.6) for angle in np.linspace(0, 1, 12)))
        mean_area = np.mean([moments(image)[0] for image in rotated])
        assert mean_area == pytest.approx(area * scale**2, rel=0.02)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([SQUARE, ELLIPSE]),
    scale=st.floats(0.5, 1),
    angle=st.floats(0, 6.28),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
def test_the_centre_of_a_symmetric_sprite_is_its_position(shape, scale, angle, x, y):
    # An upright square covers whole rows and columns, so its centre is off by up to half a pixel, here of 256.
    _, centre_x, centre_y, _ = moments(draw_sprites((shape, scale, angle, x, y), side=256)[0])
    assert centre_x / 4 == pytest.approx(16 + 32 * x, abs=0.13)
    assert centre_y / 4 == pytest.approx(16 + 32 * y, abs=0.13)


@settings(max_examples=40, deadline=None)
@given(angle=st.floats(-1.4, 1.4))
def test_the_long_axis_of_an_ellipse_is_its_orientation(angle):
    image = draw_sprites((ELLIPSE, 1, angle, 0.5, 0.5), side=256)[0]
    assert moments(image)[3] == pytest.approx(angle, abs=0.02)


def test_a_heart_points_down_and_rotates_counterclockwise():
    upright, quarter = draw_sprites((HEART, 1, 0, 0.5, 0.5), (HEART, 1, np.pi / 2, 0.5, 0.5))
    rows = np.flatnonzero(upright.any(1))
    assert upright[rows[0] + 3].sum() > 3 * upright[rows[-1] - 1].sum(), "wide at the top, narrow at the bottom"
    np.testing.assert_array_equal(upright, upright[:, ::-1])
    # A quarter turn counter-clockwise moves the tip from the bottom to the right.
    columns = np.flatnonzero(quarter.any(0))
    assert quarter[:, columns[0] + 3].sum() > 3 * quarter[:, columns[-1] - 1].sum()
    np.testing.assert_array_equal(quarter, np.rot90(upright))


def test_a_step_in_x_translates_the_image():
    left, right = draw_sprites((HEART, 0.8, 0.3, 8 / 32, 0.5), (HEART, 0.8, 0.3, 12 / 32, 0.5))
    np.testing.assert_array_equal(np.roll(left, 4, axis=1), right)


def test_a_higher_resolution_shows_the_same_image():
    small, large = (draw_sprites((HEART, 1, 0.5, 0.3, 0.7), side=side)[0] for side in (64, 192))
    np.testing.assert_array_equal(large[1::3, 1::3], small)


def test_images_do_not_depend_on_the_batch():
    rows = [(i % 3, 0.5 + 0.1 * (i % 6), i, 0.1 * (i % 10), 0.5) for i in range(20)]
    together = draw_sprites(*rows)
    for row, image in zip(rows, together, strict=True):
        np.testing.assert_array_equal(draw_sprites(row)[0], image)
