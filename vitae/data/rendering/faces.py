"""Synthetic faces: a MakeHuman head with 18 known factors, lit, in colour.

They are not photorealistic: hair is a cap with a curtain, the background is a gradient, and there are no teeth or
clothes. Unlike CelebA, they have all ground-truth factors.
"""

import colorsys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from vitae.data.rendering.raster import rasterize, vertex_normals
from vitae.support.jit import compiled

ASSET = Path(__file__).with_name("assets") / "face.npz"

# Colours in sRGB, 0 to 1. Skin is interpolated between these, hair and iris have one of these.
_SKIN = np.array(
    [
        [0.93, 0.77, 0.68],
        [0.89, 0.70, 0.58],
        [0.80, 0.59, 0.45],
        [0.66, 0.46, 0.33],
        [0.50, 0.33, 0.23],
        [0.34, 0.22, 0.16],
    ]
)
HAIR = {
    "black": (0.07, 0.06, 0.06),
    "dark brown": (0.24, 0.15, 0.09),
    "brown": (0.45, 0.29, 0.16),
    "blond": (0.82, 0.66, 0.38),
    "red": (0.58, 0.24, 0.10),
    "grey": (0.66, 0.65, 0.64),
}
IRIS = {
    "brown": (0.20, 0.11, 0.05),
    "hazel": (0.40, 0.26, 0.08),
    "green": (0.20, 0.45, 0.20),
    "blue": (0.20, 0.42, 0.75),
}
GENDERS = ("female", "male")

# Ranges of the continuous factors: angles in degrees, dx and dy in pixels at a width of 64, the background's hue from
# red to violet, the others as weights of the mesh's blend shapes.
RANGES = {
    "width": (-1.0, 1.0),
    "dx": (-5.0, 5.0),
    "dy": (-5.0, 5.0),
    "scale": (0.85, 1.15),
    "yaw": (-30.0, 30.0),
    "pitch": (-15.0, 15.0),
    "roll": (-15.0, 15.0),
    "skin": (0.0, 1.0),
    "hair_length": (0.0, 1.0),
    "smile": (0.0, 1.0),
    "jaw": (0.0, 0.6),
    "age": (0.0, 1.0),
    "weight": (-0.5, 1.2),
    "light": (-60.0, 60.0),
    "background": (0.0, 0.8),
}
CLASSES = {"hair_colour": tuple(HAIR), "iris": tuple(IRIS), "gender": GENDERS}
# The order of the columns that `draw` takes.
FACTORS = (
    *("width", "dx", "dy", "scale", "yaw", "pitch", "roll", "skin", "hair_colour", "hair_length", "iris"),
    *("smile", "jaw", "gender", "age", "weight", "light", "background"),
)

SAMPLES = 2  # per pixel, along each side
# Up to this length hair grows in volume; beyond it, a curtain grows downwards.
_SHORT_HAIR = 0.3
_MAX_CURTAIN = 0.45  # weight of the curtain's blend shape; reaches slightly below the image
# The camera, in metres: width of its window at the face, height of the window's centre, distance to the face.
_WINDOW, _CENTRE, _DISTANCE = 0.27, 0.882, 1.3
_PIVOT = np.array([0.0, -0.06, 0.86])  # of the head's rotation, in metres
_WHITE_OF_EYE, _MOUTH = (0.93, 0.92, 0.90), (0.28, 0.08, 0.08)
_MATERIALS = 6  # skin, lips, hair, brows, inside of the mouth, eyes
_EYES_PART = 1  # part of the asset: the eyes
_CURTAIN_PART = 3  # part of the asset: the outside of the curtain of long hair; part 4 is its inside


@dataclass(frozen=True)
class Head:
    """The mesh of the head, in metres; x points to the head's left, y to its back, z up.

    Attributes:
        base: vertex positions; `vertices x 3`.
        shapes: blend shapes, name -> offsets of the vertices; `vertices x 3`.
        faces: vertex indices: the head, then the outside of the curtain of long hair, then its inside; `faces x 3`.
        head_faces: number of faces of the head.
        outside_faces: number of faces of the head and the curtain's outside.
        materials: fraction of each material; `vertices x 6`.
        eye: position on the eyeball, in its radii; `vertices x 2`.
        short_hair: offsets of the scalp at the full volume of short hair; `vertices x 3`.
        occlusion: visible fraction of the sky, for ambient light; `vertices`.
        eyes: indices of the eyes' vertices.
    """

    base: np.ndarray
    shapes: dict[str, np.ndarray]
    faces: np.ndarray
    head_faces: int
    outside_faces: int
    materials: np.ndarray
    eye: np.ndarray
    short_hair: np.ndarray
    occlusion: np.ndarray
    eyes: np.ndarray


