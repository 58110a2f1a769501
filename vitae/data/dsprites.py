"""dSprites: every combination of shape, scale, orientation and position of a white sprite on black.

Published by Matthey, Higgins, Hassabis and Lerchner (2017); without the file, rendered by a geometry that was fitted to
published images.
"""

import io
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.data import cache
from vitae.data.base import Factor, Source
from vitae.data.grid import Grid, GridCollection
from vitae.support.errors import InputError, reason
from vitae.support.randomness import generator

_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
_URL = f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{_FILE}"
_MD5 = "7da33b31b13a06f4b04a70402ce90c2e"
_LICENCE = "Apache License 2.0 (rendered with LÖVE, zlib/libpng licence)"
_OUR_LICENCE = "images rendered by vitae: CC BY 4.0; their design is dSprites', Apache License 2.0"
_CITATION = "Matthey, Higgins, Hassabis, Lerchner: dSprites, 2017, github.com/google-deepmind/dsprites-dataset"

FACTORS = (
    Factor("shape", "class", ("square", "ellipse", "heart")),
    Factor("scale", "continuous", tuple(0.5 + 0.1 * i for i in range(6))),
    # Both ends of the turn are in the published set, so its first and last orientation look the same.
    Factor("orientation", "continuous", tuple(2 * math.pi * i / 39 for i in range(40)), "radians, counter-clockwise"),
    Factor("x", "continuous", tuple(i / 31 for i in range(32)), "0 at the left, 1 at the right"),
    Factor("y", "continuous", tuple(i / 31 for i in range(32)), "0 at the top, 1 at the bottom"),
)
_SHAPE = (math.prod(len(factor.values) for factor in FACTORS), 64, 64)
# Changes when the rendered images do, so that the cache forgets the old ones.
_VERSION = 1
_COMPARED = 20_000  # published sprites held against ours


class DSprites(GridCollection):
    """See the module."""

    name = "dsprites"
    title = "dSprites"
    resolution = (64, 64)
    shown = (2, 5, 3, 16, 16)
    file, url, md5, count = _FILE, _URL, _MD5, _SHAPE[0]
    instead = "rendered, by a geometry fitted to published images, all 737,280 combinations, any square size"
    downloadable = "26 MB"

    def published(self, file: Path, kind: str) -> Grid:
        """The published images, put once into the cache, eight pixels a byte; that takes 3 GB for a moment."""
        packed = _packed(file)

        def images(positions: np.ndarray) -> Tensor:
            rows = np.ravel_multi_index(tuple(positions.T), tuple(len(factor.values) for factor in FACTORS))
            return torch.from_numpy(np.unpackbits(packed[rows], axis=2) * np.uint8(255))[:, None]

        return Grid(FACTORS, Source(kind, "dSprites, the published images", _LICENCE, _CITATION), images)

    def rendered(self, resolution: tuple[int, int]) -> Grid:
        """Our own sprites."""
        height, width = resolution
        if height != width:
            raise InputError(f"sprites are drawn on squares, and {height} x {width} is none: choose 64 x 64, say.")

        def images(positions: np.ndarray) -> Tensor:
            from vitae.data.rendering import sprites

            values = grid.values(positions)
            arguments = {"version": _VERSION, "rows": cache.digest(values)}
            made = cache.cached(
                "dsprites",
                arguments,
                (len(values), height, width),
                lambda rows, block: sprites.draw(values[rows], block),
            )
            return torch.from_numpy(made)[:, None]

        what = "dSprites, rendered by us with a geometry fitted to published images"
        grid = Grid(FACTORS, Source("embedded", what, _OUR_LICENCE, _CITATION), images)
        return grid


def agreement(root: Path) -> dict:
    """How many published images, and pixels, are ours, over combinations drawn from all.

    Raises:
        InputError: there is no published file under this root, or it is damaged.
    """
    collection = DSprites()
    theirs, ours = collection.grid(root, "data-root"), collection.grid(source="embedded")
    positions = theirs.sample(_COMPARED, generator("cpu", 0, "agreement"))
    same = (theirs.images(positions) == ours.images(positions)).numpy()
    return {"images": _COMPARED, "equal pixels": float(same.mean()), "equal images": float(same.all((1, 2, 3)).mean())}


def _packed(file: Path) -> np.ndarray:
    """The published pixels, `737,280 x 64 x 8`, a bit each, mapped from the cache."""

    def unpack() -> np.ndarray:
        try:
            # By way of bytes: numpy leaves a file open that turns out to be no archive.
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
                pixels = archive["imgs"] if "imgs" in archive.files else np.empty(0)
        except Exception as error:  # a damaged archive can make any of its readers fail in any way
            raise InputError(
                f"{file} is damaged or cut short ({reason(error)}): delete it and fetch it again."
            ) from None
        if pixels.shape != _SHAPE or pixels.dtype != np.uint8:
            what = f"is {pixels.dtype} {pixels.shape}, not uint8 {_SHAPE}" if pixels.size else "is missing"
            raise InputError(f"{file} is not the published dSprites: its array imgs {what}. Delete it.")
        return np.packbits(pixels, axis=2)

    return cache.converted("dsprites-published", file, (*_SHAPE[:2], _SHAPE[2] // 8), unpack)
