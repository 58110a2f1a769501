"""Datasets with one image for every combination of factor values, as dSprites and 3D Shapes."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.data import downloads
from vitae.data.collection import (
    IMAGES_PER_TEST_IMAGE,
    MAX_IMAGES,
    FileCollection,
    Request,
    image_count,
    shuffled_indices,
)
from vitae.data.dataset import Dataset, Factor, Source
from vitae.support.errors import InputError, require_known, require_number, system_errors_as_input_errors


@dataclass(frozen=True)
class Grid:
    """Every combination of the factors' values, with its image.

    A position is a row of indices, one into the values of each factor. An index is the number of a combination in
    the published order.

    Attributes:
        factors: all with `values`; the last one changes fastest in the published order.
        source: where the images come from.
        draw: maps valid positions, int64 `n x factors`, to uint8 images; call `images`, which checks them first.
    """

    factors: tuple[Factor, ...]
    source: Source
    draw: Callable[[np.ndarray], Tensor]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each factor."""
        return tuple(len(factor.values) for factor in self.factors)

    def __len__(self) -> int:
        return math.prod(self.sizes)

    def positions(self, index: np.ndarray) -> np.ndarray:
        """The positions of combinations given by index; int64, `n x factors`.

        Raises:
            InputError: an index that is not a whole number below `len(grid)`.
        """
        index = np.asarray(index)
        if index.size and not (index.dtype.kind in "iu" and index.min() >= 0 and index.max() < len(self)):
            raise InputError(f"indices must be whole numbers from 0 to {len(self) - 1:,}.")
        return np.stack(np.unravel_index(index.astype(np.int64), self.sizes), -1).astype(np.int64)

    def _checked(self, positions: np.ndarray) -> np.ndarray:
        array = np.asarray(positions)
        count = len(self.sizes)
        if array.ndim != 2 or array.shape[1] != count or (array.size and array.dtype.kind not in "iu"):
            raise InputError(f"positions must be whole numbers, n x {count}, got {array.dtype} {array.shape}.")
        if (array < 0).any() or (array >= np.array(self.sizes)).any():
            raise InputError(f"positions must be at least 0 and below {self.sizes}, one column per factor.")
        return array.astype(np.int64)

    @system_errors_as_input_errors
    def images(self, positions: np.ndarray) -> Tensor:
        """The images at these positions; uint8, `n x channels x height x width`.

        Raises:
            InputError: positions outside the grid.
        """
        return self.draw(self._checked(positions))

    def index(self, positions: np.ndarray) -> np.ndarray:
        """The indices of these positions; `n`."""
        return np.ravel_multi_index(tuple(self._checked(positions).T), self.sizes)

    def values(self, positions: np.ndarray) -> np.ndarray:
        """The columns of `Dataset.factors` for these positions; float64, `n x factors`."""
        positions = self._checked(positions)
        columns = [
            positions[:, i] if factor.kind == "class" else np.array(factor.values)[positions[:, i]]
            for i, factor in enumerate(self.factors)
        ]
        return np.column_stack(columns).astype(np.float64)

    @system_errors_as_input_errors
    def sample(self, size: int, random: torch.Generator, **fixed: int) -> np.ndarray:
        """Uniform random positions, with replacement; int64, `size x factors`.

        Args:
            fixed: factors to hold at one index, as scores need: `grid.sample(64, random, shape=2)`.

        Raises:
            InputError: unknown factor, or an index outside its values.
        """
        require_number("size", size, 1, whole=True, largest=MAX_IMAGES)
        if not isinstance(random, torch.Generator):
            raise InputError(f"random must be a torch.Generator, got {random!r}.")
        drawn = [torch.randint(count, (size,), generator=random).numpy() for count in self.sizes]
        names = [factor.name for factor in self.factors]
        for name, index in fixed.items():
            column = names.index(require_known("factor", name, names))
            require_number(f"index of {name}", index, 0, whole=True)
            if index >= self.sizes[column]:
                raise InputError(f"{name} has indices 0 to {self.sizes[column] - 1}, got {index}.")
            drawn[column] = np.full(size, index)
        return np.stack(drawn, 1)


