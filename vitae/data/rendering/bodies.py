"""Bodies from thin to thick in four poses: a skinned mesh seen from the front, grey on black.

The same code poses and draws the bundled open body and a user's SMPL model.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from vitae.data.rendering.raster import rasterize, shade_grey, vertex_normals
from vitae.support.jit import compiled

ASSET = Path(__file__).with_name("assets") / "body.npz"

# (arm, leg) angles in degrees from straight down, in the frontal plane.
POSES = {
    "arms up, limbs tight": (170.0, 4.0),
    "arms up, limbs wide": (132.0, 17.0),
    "arms down, limbs tight": (12.0, 4.0),
    "arms down, limbs wide": (48.0, 17.0),
}

# Rigid parts: the trunk ("body"), then the parts of the left and of the right side.
_SIDE_PARTS = ("clavicle", "upperarm", "lowerarm", "upperleg", "lowerleg")
GROUPS = ("body", *(f"{part}.{side}" for side in "LR" for part in _SIDE_PARTS))
_SIDE_JOINTS = ("clavicle", "upperarm", "lowerarm", "wrist", "upperleg", "lowerleg", "foot")
JOINTS = tuple(f"{joint}.{side}" for side in "LR" for joint in _SIDE_JOINTS)

SAMPLES = 2  # per pixel, along each side
_LIGHT = np.array([0.30, -0.85, 0.43]) / np.sqrt(0.30**2 + 0.85**2 + 0.43**2)
_AMBIENT = 0.28
_MARGIN = 1.04  # window size relative to the extent of all poses


@dataclass(frozen=True)
class Body:
    """A mesh with a skeleton, given at two or more shapes and interpolated or extrapolated linearly.

    Lengths are in metres; x points to the body's left, y to its back, z up.

    Attributes:
        anchors: the given shapes, ascending; `anchors`.
        vertices: rest positions at each shape; `anchors x vertices x 3`.
        joints: `anchors x 14 x 3`, in the order of `JOINTS`.
        weights: skinning weights of each vertex for `GROUPS`; `vertices x 11`.
        faces: vertex indices, counter-clockwise seen from outside; `faces x 3`.
        correctives: pose correctives, which map R - I of each group (R its rotation relative to its parent) to offsets
            of the rest positions; `vertices x 3 x 10 x 3 x 3`, or `0 x 3 x 10 x 3 x 3` without correctives.
    """

    anchors: np.ndarray
    vertices: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    correctives: np.ndarray

    def posed(self, shape: float, arm: float, leg: float) -> np.ndarray:
        """The vertices in a pose.

        Args:
            shape: on the scale of `anchors`, thin to thick.
            arm, leg: degrees from straight down, away from the body.

        Returns:
            `vertices x 3`, metres.
        """
        vertices, joints = _interpolate(self.anchors, self.vertices, self.joints, shape)
        return _pose(vertices, joints, self.weights, self.correctives, arm, leg)

    @cached_property
    def window(self) -> tuple[float, float, float]:
        """(height, width, height of the centre) of the smallest window that fits all poses and anchors; metres."""
        corners = np.concatenate([self.posed(shape, *pose) for shape in self.anchors for pose in POSES.values()])
        top, bottom = corners[:, 2].max(), corners[:, 2].min()
        return _MARGIN * (top - bottom), _MARGIN * 2 * np.abs(corners[:, 0]).max(), (top + bottom) / 2

    def draw(self, shape: float, arm: float, leg: float, image: np.ndarray) -> None:
        """Draw one image, with Lambert shading, orthographic projection and a fixed camera.

        Args:
            shape, arm, leg: see `posed`.
            image: uint8, `height x width`; overwritten.
        """
        vertices = self.posed(shape, arm, leg)
        light = _AMBIENT + (1 - _AMBIENT) * np.maximum(_dot(vertex_normals(vertices, self.faces), _LIGHT), 0)
        height, width = image.shape
        window_height, window_width, centre = self.window
        samples_per_metre = SAMPLES * min(height / window_height, width / window_width)
        screen = np.empty_like(vertices)
        screen[:, 0] = SAMPLES * width / 2 + vertices[:, 0] * samples_per_metre
        screen[:, 1] = SAMPLES * height / 2 - (vertices[:, 2] - centre) * samples_per_metre
        screen[:, 2] = vertices[:, 1]
        seen, weights = rasterize(screen, self.faces, SAMPLES * height, SAMPLES * width)
        shade_grey(seen, weights, self.faces, light, SAMPLES, image)


@cache
def open_body() -> Body:
    """The bundled body; its shape is MakeHuman's weight, 0 to 1, extrapolated to 1.25 in the dataset."""
    with np.load(ASSET) as asset:
        return Body(
            asset["anchors"].astype(float),
            asset["vertices"].astype(float),
            asset["joints"].astype(float),
            asset["weights"].astype(float),
            asset["faces"].astype(np.int32),
            np.zeros((0, 3, len(GROUPS) - 1, 3, 3)),
        )


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """The volume of a closed mesh, in cubed units of its vertices: the sum of signed tetrahedra to the origin."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float(np.sum(a * np.cross(b, c)) / 6)


def _dot(vectors: np.ndarray, direction: np.ndarray) -> np.ndarray:
    # Not a matrix product: its last bits differ between BLAS libraries.
    return vectors[:, 0] * direction[0] + vectors[:, 1] * direction[1] + vectors[:, 2] * direction[2]


def _interpolate(
    anchors: np.ndarray, vertices: np.ndarray, joints: np.ndarray, shape: float
) -> tuple[np.ndarray, np.ndarray]:
    after = int(np.clip(np.searchsorted(anchors, shape), 1, len(anchors) - 1))
    before = after - 1
    fraction = (shape - anchors[before]) / (anchors[after] - anchors[before])
    return tuple(at[before] + (at[after] - at[before]) * fraction for at in (vertices, joints))


@compiled
def _product(a, b, result):
    for i in range(3):
        for j in range(3):
            result[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]


@compiled
def _rotate_to_side(angle, result):
    """Rotation about the y axis, from z towards x."""
    cos, sin = np.cos(angle), np.sin(angle)
    result[:] = 0
    result[0, 0] = result[2, 2] = cos
    result[0, 2] = sin
    result[2, 0] = -sin
    result[1, 1] = 1


@compiled
def _aim(start, end, angle, side, result):
    """Rotation that brings a bone into the frontal plane, at an angle from straight down towards its side."""
    bone = end - start
    x, y, z = bone / np.sqrt(bone[0] ** 2 + bone[1] ** 2 + bone[2] ** 2)
    length = np.sqrt(x * x + z * z)
    fx, fz = x / length, z / length
    # First the shortest rotation into the plane, about the axis bone x projected bone, by Rodrigues' formula.
    ax, ay, az = y * fz, z * fx - x * fz, -y * fx
    cross = np.array([[0.0, -az, ay], [az, 0.0, -ax], [-ay, ax, 0.0]])
    squared, flatten, turn = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    _product(cross, cross, squared)
    flatten[:] = cross + squared / (1 + x * fx + z * fz)
    for i in range(3):
        flatten[i, i] += 1
    _rotate_to_side((np.arctan2(side * fx, -fz) - angle) * side, turn)
    _product(turn, flatten, result)


@compiled
def _attach(rotations, shifts, group, parent, pivot):
    """Set the shift of a group so that its pivot moves with the parent."""
    for i in range(3):
        moved_pivot = shifts[parent, i]
        rotated_pivot = 0.0
        for j in range(3):
            moved_pivot += rotations[parent, i, j] * pivot[j]
            rotated_pivot += rotations[group, i, j] * pivot[j]
        shifts[group, i] = moved_pivot - rotated_pivot


@compiled
def _pose(vertices, joints, weights, correctives, arm, leg):
    """Linear blend skinning, with the pose correctives added at rest."""
    groups = weights.shape[1]
    rotations, shifts = np.zeros((groups, 3, 3)), np.zeros((groups, 3))
    parents = np.zeros(groups, np.int64)
    for i in range(3):
        rotations[0, i, i] = 1
    arm_angle, leg_angle = np.radians(arm), np.radians(leg)
    # Raising an arm beyond 45 degrees also lifts the shoulder.
    lift = np.radians(max(arm - 45, 0.0) * 0.18)
    for side in range(2):
        sign = 1.0 - 2 * side
        group, joint = 1 + 5 * side, 7 * side
        clavicle, upperarm, lowerarm, upperleg, lowerleg = group, group + 1, group + 2, group + 3, group + 4
        parents[upperarm], parents[lowerarm], parents[lowerleg] = clavicle, upperarm, upperleg
        _rotate_to_side(-sign * lift, rotations[clavicle])
        _aim(joints[joint + 1], joints[joint + 2], arm_angle, sign, rotations[upperarm])
        _aim(joints[joint + 2], joints[joint + 3], arm_angle, sign, rotations[lowerarm])
        _aim(joints[joint + 4], joints[joint + 5], leg_angle, sign, rotations[upperleg])
        _aim(joints[joint + 5], joints[joint + 6], leg_angle, sign, rotations[lowerleg])
        _attach(rotations, shifts, clavicle, 0, joints[joint])
        _attach(rotations, shifts, upperarm, clavicle, joints[joint + 1])
        _attach(rotations, shifts, lowerarm, upperarm, joints[joint + 2])
        _attach(rotations, shifts, upperleg, 0, joints[joint + 4])
        _attach(rotations, shifts, lowerleg, upperleg, joints[joint + 5])

    bends = np.empty((groups - 1, 3, 3))
    for group in range(1, groups):
        _product(rotations[parents[group]].T, rotations[group], bends[group - 1])
        for i in range(3):
            bends[group - 1, i, i] -= 1

    posed = np.empty_like(vertices)
    at_rest, blend = np.empty(3), np.empty((3, 4))
    for vertex in range(len(vertices)):
        at_rest[:] = vertices[vertex]
        if len(correctives):
            for i in range(3):
                offset = 0.0
                for group in range(groups - 1):
                    for j in range(3):
                        for k in range(3):
                            offset += correctives[vertex, i, group, j, k] * bends[group, j, k]
                at_rest[i] += offset
        blend[:] = 0
        for group in range(groups):
            weight = weights[vertex, group]
            if weight != 0:
                for i in range(3):
                    for j in range(3):
                        blend[i, j] += weight * rotations[group, i, j]
                    blend[i, 3] += weight * shifts[group, i]
        for i in range(3):
            posed[vertex, i] = (
                blend[i, 0] * at_rest[0] + blend[i, 1] * at_rest[1] + blend[i, 2] * at_rest[2] + blend[i, 3]
            )
    return posed