@cache
def head() -> Head:
    """The bundled head."""
    with np.load(ASSET) as asset:
        part, faces = asset["part"], asset["faces"].astype(np.int32)
        return Head(
            asset["base"].astype(float),
            dict(zip(asset["names"].tolist(), asset["basis"].astype(float), strict=True)),
            faces,
            int((part < _CURTAIN_PART).sum()),
            int((part <= _CURTAIN_PART).sum()),
            asset["mat"].astype(float)[:, :_MATERIALS],
            asset["eye"].astype(float),
            asset["hair"].astype(float),
            asset["ao"].astype(float),
            np.unique(faces[part == _EYES_PART]),
        )


def _skin(tone: float) -> np.ndarray:
    position = min(max(tone, 0.0), 1.0) * (len(_SKIN) - 1)
    before = min(int(position), len(_SKIN) - 2)
    return _SKIN[before] + (_SKIN[before + 1] - _SKIN[before]) * (position - before)


def _vertices(mesh: Head, value: dict[str, float]) -> np.ndarray:
    """The vertices before rotation, with the eyes at a fixed position as in aligned photographs."""
    female = value["gender"] == GENDERS.index("female")
    length = value["hair_length"]
    vertices = mesh.base + min(length / _SHORT_HAIR, 1) * mesh.short_hair
    for shape, amount in (
        ("head-scale-horiz-incr", value["width"]),
        ("female", female),
        ("male", not female),
        ("old", value["age"]),
        ("fat", value["weight"]),
        ("head-fat-incr", value["weight"]),
        ("smile", value["smile"]),
        ("squint", 0.3 * value["smile"]),
        ("jawOpen", value["jaw"]),
        ("hair_len", _MAX_CURTAIN * max(length - _SHORT_HAIR, 0) / (1 - _SHORT_HAIR)),
    ):
        vertices += float(amount) * mesh.shapes[shape]
    return vertices + (mesh.base[mesh.eyes].mean(0) - vertices[mesh.eyes].mean(0))


