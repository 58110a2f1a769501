import hashlib

import numpy as np
import pytest

from vitae.data.rendering import room

# floor hue, wall hue, object hue, scale, shape, orientation
SCENE = (1, 5, 0, 4, 2, 7)


def draw_scenes(*scenes):
    images = np.empty((len(scenes), 3, 64, 64), np.uint8)
    room.draw(np.array(scenes), images)
    return images.astype(float)


def changed_scene(**positions):
    names = ("floor", "wall", "object", "scale", "shape", "orientation")
    return tuple(positions.get(name, value) for name, value in zip(names, SCENE, strict=True))


def object_mask(scene):
    """The pixels that depend on the hue of the object."""
    red, blue = draw_scenes(scene, (*scene[:2], 6, *scene[3:]))
    return np.abs(red - blue).max(0) > 30


def test_sixteen_scenes_have_the_same_bytes_on_any_machine():
    scenes = [(i % 10, i * 3 % 10, i * 7 % 10, i % 8, i % 4, i % 15) for i in range(16)]
    assert (
        hashlib.sha256(draw_scenes(*scenes).astype(np.uint8).tobytes()).hexdigest()
        == "eb3c0449aa7ead872a22421078e01f41feb6b214790484bd438f0b439b8a49d5"
    )


def test_each_hue_changes_its_own_surface_only():
    base, floor, wall, obj = draw_scenes(SCENE, changed_scene(floor=3), changed_scene(wall=8), changed_scene(object=4))
    areas = [np.abs(other - base).max(0) > 8 for other in (floor, wall, obj)]
    assert areas[0][60].all(), "the floor must be at the bottom"
    assert not areas[0][:25].any()
    assert areas[1][:30].any()
    assert not areas[1][45:].any(), "the wall must be at the top"
    # Surfaces share only pixels on their edges.
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (areas[i] & areas[j]).sum() < 150
    assert (~(areas[0] | areas[1] | areas[2]))[:10].all(), "no hue may change the sky"


def test_objects_grow_with_scale_and_are_centred():
    areas = []
    for scale in range(8):
        mask = object_mask(changed_scene(scale=scale))
        areas.append(mask.sum())
        assert np.nonzero(mask)[1].mean() == pytest.approx(31.5, abs=1)
    assert (np.diff(areas) > 0).all()
    # The distance hardly changes, so areas grow with the square of the size.
    assert areas[-1] / areas[0] == pytest.approx((1.25 / 0.75) ** 2, rel=0.25)


def test_a_sphere_is_round_and_a_capsule_is_tall():
    sphere, capsule = object_mask(SCENE), object_mask(changed_scene(shape=3))
    height, width = np.ptp(np.nonzero(sphere)[0]) + 1, np.ptp(np.nonzero(sphere)[1]) + 1
    assert height == pytest.approx(width, abs=2)
    assert sphere.sum() == pytest.approx(np.pi / 4 * height * width, rel=0.05)
    assert np.ptp(np.nonzero(capsule)[0]) > 1.6 * np.ptp(np.nonzero(capsule)[1])


def test_the_room_rotates_with_the_orientation():
    """Side walls are darker than the back wall; the middle orientation shows the back wall alone."""
    walls = draw_scenes(*(changed_scene(orientation=i) for i in (0, 7, 14)))[:, :, 18:26]
    spread = [np.ptp(wall[1].mean(0)) for wall in walls]
    assert 2 * spread[1] < min(spread[0], spread[2]), "the middle orientation must show no side wall"
    dark = [wall[1].mean(0).argmin() for wall in walls]
    assert (dark[0] > 32) != (dark[2] > 32)


def test_images_do_not_depend_on_the_batch():
    scenes = [(i % 10, i * 3 % 10, i * 7 % 10, i % 8, i % 4, i % 15) for i in range(12)]
    together = draw_scenes(*scenes)
    for scene, image in zip(scenes, together, strict=True):
        np.testing.assert_array_equal(draw_scenes(scene)[0], image)
