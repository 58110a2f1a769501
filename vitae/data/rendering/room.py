"""A ray tracer for scenes like those of 3D Shapes: an object in a room with a coloured floor and coloured walls.

Hues affect neither geometry nor shading, so an image is a sum of five masks (sky, floor, wall, object, highlight), each
multiplied by its colour. The masks of all 480 combinations of scale, shape and orientation are traced once. The
constants were fitted to published images by eye and by least squares; the book's page on 3D Shapes compares them.
"""

import colorsys
import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch

from vitae.support.jit import compiled

SHAPES = ("cube", "cylinder", "sphere", "capsule")
HUES = tuple(h / 10 for h in range(10))
SCALES = tuple(0.75 + 0.5 * i / 7 for i in range(8))
ORIENTATIONS = tuple(-30 + 60 * i / 14 for i in range(15))  # degrees

SIDE = 64
_SAMPLES = 3  # rays per pixel, along each side
# In heights of the object at scale 1: camera distance, camera height, half the side of the room, height of the walls.
_DISTANCE, _HEIGHT, _HALF_ROOM, _WALL = 3.3, 1.2, 3.65, 2.38
_FOCAL, _HORIZON = 1.0725, 0.455  # focal length and horizon in image sides
_CUBE = 0.43  # half the side of the cube; the other shapes have radius 0.5
_LIGHT = np.array([-0.34, -0.30, 1.0]) / math.sqrt(0.34**2 + 0.30**2 + 1)
_FAR = 1e30  # ray parameter of a ray that hits nothing
_SKY = (154 / 255, 226 / 255, 250 / 255)
_MASKS = 5


@compiled
def _hit_sphere(origin, ray, height, radius, nearest, normal):
    dz = origin[2] - height
    b = origin[0] * ray[0] + origin[1] * ray[1] + dz * ray[2]
    q = b * b - (origin[0] ** 2 + origin[1] ** 2 + dz * dz - radius * radius)
    if q <= 0:
        return nearest
    t = -b - np.sqrt(q)
    if not 1e-4 < t < nearest:
        return nearest
    normal[0] = (origin[0] + t * ray[0]) / radius
    normal[1] = (origin[1] + t * ray[1]) / radius
    normal[2] = (dz + t * ray[2]) / radius
    return t


@compiled
def _hit_tube(origin, ray, low, high, radius, nearest, normal):
    a = ray[0] ** 2 + ray[1] ** 2
    b = origin[0] * ray[0] + origin[1] * ray[1]
    q = b * b - a * (origin[0] ** 2 + origin[1] ** 2 - radius * radius)
    if q <= 0:
        return nearest
    t = (-b - np.sqrt(q)) / a
    if not (1e-4 < t < nearest and low < origin[2] + t * ray[2] < high):
        return nearest
    normal[0] = (origin[0] + t * ray[0]) / radius
    normal[1] = (origin[1] + t * ray[1]) / radius
    normal[2] = 0
    return t


@compiled
def _hit_lid(origin, ray, height, radius, nearest, normal):
    t = (height - origin[2]) / ray[2]
    if not 1e-4 < t < nearest:
        return nearest
    if (origin[0] + t * ray[0]) ** 2 + (origin[1] + t * ray[1]) ** 2 >= radius * radius:
        return nearest
    normal[0] = normal[1] = 0
    normal[2] = 1
    return t


@compiled
def _hit_cube(origin, ray, half, nearest, normal):
    low = np.array([-half, -half, 0.0])
    high = np.array([half, half, 2 * half])
    for axis in range(3):
        for sign in range(2):
            plane = high[axis] if sign else low[axis]
            t = (plane - origin[axis]) / ray[axis]
            if not 1e-4 < t < nearest:
                continue
            inside = True
            for other in range(3):
                if other != axis:
                    inside &= low[other] <= origin[other] + t * ray[other] <= high[other]
            if inside:
                nearest = t
                normal[:] = 0
                normal[axis] = 2 * sign - 1
    return nearest


@compiled
def _hit_object(origin, ray, shape, scale, normal):
    """The ray parameter at which a ray hits the object, which stands on the floor; `_FAR` if it misses."""
    radius = 0.5 * scale
    nearest = _FAR
    if shape == 0:
        return _hit_cube(origin, ray, _CUBE * scale, nearest, normal)
    if shape == 1:
        nearest = _hit_tube(origin, ray, 0.0, 2 * radius, radius, nearest, normal)
        return _hit_lid(origin, ray, 2 * radius, radius, nearest, normal)
    if shape == 2:
        return _hit_sphere(origin, ray, radius, radius, nearest, normal)
    nearest = _hit_tube(origin, ray, radius, 3 * radius, radius, nearest, normal)
    nearest = _hit_sphere(origin, ray, radius, radius, nearest, normal)
    return _hit_sphere(origin, ray, 3 * radius, radius, nearest, normal)


