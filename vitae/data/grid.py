"""Datasets that hold every combination of a few factors: addressed by position, sampled by factor."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.data import downloads
from vitae.data.base import TESTED, Dataset, Factor, FileCollection, Request, Source, seeded_order, taken
from vitae.support.errors import InputError, require_known, require_number, system_errors_as_input_errors


@dataclass(frozen=True)
class Grid:
    """Every combination of the factors' values, and how its image is had.

    Attributes:
        factors: all with values; the last one changes fastest.
        source: where the images come from.
        draw: valid int64 positions, `n x factors`, to uint8 images; `images` checks them first.
    """

    factors: tuple[Factor, ...]
    source: Source
    draw: Callable[[np.ndarray], Tensor]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each factor has."""
        return tuple(len(factor.values) for factor in self.factors)

    def __len__(self) -> int:
        return math.prod(self.sizes)

    def positions(self, index: np.ndarray) -> np.ndarray:
        """Combinations by number, in the published order: int64, `n x factors`.

        Raises:
            InputError: numbers of no combination.
        """
        index = np.asarray(index)
        if index.size and not (index.dtype.kind in "iu" and index.min() >= 0 and index.max() < len(self)):
            raise InputError(f"combinations are numbered from 0 to {len(self) - 1:,}, got others.")
        return np.stack(np.unravel_index(index.astype(np.int64), self.sizes), -1).astype(np.int64)

    def _checked(self, positions: np.ndarray) -> np.ndarray:
        found = np.asarray(positions)
        if found.ndim != 2 or found.shape[1] != len(self.sizes) or (found.size and found.dtype.kind not in "iu"):
            raise InputError(f"positions are whole numbers, n x {len(self.sizes)}, got {found.dtype} {found.shape}.")
        if (found < 0).any() or (found >= np.array(self.sizes)).any():
            raise InputError(f"positions are from 0 to below {self.sizes}, a column a factor, got others.")
        return found.astype(np.int64)

    @system_errors_as_input_errors
    def images(self, positions: np.ndarray) -> Tensor:
        """The images of combinations: uint8, `n x channels x height x width`.

        Raises:
            InputError: positions that are none of these factors'.
        """
        return self.draw(self._checked(positions))

    def index(self, positions: np.ndarray) -> np.ndarray:
        """The numbers of combinations; `n`."""
        return np.ravel_multi_index(tuple(self._checked(positions).T), self.sizes)

    def values(self, positions: np.ndarray) -> np.ndarray:
        """As columns of a `Dataset`: the position of a class, the value of a continuous factor; float64."""
        positions = self._checked(positions)
        columns = [
            positions[:, i] if factor.kind == "class" else np.array(factor.values)[positions[:, i]]
            for i, factor in enumerate(self.factors)
        ]
        return np.column_stack(columns).astype(np.float64)

    @system_errors_as_input_errors
    def sample(self, size: int, random: torch.Generator, **fixed: int) -> np.ndarray:
        """Combinations drawn with replacement, uniform, some factors held at a position; `size x factors`.

        This is what scores need that hold one factor still: `grid.sample(64, random, shape=2)`.

        Raises:
            InputError: no such factor or position.
        """
        require_number("size", size, 1, whole=True)
        if not isinstance(random, torch.Generator):
            raise InputError(f"random must be a torch.Generator, got {random!r}.")
        drawn = [torch.randint(count, (size,), generator=random).numpy() for count in self.sizes]
        names = [factor.name for factor in self.factors]
        for name, position in fixed.items():
            column = names.index(require_known("factor", name, names))
            require_number(f"position of {name}", position, 0, whole=True)
            if position >= self.sizes[column]:
                raise InputError(f"{name} has positions 0 to {self.sizes[column] - 1}, got {position}.")
            drawn[column] = np.full(size, position)
        return np.stack(drawn, 1)


USUAL = {"train": 60_000, "test": 10_000}


class GridCollection(FileCollection):
    """A collection whose published file and whose stand-in are both a `Grid`; its split is a seeded one of all.

    Attributes:
        file: what was published.
        url: where.
        md5: its checksum.
        count: how many images it holds.
        shown: the combination from which factors are moved one at a time.
    """

    file: str
    url: str
    md5: str
    count: int
    shown: tuple[int, ...]

    @property
    def layout(self) -> str:
        """The file, and where it may lie."""
        return f"{self.file}, there or in a folder {self.name}"

    def _file(self, folder: Path) -> Path | None:
        candidates = (folder, folder / self.file, folder / self.name / self.file)
        return next((path for path in candidates if path.name == self.file and path.is_file()), None)

    def held(self, folder: Path) -> str | None:
        """The published file."""
        file = self._file(folder)
        return file and f"the published {self.count:,} images in {file}"

    def fetch(self, folder: Path) -> None:
        """The published file, from its authors."""
        downloads.fetch(self.url, folder / self.name / self.file, md5=self.md5)

    @abstractmethod
    def published(self, file: Path, kind: str) -> Grid:
        """The grid in its published file."""

    @abstractmethod
    def rendered(self, resolution: tuple[int, int]) -> Grid:
        """The grid as we render it."""

    @system_errors_as_input_errors
    def grid(self, root: str | Path | None = None, source: str = "auto", resolution=None) -> Grid:
        """All combinations, from the source that `load` would choose.

        Raises:
            InputError: as `load`.
        """
        resolution = self.checked_resolution(resolution)
        folder, kind = self.find(root, source)
        return self.rendered(resolution) if folder is None else self._of_files(folder, kind, resolution)

    def _of_files(self, folder, kind, resolution) -> Grid:
        if resolution != self.resolution:
            published = " x ".join(map(str, self.resolution))
            raise InputError(f"{self.title} was published at {published} pixels: choose --source embedded for another.")
        return self.published(self._file(folder), kind)

    def read(self, folder: Path, kind: str, request: Request) -> Dataset:
        """A part of the published combinations."""
        return self._part(self._of_files(folder, kind, request.resolution), request)

    def embedded(self, request: Request) -> Dataset:
        """A part of the rendered combinations."""
        return self._part(self.rendered(request.resolution), request)

    def _part(self, grid: Grid, request: Request) -> Dataset:
        # Here the last of the order are for testing.
        order = seeded_order(len(grid), request.seed, self.name)
        kept = len(grid) - len(grid) // TESTED
        rows = order[:kept] if request.split == "train" else order[kept:]
        count = taken(len(rows), request, self.title, USUAL[request.split])
        positions = grid.positions(rows[:count])
        return Dataset(grid.images(positions), grid.values(positions), grid.factors, grid.source)

    def traversals(self, steps: int, resolution: tuple[int, int] | None = None) -> list[tuple[str, Tensor]]:
        """Each factor through its values, or `steps` of them."""
        grid = self.rendered(self.checked_resolution(resolution))
        rows = []
        for column, factor in enumerate(grid.factors):
            positions = np.tile(self.shown, (steps, 1))
            positions[:, column] = np.linspace(0, grid.sizes[column] - 1, steps).round()
            rows.append((factor.name, grid.images(positions)))
        return rows