def _rotate(vectors: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotate by yaw (about the vertical axis), then pitch (the axis through the ears), then roll (the view axis)."""
    x, y, z = vectors.T
    for angle, plane in ((yaw, "xy"), (pitch, "yz"), (roll, "zx")):
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        if plane == "xy":
            x, y = cos * x - sin * y, sin * x + cos * y
        elif plane == "yz":
            y, z = cos * y - sin * z, sin * y + cos * z
        else:
            z, x = cos * z - sin * x, sin * z + cos * x
    return np.stack([x, y, z], 1)


def draw(factors: np.ndarray, image: np.ndarray) -> None:
    """Draw one face.

    Args:
        factors: float64, in the order of `FACTORS`; classes as indices into `CLASSES`.
        image: uint8, `3 x height x width`; overwritten.
    """
    mesh = head()
    value = dict(zip(FACTORS, factors.tolist(), strict=True))
    height, width = image.shape[1:]
    faces = mesh.faces if value["hair_length"] > _SHORT_HAIR else mesh.faces[: mesh.head_faces]
    vertices = _vertices(mesh, value)
    angles = value["yaw"], value["pitch"], value["roll"]
    normals = _rotate(vertex_normals(vertices, mesh.faces[: mesh.outside_faces]), *angles)
    vertices = _rotate(vertices - _PIVOT, *angles) + _PIVOT
    samples_per_metre = SAMPLES * width / _WINDOW * value["scale"] * _DISTANCE / (_DISTANCE + vertices[:, 1] + 0.10)
    shift_unit = SAMPLES * width / 64  # samples per pixel of an image 64 pixels wide
    screen = np.empty_like(vertices)
    screen[:, 0] = SAMPLES * width / 2 + vertices[:, 0] * samples_per_metre + value["dx"] * shift_unit
    screen[:, 1] = SAMPLES * height / 2 - (vertices[:, 2] - _CENTRE) * samples_per_metre + value["dy"] * shift_unit
    screen[:, 2] = vertices[:, 1]
    seen, weights = rasterize(screen, faces, SAMPLES * height, SAMPLES * width)

    skin, hair = _skin(value["skin"]), np.array(list(HAIR.values())[int(value["hair_colour"])])
    lips = skin * (0.90, 0.58, 0.56) + (0.04, 0.0, 0.01)
    palette = np.stack([skin, lips, hair, 0.5 * hair + 0.15 * skin, _MOUTH, list(IRIS.values())[int(value["iris"])]])
    top = np.array(colorsys.hsv_to_rgb(value["background"], 0.45, 0.75))
    angle = np.radians(value["light"])
    light = np.array([0.75 * np.sin(angle), -0.75 * np.cos(angle) - 0.15, 0.45])
    light /= np.sqrt(light[0] ** 2 + light[1] ** 2 + light[2] ** 2)
    _shade(seen, weights, faces, normals, mesh.materials, mesh.eye, mesh.occlusion, palette, top, light, image)


@compiled
def _step(low, high, value):
    return min(max((value - low) / (high - low), 0.0), 1.0)


@compiled
def _shade(seen, weights, faces, normals, materials, eye, occlusion, palette, top, light, image):
    """Shade each sample (diffuse light, ambient occlusion, a specular highlight) and average the samples of a pixel."""
    height, width = image.shape[1:]
    half = light + np.array([0.0, -1.0, 0.0])
    half /= np.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)
    normal, blend, colour, total = np.empty(3), np.empty(_MATERIALS), np.empty(3), np.empty(3)
    for row in range(height):
        for column in range(width):
            total[:] = 0
            for y in range(row * SAMPLES, (row + 1) * SAMPLES):
                for x in range(column * SAMPLES, (column + 1) * SAMPLES):
                    face = seen[y, x]
                    if face < 0:
                        # The background darkens towards the bottom.
                        for channel in range(3):
                            total[channel] += top[channel] * (1 - 0.4 * y / (height * SAMPLES - 1))
                        continue
                    second, third = weights[y, x, 0], weights[y, x, 1]
                    first = 1 - second - third
                    i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
                    for axis in range(3):
                        normal[axis] = first * normals[i, axis] + second * normals[j, axis] + third * normals[k, axis]
                    for material in range(_MATERIALS):
                        blend[material] = first * materials[i, material]
                        blend[material] += second * materials[j, material] + third * materials[k, material]
                    eye_x = first * eye[i, 0] + second * eye[j, 0] + third * eye[k, 0]
                    eye_y = first * eye[i, 1] + second * eye[j, 1] + third * eye[k, 1]
                    open_sky = first * occlusion[i] + second * occlusion[j] + third * occlusion[k]
                    length = np.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2])
                    if blend[2] > 0.5 and normal[1] > 0:
                        length = -length  # the curtain is lit on both sides
                    if length != 0:
                        for axis in range(3):
                            normal[axis] /= length
                    radius = np.sqrt(eye_x * eye_x + eye_y * eye_y)
                    white, pupil = _step(0.50, 0.58, radius), 0.15 + 0.85 * _step(0.20, 0.27, radius)
                    for channel in range(3):
                        eyeball = palette[5, channel] * (1 - white) + _WHITE_OF_EYE[channel] * white
                        colour[channel] = blend[5] * eyeball * pupil
                        for material in range(5):
                            colour[channel] += blend[material] * palette[material, channel]
                    facing = normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]
                    specular = max(normal[0] * half[0] + normal[1] * half[1] + normal[2] * half[2], 0.0)
                    diffuse = 0.32 * open_sky + 0.74 * max(0.75 * facing + 0.25, 0.0) * (0.35 + 0.65 * open_sky)
                    shine = 0.07 * (blend[0] + blend[1]) + 0.10 * blend[2] + 0.25 * blend[5]
                    for channel in range(3):
                        total[channel] += colour[channel] * diffuse + specular**24 * shine * open_sky
            for channel in range(3):
                mean = total[channel] / (SAMPLES * SAMPLES)
                image[channel, row, column] = np.uint8(np.floor(min(max(mean, 0.0), 1.0) * 255 + 0.5))