@compiled
def _trace(shape, scale, angle, masks):
    """Compute the five masks of one geometry; `masks` is `side x side x 5` and overwritten."""
    side = masks.shape[0]
    cos, sin = np.cos(angle), np.sin(angle)
    # The camera orbits the room: x' = cos x - sin y.
    origin = np.array([sin * _DISTANCE, -cos * _DISTANCE, _HEIGHT])
    light = np.array([cos * _LIGHT[0] - sin * _LIGHT[1], sin * _LIGHT[0] + cos * _LIGHT[1], _LIGHT[2]])
    ray, ground, normal, unused = np.empty(3), np.empty(3), np.zeros(3), np.zeros(3)
    masks[:] = 0
    rays = side * _SAMPLES
    for row in range(rays):
        for column in range(rays):
            x = ((column + 0.5) / rays - 0.5) / _FOCAL
            z = -((row + 0.5) / rays - _HORIZON) / _FOCAL
            length = np.sqrt(x * x + 1 + z * z)
            ray[0], ray[1], ray[2] = (cos * x - sin) / length, (sin * x + cos) / length, z / length
            pixel = masks[row // _SAMPLES, column // _SAMPLES]

            to_floor = -origin[2] / ray[2] if ray[2] < 0 else _FAR
            to_side = (np.copysign(_HALF_ROOM, ray[0]) - origin[0]) / ray[0] if ray[0] != 0 else _FAR
            to_back = (np.copysign(_HALF_ROOM, ray[1]) - origin[1]) / ray[1] if ray[1] != 0 else _FAR
            to_wall = min(to_side, to_back)
            to_object = _hit_object(origin, ray, shape, scale, normal)

            if to_object < min(to_floor, to_wall):
                facing = max(normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2], 0.0)
                pixel[3] += min(0.76 + 0.36 * facing, 1.0)
                half = light - ray
                half /= np.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)
                specular = max(normal[0] * half[0] + normal[1] * half[1] + normal[2] * half[2], 0.0)
                pixel[4] += 0.12 * specular**30
            elif to_floor < to_wall:
                ground[:] = origin + to_floor * ray
                brightness = 1.04 - 0.05 * (ground[0] ** 2 + ground[1] ** 2)
                shadow = _hit_object(ground, light, shape, scale, unused) < _FAR
                pixel[1] += min(max(brightness, 0.45), 1.0) * (0.33 if shadow else 1.0)
            else:
                hit = origin + to_wall * ray
                if hit[2] < _WALL:
                    wall_brightness = 1.0
                    if to_side < to_back:
                        wall_brightness = 0.70 if hit[0] < 0 else 0.52
                    pixel[2] += wall_brightness * (1 - 0.03 * min(abs(hit[0]), abs(hit[1])))
                else:
                    pixel[0] += 1
    masks /= _SAMPLES * _SAMPLES


@compiled
def _mix(rows, masks, colours, images):
    for number in range(len(rows)):
        mask = masks[rows[number]]
        palette = colours[number]
        for pixel in range(mask.shape[0]):
            for channel in range(3):
                total = 0.0
                for part in range(palette.shape[0]):
                    total += mask[pixel, part] * palette[part, channel]
                images[number, channel, pixel] = np.uint8(min(max(total, 0.0), 1.0) * 255 + 0.5)


@cache
def _all_masks() -> np.ndarray:
    """The masks of all geometries, ordered by scale, shape, orientation; float32, `480 x pixels x 5`."""
    masks = np.empty((len(SCALES), len(SHAPES), len(ORIENTATIONS), SIDE, SIDE, _MASKS), np.float32)

    def trace(index: tuple[int, int, int]) -> None:
        scale, shape, orientation = index
        exact = np.empty(masks.shape[3:])
        _trace(shape, SCALES[scale], math.radians(ORIENTATIONS[orientation]), exact)
        masks[index] = exact

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(trace, np.ndindex(masks.shape[:3])))
    return masks.reshape(-1, SIDE * SIDE, _MASKS)


def draw(positions: np.ndarray, images: np.ndarray) -> None:
    """Draw one scene per image.

    Args:
        positions: int, `n x 6`: indices into `HUES` for floor, wall and object, into `SCALES`, `SHAPES` and
            `ORIENTATIONS`.
        images: uint8, `n x 3 x 64 x 64`; overwritten.
    """
    hues = np.array([colorsys.hsv_to_rgb(hue, 1, 1) for hue in HUES])
    colours = np.empty((len(positions), _MASKS, 3))
    colours[:, 0], colours[:, 4] = _SKY, 1
    for part in range(3):
        colours[:, 1 + part] = hues[positions[:, part]]
    scale, shape, orientation = positions[:, 3:].T
    rows = (scale * len(SHAPES) + shape) * len(ORIENTATIONS) + orientation
    _mix(rows, _all_masks(), colours, images.reshape(len(images), 3, -1))
