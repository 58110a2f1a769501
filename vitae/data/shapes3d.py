"""3D Shapes: an object in a room, in every combination of three hues, a scale, a shape and an orientation.

Published by Burgess and Kim (2018). Without the published file the scenes are ray-traced, similar to the published ones
but not equal.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vitae.data import cache
from vitae.data.dataset import Factor, Source
from vitae.data.grid import Grid, GridCollection
from vitae.support.errors import InputError, reason
from vitae.support.files import opened

_FILE = "3dshapes.h5"
_URL = f"https://storage.googleapis.com/3d-shapes/{_FILE}"
_MD5 = "099a2078d58cec4daad0702c55d06868"
_LICENCE = "Apache License 2.0"
_OUR_LICENCE = "images rendered by vitae: CC BY 4.0; their design is 3D Shapes', Apache License 2.0"
_CITATION = "Burgess, Kim: 3D Shapes Dataset, 2018, github.com/google-deepmind/3d-shapes"

_HUES = tuple(h / 10 for h in range(10))
FACTORS = (
    # Hues are classes because they lie on a circle: the first is as close to the last as to the second.
    Factor("floor_hue", "class", _HUES, role="appearance"),
    Factor("wall_hue", "class", _HUES, role="appearance"),
    Factor("object_hue", "class", _HUES, role="appearance"),
    Factor("scale", "continuous", tuple(0.75 + 0.5 * i / 7 for i in range(8)), role="perspective"),
    Factor("shape", "class", ("cube", "cylinder", "sphere", "capsule"), role="appearance"),
    Factor("orientation", "continuous", tuple(-30 + 60 * i / 14 for i in range(15)), "degrees", role="perspective"),
)
_SIZES = tuple(len(factor.values) for factor in FACTORS)
_SHAPE = (480_000, 64, 64, 3)
_READ_SPAN = 1_000  # published images read at once
_VERSION = 1  # of the rendered images, part of their cache key


class Shapes3D(GridCollection):
    """The published 3D Shapes, or our ray-traced substitute."""

    name = "shapes3d"
    title = "3D Shapes"
    resolution = (64, 64)
    traversal_start = (1, 5, 8, 4, 0, 4)
    file, url, md5, count = _FILE, _URL, _MD5, _SHAPE[0]
    download_size = "268 MB"
    embedded_content = "a ray-traced substitute, all 480,000 combinations, 64 x 64"

    def published(self, file: Path, kind: str) -> Grid:
        """The published images; those that are used are cached."""
        with _open(file):
            pass  # check the file now rather than when the first image is read

        def images(positions: np.ndarray) -> Tensor:
            rows = np.ravel_multi_index(tuple(positions.T), _SIZES)
            key = {"file": cache.file_state_hash([file], file.parent), "rows": cache.array_hash(rows)}
            shape = (len(rows), 3, 64, 64)
            return torch.from_numpy(cache.load_or_make("shapes3d-published", key, shape, lambda: _read(file, rows)))

        return Grid(FACTORS, Source(kind, "3D Shapes, the published images", _LICENCE, _CITATION), images)

    def rendered(self, resolution: tuple[int, int]) -> Grid:
        """The ray-traced substitute."""
        if resolution != self.resolution:
            raise InputError(f"3D Shapes are rendered at 64 x 64 pixels, not at {resolution[0]} x {resolution[1]}.")

        def images(positions: np.ndarray) -> Tensor:
            from vitae.data.rendering import room

            key = {"version": _VERSION, "rows": cache.array_hash(positions)}
            shape = (len(positions), 3, *resolution)
            rendered = cache.cached_images(
                "shapes3d", key, shape, lambda rows, block: room.draw(positions[rows], block)
            )
            return torch.from_numpy(rendered)

        location = "a stand-in for 3D Shapes, cast by our own rays"
        return Grid(FACTORS, Source("embedded", location, _OUR_LICENCE, _CITATION), images)


# Published images, six per row, taken from a figure by the authors (an upscaled JPEG), and the positions of our most
# similar images.
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
    """18 published images and our most similar ones; uint8, `18 x 3 x 64 x 64` each."""
    from PIL import Image

    sheet = torch.from_numpy(np.array(Image.open(_PUBLISHED).convert("RGB")))
    tiles = sheet.reshape(-1, 64, sheet.shape[1] // 64, 64, 3).permute(0, 2, 4, 1, 3).reshape(-1, 3, 64, 64)
    return tiles, Shapes3D().rendered((64, 64)).images(np.array(_NEAREST))


def _open(file: Path):
    """Open the h5 file after checking its content."""
    try:
        import h5py
    except ImportError:
        raise InputError(f"reading {file} needs h5py: run 'pip install h5py', or choose --source embedded.") from None
    try:
        with opened(file):
            archive = h5py.File(file, "r")
    except OSError as error:
        raise InputError(
            f"{file} is not a complete HDF5 file ({reason(error)}): delete it and download it again."
        ) from None
    try:
        # A link could lead to another file, or in a circle.
        plain = isinstance(archive.get("images", getlink=True), h5py.HardLink)
        images = archive.get("images") if plain else None
        elsewhere = isinstance(images, h5py.Dataset) and (images.external or images.is_virtual)
    except Exception as error:  # h5py raises many kinds of errors on damaged files
        archive.close()
        raise InputError(f"{file} is damaged ({reason(error)}): delete it and download it again.") from None
    if elsewhere:
        archive.close()
        raise InputError(f"{file} is not the published 3D Shapes: it takes its images from other files.")
    if not isinstance(images, h5py.Dataset) or images.shape != _SHAPE or images.dtype != np.uint8:
        found = f"{images.dtype} {images.shape}" if isinstance(images, h5py.Dataset) else "missing"
        archive.close()
        raise InputError(f"{file} is not the published 3D Shapes: its images are {found}, not uint8 {_SHAPE}.")
    return archive


def _read(file: Path, rows: np.ndarray) -> np.ndarray:
    """Read images by index in one pass: reading single images would decompress each chunk of the file many times."""
    result = np.empty((len(rows), 3, 64, 64), np.uint8)
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    with _open(file) as archive, tqdm(total=len(rows), desc=_FILE, unit="image", disable=None, delay=1) as bar:
        images, done = archive["images"], 0
        while done < len(rows):
            start = ascending[done]
            after = int(np.searchsorted(ascending, start + _READ_SPAN))
            wanted = order[done:after]
            try:
                block = images[start : ascending[after - 1] + 1]
            except MemoryError:
                raise
            except (OSError, RuntimeError) as error:
                raise InputError(f"{file} is damaged ({reason(error)}): delete it and download it again.") from None
            result[wanted] = block[rows[wanted] - start].transpose(0, 3, 1, 2)
            bar.update(after - done)
            done = after
    return result
