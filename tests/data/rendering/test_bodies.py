import hashlib

import numpy as np
import pytest

from vitae.data import smpl
from vitae.data.rendering import bodies
from vitae.data.rendering.bodies import GROUPS, JOINTS, POSES, open_body, volume

BODY = open_body()


def image(shape, arm, leg, height=128, width=64):
    picture = np.zeros((height, width), np.uint8)
    BODY.draw(shape, arm, leg, picture)
    return picture


def test_sixteen_bodies_are_these_bytes_on_any_machine():
    pictures = [image(1.25 * i / 15, *list(POSES.values())[i % 4]) for i in range(16)]
    assert (
        hashlib.sha256(np.stack(pictures).tobytes()).hexdigest()
        == "b933481756fda0f95390df18b808d21c71ac62519cedd21a6d31c7f1fd1e1dd3"
    )


def test_the_dataset_and_the_renderer_name_the_same_poses():
    assert tuple(POSES) == smpl.POSES


def test_bodies_grow_thicker_and_not_taller():
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
def test_pictures_of_thicker_bodies_hold_more_light(pose):
    light = [image(shape, *POSES[pose]).sum(dtype=float) for shape in np.linspace(0, 1.25, 6)]
    assert (np.diff(light) > 0).all()


def limb(vertices, part):
    """The mean place of what follows one part alone, left and right."""
    return [vertices[BODY.weights[:, GROUPS.index(f"{part}.{side}")] > 0.99].mean(0) for side in "LR"]


@pytest.mark.parametrize(("arm", "leg"), POSES.values())
def test_limbs_point_where_the_pose_says(arm, leg):
    """Bones measured from the posed mesh: the centres of a limb's upper and lower part lie along its direction."""
    vertices = BODY.posed(0.5, arm, leg)
    for upper, lower, angle in (("upperarm", "lowerarm", arm), ("upperleg", "lowerleg", leg)):
        for side, sign in ((0, 1), (1, -1)):
            along = limb(vertices, lower)[side] - limb(vertices, upper)[side]
            measured = np.degrees(np.arctan2(sign * along[0], -along[2]))
            assert measured == pytest.approx(angle, abs=8)
            assert abs(along[1]) < 0.12 * np.linalg.norm(along), "limbs lie in the frontal plane"


def test_a_pose_moves_no_vertex_of_the_trunk():
    trunk = BODY.weights[:, 0] == 1
    rest, raised = BODY.posed(0.7, 12, 4), BODY.posed(0.7, 132, 17)
    np.testing.assert_allclose(raised[trunk], rest[trunk], atol=1e-12)
    assert np.abs(raised - rest).max() > 0.5


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (400, 200), (64, 128)])
def test_every_pose_fits_and_is_centred_at_every_resolution(size):
    for shape in (0, 1.25):
        for pose in POSES.values():
            picture = image(shape, *pose, *size)
            assert picture[[0, -1]].max() == 0
            assert picture[:, [0, -1]].max() == 0
            weights = picture.sum(0, dtype=float)
            centre = (weights * (np.arange(size[1]) + 0.5)).sum() / weights.sum()
            assert centre == pytest.approx(size[1] / 2, abs=0.02 * size[1])


def test_resolutions_show_the_same_picture():
    fine = image(0.5, 48, 17, 256, 128).reshape(128, 2, 64, 2).mean((1, 3))
    assert np.abs(fine - image(0.5, 48, 17)).mean() < 2


def test_correctives_are_added_before_skinning_and_follow_the_bends():
    """Against the formula written out: at rest plus the correctives' product with R - I, then the blend."""
    generator = np.random.default_rng(0)
    correctives = generator.normal(size=(len(BODY.vertices[0]), 3, 10, 3, 3)) * 0.01
    with_them = bodies.Body(BODY.anchors, BODY.vertices, BODY.joints, BODY.weights, BODY.faces, correctives)
    difference = with_them.posed(0.5, 100, 10) - BODY.posed(0.5, 100, 10)
    trunk = BODY.weights[:, 0] == 1
    # The trunk does not turn, so what is added at rest arrives unchanged: sum over parts of C (R_parent^T R - I).
    rotations = np.stack([rotation_of(BODY, part, 0.5, 100, 10) for part in GROUPS])
    parent = {
        "clavicle": None,
        "upperarm": "clavicle",
        "lowerarm": "upperarm",
        "upperleg": None,
        "lowerleg": "upperleg",
    }
    bends = []
    for name in GROUPS[1:]:
        part, side = name.split(".")
        above = np.eye(3) if parent[part] is None else rotations[GROUPS.index(f"{parent[part]}.{side}")]
        bends.append(above.T @ rotations[GROUPS.index(name)] - np.eye(3))
    expected = np.einsum("vigab,gab->vi", correctives, np.stack(bends))
    np.testing.assert_allclose(difference[trunk], expected[trunk], atol=1e-6)
    assert np.abs(expected[trunk]).max() > 0.01


def rotation_of(body, part, shape, arm, leg):
    """A part's rotation, measured on the mesh: the best one from its vertices at rest to where they are posed."""
    alone = body.weights[:, GROUPS.index(part)] > 0.999999
    if alone.sum() < 3:
        # Few vertices follow the clavicle alone: measured on a mesh that does.
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


def test_joints_and_groups_are_those_of_the_asset():
    with np.load(bodies.ASSET) as asset:
        assert asset["joints"].shape[1] == len(JOINTS)
        assert asset["weights"].shape[1] == len(GROUPS)
        np.testing.assert_allclose(asset["weights"].sum(1), 1, atol=1e-6)
