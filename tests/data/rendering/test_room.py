import hashlib

import numpy as np
import pytest

from vitae.data.rendering import room

# floor hue, wall hue, object hue, scale, shape, orientation
SCENE = (1, 5, 0, 4, 2, 7)


def drawn(*scenes):
    images = np.empty((len(scenes), 3, 64, 64), np.uint8)
    room.draw(np.array(scenes), images)
    return images.astype(float)


def changed(**positions):
    names = ("floor", "wall", "object", "scale", "shape", "orientation")
    return tuple(positions.get(name, value) for name, value in zip(names, SCENE, strict=True))


def mask(scene):
    """Where the object is: where its hue shows."""
    red, blue = drawn(scene, (*scene[:2], 6, *scene[3:]))
    return np.abs(red - blue).max(0) > 30


def test_sixteen_scenes_are_these_bytes_on_any_machine():
    scenes = [(i % 10, i * 3 % 10, i * 7 % 10, i % 8, i % 4, i % 15) for i in range(16)]
    assert (
        hashlib.sha256(drawn(*scenes).astype(np.uint8).tobytes()).hexdigest()
        == "eb3c0449aa7ead872a22421078e01f41feb6b214790484bd438f0b439b8a49d5"
    )


def test_each_hue_colours_its_own_surface_only():
    base, floor, wall, thing = drawn(SCENE, changed(floor=3), changed(wall=8), changed(object=4))
    areas = [np.abs(other - base).max(0) > 8 for other in (floor, wall, thing)]
    assert areas[0][60].all(), "the floor is below"
    assert not areas[0][:25].any()
    assert areas[1][:30].any()
    assert not areas[1][45:].any(), "the wall is above"
    # Surfaces meet only in pixels that an edge runs through.
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (areas[i] & areas[j]).sum() < 150
    assert (~(areas[0] | areas[1] | areas[2]))[:10].all(), "nothing colours the sky"


def test_objects_grow_with_scale_and_stand_in_the_middle():
    areas = []
    for scale in range(8):
        where = mask(changed(scale=scale))
        areas.append(where.sum())
        assert np.nonzero(where)[1].mean() == pytest.approx(31.5, abs=1)
    assert (np.diff(areas) > 0).all()
    # Seen from nearly the same distance, areas go with the square of the size.
    assert areas[-1] / areas[0] == pytest.approx((1.25 / 0.75) ** 2, rel=0.25)


def test_a_sphere_is_round_and_a_capsule_is_tall():
    sphere, capsule = mask(SCENE), mask(changed(shape=3))
    height, width = np.ptp(np.nonzero(sphere)[0]) + 1, np.ptp(np.nonzero(sphere)[1]) + 1
    assert height == pytest.approx(width, abs=2)
    assert sphere.sum() == pytest.approx(np.pi / 4 * height * width, rel=0.05)
    assert np.ptp(np.nonzero(capsule)[0]) > 1.6 * np.ptp(np.nonzero(capsule)[1])


def test_the_room_turns_with_the_orientation_and_the_middle_shows_one_wall():
    """The shadow falls to one side, and side walls are darker, so mirrored angles do not mirror the picture."""
    walls = drawn(*(changed(orientation=i) for i in (0, 7, 14)))[:, :, 18:26]
    spread = [np.ptp(wall[1].mean(0)) for wall in walls]
    assert 2 * spread[1] < min(spread[0], spread[2]), "from the middle no side wall is seen"
    dark = [wall[1].mean(0).argmin() for wall in walls]
    assert (dark[0] > 32) != (dark[2] > 32)


def test_batches_make_no_difference():
    scenes = [(i % 10, i * 3 % 10, i * 7 % 10, i % 8, i % 4, i % 15) for i in range(12)]
    together = drawn(*scenes)
    for scene, image in zip(scenes, together, strict=True):
        np.testing.assert_array_equal(drawn(scene)[0], image)
