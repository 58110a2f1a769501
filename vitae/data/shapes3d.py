"""3D Shapes: every combination of three colours, a scale, a shape and an orientation of an object in a room.

Published by Burgess and Kim (2018); without the file, a stand-in that we cast ourselves, alike but not equal.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vitae.data import cache
from vitae.data.base import Factor, Source
from vitae.data.grid import Grid, GridCollection
from vitae.support.errors import InputError, reason

_FILE = "3dshapes.h5"
_URL = f"https://storage.googleapis.com/3d-shapes/{_FILE}"
_MD5 = "099a2078d58cec4daad0702c55d06868"
_LICENCE = "Apache License 2.0"
_OUR_LICENCE = "images rendered by vitae: CC BY 4.0; their design is 3D Shapes', Apache License 2.0"
_CITATION = "Burgess, Kim: 3D Shapes Dataset, 2018, github.com/google-deepmind/3d-shapes"

_HUES = tuple(h / 10 for h in range(10))
FACTORS = (
    # Hues are classes: on their circle the first is as near to the last as to the second.
    Factor("floor_hue", "class", _HUES),
    Factor("wall_hue", "class", _HUES),
    Factor("object_hue", "class", _HUES),
    Factor("scale", "continuous", tuple(0.75 + 0.5 * i / 7 for i in range(8))),
    Factor("shape", "class", ("cube", "cylinder", "sphere", "capsule")),
    Factor("orientation", "continuous", tuple(-30 + 60 * i / 14 for i in range(15)), "degrees"),
)
_SIZES = tuple(len(factor.values) for factor in FACTORS)
_SHAPE = (480_000, 64, 64, 3)
_READ = 1_000  # published images read at once
_VERSION = 1


class Shapes3D(GridCollection):
    """See the module."""

    name = "shapes3d"
    title = "3D Shapes"
    resolution = (64, 64)
    shown = (1, 5, 8, 4, 0, 4)
    file, url, md5, count = _FILE, _URL, _MD5, _SHAPE[0]
    instead = "a stand-in cast by our own rays, all 480,000 combinations, 64 x 64"
    downloadable = "268 MB"

    def published(self, file: Path, kind: str) -> Grid:
        """The published images; what is taken of them is kept in the cache."""
        with _opened(file):
            pass  # so that a wrong file is refused before anything is drawn from it

        def images(positions: np.ndarray) -> Tensor:
            rows = np.ravel_multi_index(tuple(positions.T), _SIZES)
            arguments = {"file": cache.fingerprint([file], file.parent), "rows": cache.digest(rows)}
            shape = (len(rows), 3, 64, 64)
            return torch.from_numpy(cache.kept("shapes3d-published", arguments, shape, lambda: _read(file, rows)))

        return Grid(FACTORS, Source(kind, "3D Shapes, the published images", _LICENCE, _CITATION), images)

    def rendered(self, resolution: tuple[int, int]) -> Grid:
        """Our stand-in."""
        if resolution != self.resolution:
            raise InputError(f"3D Shapes are cast at 64 x 64 pixels, not at {resolution[0]} x {resolution[1]}.")

        def images(positions: np.ndarray) -> Tensor:
            from vitae.data.rendering import room

            arguments = {"version": _VERSION, "rows": cache.digest(positions)}
            made = cache.cached(
                "shapes3d",
                arguments,
                (len(positions), 3, *resolution),
                lambda rows, block: room.draw(positions[rows], block),
            )
            return torch.from_numpy(made)

        what = "a stand-in for 3D Shapes, cast by our own rays"
        return Grid(FACTORS, Source("embedded", what, _OUR_LICENCE, _CITATION), images)


# Published images, six a row, read from a figure of the authors' (an upscaled JPEG), and the combinations of ours that
# come nearest to them.
_PUBLISHED = Path(__file__).parent / "rendering" / "assets" / "shapes3d_published.png"
_NEAREST = (
    *((0, 6, 7, 1, 0, 4), (0, 0, 0, 5, 3, 12), (1, 7, 0, 4, 2, 10)),
    *((1, 7, 4, 0, 1, 3), (9, 1, 5, 1, 0, 11), (2, 0, 2, 4, 3, 2)),
    *((4, 6, 7, 1, 0, 4), (0, 4, 0, 5, 3, 12), (1, 7, 4, 4, 2, 10)),
    *((1, 7, 4, 4, 1, 3), (9, 1, 5, 2, 2, 11), (2, 0, 2, 4, 3, 7)),
    *((9, 6, 7, 1, 0, 4), (0, 9, 0, 5, 3, 12), (1, 7, 9, 4, 2, 10)),
    *((1, 7, 4, 7, 1, 3), (9, 1, 5, 0, 3, 11), (2, 0, 2, 4, 3, 12)),
)


def published_beside_ours() -> tuple[Tensor, Tensor]:
    """18 published images, and ours of the combinations that come nearest; uint8, `18 x 3 x 64 x 64` each."""
    from PIL import Image

    sheet = torch.from_numpy(np.array(Image.open(_PUBLISHED).convert("RGB")))
    tiles = sheet.reshape(-1, 64, sheet.shape[1] // 64, 64, 3).permute(0, 2, 4, 1, 3).reshape(-1, 3, 64, 64)
    return tiles, Shapes3D().rendered((64, 64)).images(np.array(_NEAREST))


def _opened(file: Path):
    """The h5 file, checked."""
    try:
        import h5py
    except ImportError:
        raise InputError(f"reading {file} needs h5py: run 'pip install h5py', or choose --source embedded.") from None
    try:
        archive = h5py.File(file, "r")
    except OSError as error:
        raise InputError(f"{file} is not a whole HDF5 file ({reason(error)}): delete it and fetch it again.") from None
    found = archive.get("images")
    if not isinstance(found, h5py.Dataset) or found.shape != _SHAPE or found.dtype != np.uint8:
        what = f"{found.dtype} {found.shape}" if isinstance(found, h5py.Dataset) else "missing"
        archive.close()
        raise InputError(f"{file} is not the published 3D Shapes: its images are {what}, not uint8 {_SHAPE}.")
    return archive


def _read(file: Path, rows: np.ndarray) -> np.ndarray:
    """Images by number, in one pass through the file: single ones would unpack most of it many times."""
    made = np.empty((len(rows), 3, 64, 64), np.uint8)
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    with _opened(file) as archive, tqdm(total=len(rows), desc=_FILE, unit="image", disable=None, delay=1) as bar:
        images, done = archive["images"], 0
        while done < len(rows):
            start = ascending[done]
            after = int(np.searchsorted(ascending, start + _READ))
            wanted = order[done:after]
            try:
                block = images[start : ascending[after - 1] + 1]
            except OSError as error:
                raise InputError(f"{file} is damaged ({reason(error)}): delete it and fetch it again.") from None
            made[wanted] = block[rows[wanted] - start].transpose(0, 3, 1, 2)
            bar.update(after - done)
            done = after
    return made
