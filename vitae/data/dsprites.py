"""dSprites: a white shape on black, in every combination of shape, scale, orientation and position.

Published by Matthey, Higgins, Hassabis and Lerchner (2017). Without the published file the images are rendered, with a
geometry fitted to published images.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.data import cache
from vitae.data.dataset import Factor, Source
from vitae.data.grid import Grid, GridCollection
from vitae.support.errors import InputError, reason
from vitae.support.files import opened, require_unpackable
from vitae.support.randomness import generator

_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
_URL = f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{_FILE}"
_MD5 = "7da33b31b13a06f4b04a70402ce90c2e"
_LICENCE = "Apache License 2.0 (rendered with LÖVE, zlib/libpng licence)"
_OUR_LICENCE = "images rendered by vitae: CC BY 4.0; their design is dSprites', Apache License 2.0"
_CITATION = "Matthey, Higgins, Hassabis, Lerchner: dSprites, 2017, github.com/google-deepmind/dsprites-dataset"

FACTORS = (
    Factor("shape", "class", ("square", "ellipse", "heart"), role="appearance"),
    Factor("scale", "continuous", tuple(0.5 + 0.1 * i for i in range(6)), role="perspective"),
    # The published grid includes both 0 and 2 pi, so the first and last orientation look the same.
    Factor(
        "orientation",
        "continuous",
        tuple(2 * math.pi * i / 39 for i in range(40)),
        "radians, counter-clockwise",
        role="perspective",
    ),
    Factor("x", "continuous", tuple(i / 31 for i in range(32)), "0 at the left, 1 at the right", role="perspective"),
    Factor("y", "continuous", tuple(i / 31 for i in range(32)), "0 at the top, 1 at the bottom", role="perspective"),
)
_SHAPE = (math.prod(len(factor.values) for factor in FACTORS), 64, 64)
_VERSION = 1  # of the rendered images, part of their cache key
_COMPARED_IMAGES = 20_000


class DSprites(GridCollection):
    """The published dSprites, or our rendering of them."""

    name = "dsprites"
    title = "dSprites"
    resolution = (64, 64)
    traversal_start = (2, 5, 3, 16, 16)
    file, url, md5, count = _FILE, _URL, _MD5, _SHAPE[0]
    download_size = "26 MB"
    embedded_content = "all 737,280 combinations, rendered with a geometry fitted to published images, any square size"

    def published(self, file: Path, kind: str) -> Grid:
        """The published images; the first use packs them into the cache, which needs 3 GB of memory."""
        packed = _packed_images(file)

        def images(positions: np.ndarray) -> Tensor:
            rows = np.ravel_multi_index(tuple(positions.T), tuple(len(factor.values) for factor in FACTORS))
            return torch.from_numpy(np.unpackbits(packed[rows], axis=2) * np.uint8(255))[:, None]

        return Grid(FACTORS, Source(kind, "dSprites, the published images", _LICENCE, _CITATION), images)

    def rendered(self, resolution: tuple[int, int]) -> Grid:
        """Images rendered with our geometry."""
        height, width = resolution
        if height != width:
            raise InputError(
                f"dSprites are rendered on squares, not at {height} x {width}: choose for instance 64 x 64."
            )

        def images(positions: np.ndarray) -> Tensor:
            from vitae.data.rendering import sprites

            values = grid.values(positions)
            key = {"version": _VERSION, "rows": cache.array_hash(values)}
            rendered = cache.cached_images(
                "dsprites", key, (len(values), height, width), lambda rows, block: sprites.draw(values[rows], block)
            )
            return torch.from_numpy(rendered)[:, None]

        location = "dSprites, rendered by us with a geometry fitted to published images"
        grid = Grid(FACTORS, Source("embedded", location, _OUR_LICENCE, _CITATION), images)
        return grid


def agreement(root: Path) -> dict:
    """Compare our rendering with the published images: the fraction of equal pixels and images in a random sample.

    Raises:
        InputError: the published file is not in `root`, or it is damaged.
    """
    collection = DSprites()
    published, rendered = collection.grid(root, "data-root"), collection.grid(source="embedded")
    positions = published.sample(_COMPARED_IMAGES, generator("cpu", 0, "agreement"))
    equal = (published.images(positions) == rendered.images(positions)).numpy()
    return {
        "images": _COMPARED_IMAGES,
        "equal pixels": float(equal.mean()),
        "equal images": float(equal.all((1, 2, 3)).mean()),
    }


def _packed_images(file: Path) -> np.ndarray:
    """The published images, one bit per pixel, memory-mapped from the cache: uint8, `737,280 x 64 x 8`."""

    def pack() -> np.ndarray:
        try:
            with opened(file) as stream, np.load(stream, allow_pickle=False) as archive:
                require_unpackable(file, archive.zip)
                pixels = archive["imgs"] if "imgs" in archive.files else np.empty(0)
        except InputError:
            raise
        except Exception as error:  # numpy and zipfile raise many kinds of errors for a damaged archive
            raise InputError(
                f"{file} is damaged or truncated ({reason(error)}): delete it and download it again."
            ) from None
        if pixels.shape != _SHAPE or pixels.dtype != np.uint8:
            found = f"is {pixels.dtype} {pixels.shape}, not uint8 {_SHAPE}" if pixels.size else "is missing"
            raise InputError(
                f"{file} is not the published dSprites: its array imgs {found}. Delete it and download it again."
            )
        return np.packbits(pixels, axis=2)

    return cache.convert_file("dsprites-published", file, (*_SHAPE[:2], _SHAPE[2] // 8), pack)