DEFAULT_SIZE = {"train": 60_000, "test": 10_000}


class GridCollection(FileCollection):
    """A dataset whose published file and whose bundled substitute are both a `Grid`, with a seeded split.

    Attributes:
        file: name of the published file.
        url: its address.
        md5: its checksum.
        count: the number of its images.
        traversal_start: the position from which traversals change one factor at a time.
    """

    file: str
    url: str
    md5: str
    count: int
    traversal_start: tuple[int, ...]

    @property
    def layout(self) -> str:
        """The published file and where it may be."""
        return f"{self.file}, also in a folder {self.name}"

    def _file(self, folder: Path) -> Path | None:
        candidates = (folder, folder / self.file, folder / self.name / self.file)
        return next((path for path in candidates if path.name == self.file and path.is_file()), None)

    def describe_files(self, folder: Path) -> str | None:
        """Whether the published file is in `folder`, or is `folder` itself."""
        file = self._file(folder)
        return file and f"the {self.count:,} published images in {file}"

    def fetch(self, folder: Path) -> None:
        """Download the published file from its authors."""
        downloads.fetch(self.url, folder / self.name / self.file, md5=self.md5)

    @abstractmethod
    def published(self, file: Path, kind: str) -> Grid:
        """The grid of the published file; `kind` is for its `Source`."""

    @abstractmethod
    def rendered(self, resolution: tuple[int, int]) -> Grid:
        """The grid of images rendered by vitae."""

    @system_errors_as_input_errors
    def grid(self, root: str | Path | None = None, source: str = "auto", resolution=None) -> Grid:
        """The grid of all combinations, from the source that `load` would choose.

        Raises:
            InputError: as `load`.
        """
        resolution = self.checked_resolution(resolution)
        folder, kind = self.find(root, source)
        return self.rendered(resolution) if folder is None else self._published_in(folder, kind, resolution)

    def _published_in(self, folder: Path, kind: str, resolution: tuple[int, int]) -> Grid:
        if resolution != self.resolution:
            size = " x ".join(map(str, self.resolution))
            raise InputError(
                f"{self.title} was published at {size} pixels: choose --source embedded for another resolution."
            )
        return self.published(self._file(folder), kind)

    def read(self, folder: Path, kind: str, request: Request) -> Dataset:
        """A split of the published images."""
        return self._split(self._published_in(folder, kind, request.resolution), request)

    def embedded(self, request: Request) -> Dataset:
        """A split of the rendered images."""
        return self._split(self.rendered(request.resolution), request)

    def _split(self, grid: Grid, request: Request) -> Dataset:
        # Unlike in `split_indices`, the last images of the permutation are the test images.
        order = shuffled_indices(len(grid), request.seed, self.name)
        train_count = len(grid) - len(grid) // IMAGES_PER_TEST_IMAGE
        rows = order[:train_count] if request.split == "train" else order[train_count:]
        count = image_count(len(rows), request, self.title, DEFAULT_SIZE[request.split])
        positions = grid.positions(rows[:count])
        return Dataset(grid.images(positions), grid.values(positions), grid.factors, grid.source)

    def traversals(self, steps: int, resolution: tuple[int, int] | None = None) -> list[tuple[str, Tensor]]:
        """Each factor at `steps` of its values, evenly spaced."""
        grid = self.rendered(self.checked_resolution(resolution))
        rows = []
        for column, factor in enumerate(grid.factors):
            positions = np.tile(self.traversal_start, (steps, 1))
            positions[:, column] = np.linspace(0, grid.sizes[column] - 1, steps).round()
            rows.append((factor.name, grid.images(positions)))
        return rows
