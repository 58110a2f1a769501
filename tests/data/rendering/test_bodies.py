import hashlib

import numpy as np
import pytest

from vitae.data import smpl
from vitae.data.rendering import bodies
from vitae.data.rendering.bodies import GROUPS, JOINTS, POSES, open_body, volume

BODY = open_body()


def draw_body(shape, arm, leg, height=128, width=64):
    image = np.zeros((height, width), np.uint8)
    BODY.draw(shape, arm, leg, image)
    return image


def test_sixteen_bodies_have_the_same_bytes_on_any_machine():
    images = [draw_body(1.25 * i / 15, *list(POSES.values())[i % 4]) for i in range(16)]
    assert (
        hashlib.sha256(np.stack(images).tobytes()).hexdigest()
        == "b933481756fda0f95390df18b808d21c71ac62519cedd21a6d31c7f1fd1e1dd3"
    )


def test_the_dataset_and_the_renderer_have_the_same_poses():
    assert tuple(POSES) == smpl.POSES


def test_the_shape_changes_the_volume_but_not_the_height():
    volumes, heights = [], []
    for shape in np.linspace(0, 1.25, 6):
        vertices = BODY.posed(shape, 12, 4)
        volumes.append(volume(vertices, BODY.faces))
        heights.append(np.ptp(vertices[:, 2]))
    assert (np.diff(volumes) > 0.005).all()
    assert volumes[0] == pytest.approx(0.052, abs=0.003)
    assert volumes[-1] == pytest.approx(0.125, abs=0.005)
    assert np.ptp(heights) < 0.02


@pytest.mark.parametrize("pose", POSES)
def test_thicker_bodies_are_brighter_in_total(pose):
    light = [draw_body(shape, *POSES[pose]).sum(dtype=float) for shape in np.linspace(0, 1.25, 6)]
    assert (np.diff(light) > 0).all()


def limb_centres(vertices, part):
    """The mean position of the vertices that follow one part alone, left and right."""
    return [vertices[BODY.weights[:, GROUPS.index(f"{part}.{side}")] > 0.99].mean(0) for side in "LR"]


@pytest.mark.parametrize(("arm", "leg"), POSES.values())
def test_limbs_have_the_angles_of_the_pose(arm, leg):
    """Angles are measured on the posed mesh, between the centres of a limb's upper and lower part."""
    vertices = BODY.posed(0.5, arm, leg)
    for upper, lower, angle in (("upperarm", "lowerarm", arm), ("upperleg", "lowerleg", leg)):
        for side, sign in ((0, 1), (1, -1)):
            direction = limb_centres(vertices, lower)[side] - limb_centres(vertices, upper)[side]
            measured = np.degrees(np.arctan2(sign * direction[0], -direction[2]))
            assert measured == pytest.approx(angle, abs=8)
            assert abs(direction[1]) < 0.12 * np.linalg.norm(direction), "limbs must lie in the frontal plane"


def test_a_pose_leaves_the_trunk_in_place():
    trunk = BODY.weights[:, 0] == 1
    rest, raised = BODY.posed(0.7, 12, 4), BODY.posed(0.7, 132, 17)
    np.testing.assert_allclose(raised[trunk], rest[trunk], atol=1e-12)
    assert np.abs(raised - rest).max() > 0.5


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (400, 200), (64, 128)])
def test_every_pose_is_inside_the_image_and_centred(size):
    for shape in (0, 1.25):
        for pose in POSES.values():
            image = draw_body(shape, *pose, *size)
            assert image[[0, -1]].max() == 0
            assert image[:, [0, -1]].max() == 0
            weights = image.sum(0, dtype=float)
            centre = (weights * (np.arange(size[1]) + 0.5)).sum() / weights.sum()
            assert centre == pytest.approx(size[1] / 2, abs=0.02 * size[1])


def test_a_higher_resolution_shows_the_same_image():
    fine = draw_body(0.5, 48, 17, 256, 128).reshape(128, 2, 64, 2).mean((1, 3))
    assert np.abs(fine - draw_body(0.5, 48, 17)).mean() < 2


def test_pose_correctives_are_added_before_skinning():
    """Against the formula: the offsets at rest are the sum over groups of the correctives times R - I."""
    generator = np.random.default_rng(0)
    correctives = generator.normal(size=(len(BODY.vertices[0]), 3, 10, 3, 3)) * 0.01
    corrected = bodies.Body(BODY.anchors, BODY.vertices, BODY.joints, BODY.weights, BODY.faces, correctives)
    difference = corrected.posed(0.5, 100, 10) - BODY.posed(0.5, 100, 10)
    trunk = BODY.weights[:, 0] == 1
    # The trunk does not rotate, so its offsets at rest are its offsets in the pose: sum of C (R_parent^T R - I).
    rotations = np.stack([fit_rotation(BODY, part, 0.5, 100, 10) for part in GROUPS])
    parent = {
        "clavicle": None,
        "upperarm": "clavicle",
        "lowerarm": "upperarm",
        "upperleg": None,
        "lowerleg": "upperleg",
    }
    relative_rotations = []
    for name in GROUPS[1:]:
        part, side = name.split(".")
        parent_rotation = np.eye(3) if parent[part] is None else rotations[GROUPS.index(f"{parent[part]}.{side}")]
        relative_rotations.append(parent_rotation.T @ rotations[GROUPS.index(name)] - np.eye(3))
    expected = np.einsum("vigab,gab->vi", correctives, np.stack(relative_rotations))
    np.testing.assert_allclose(difference[trunk], expected[trunk], atol=1e-6)
    assert np.abs(expected[trunk]).max() > 0.01


def fit_rotation(body, part, shape, arm, leg):
    """The rotation of a part, fitted to its vertices at rest and in the pose."""
    alone = body.weights[:, GROUPS.index(part)] > 0.999999
    if alone.sum() < 3:
        # Too few vertices follow the clavicle alone: use a mesh that follows it entirely.
        weights = np.zeros_like(body.weights)
        weights[:, GROUPS.index(part)] = 1
        body, alone = (
            bodies.Body(body.anchors, body.vertices, body.joints, weights, body.faces, body.correctives),
            slice(None),
        )
    rest, posed = body.vertices[1][alone], body.posed(shape, arm, leg)[alone]
    u, _, vt = np.linalg.svd((rest - rest.mean(0)).T @ (posed - posed.mean(0)))
    return vt.T @ np.diag([1, 1, np.linalg.det(vt.T @ u.T)]) @ u.T


def test_the_volume_of_a_cube():
    corners = np.array([[x, y, z] for x in (0, 2) for y in (0, 2) for z in (0, 2)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    assert volume(corners + 5, faces) == pytest.approx(8)


def test_joints_and_groups_match_the_asset():
    with np.load(bodies.ASSET) as asset:
        assert asset["joints"].shape[1] == len(JOINTS)
        assert asset["weights"].shape[1] == len(GROUPS)
        np.testing.assert_allclose(asset["weights"].sum(1), 1, atol=1e-6)
