"""Your own images: a folder of them, with an optional table of factors.

`factors.csv` in the folder has a column `file`, paths relative to the folder, and a column a factor. A factor is
continuous if every value is a number, unless its name ends in `:class`; else it is a class. Without a table, images in
subfolders have one factor, the subfolder.
"""

import csv
import math
from pathlib import Path

import numpy as np
import torch

from vitae.data import photographs
from vitae.data.base import Dataset, Factor, FileCollection, Request, Source, taken
from vitae.errors import InputError, reason
from vitae.randomness import generator

TABLE = "factors.csv"
_TESTED = 10  # one in so many is for testing
_USUAL = (64, 64)
_GREY = {"1", "L", "LA", "I", "I;16", "F"}  # Pillow's modes without colour


class Folder(FileCollection):
    """See the module."""

    name = "folder"
    title = "your own images"
    resolution = None
    layout = f"images ({', '.join(photographs.SUFFIXES)}), in subfolders too, and an optional {TABLE}"
    instead = "nothing: name your folder with --data-root"

    def find(self, root: str | Path | None = None, source: str = "auto") -> tuple[Path | None, str]:
        """A folder named for this purpose: `$VITAE_DATA` is where other datasets lie, and would mix them all."""
        if root is None:
            raise InputError("dataset folder is a folder of yours: name it with --data-root, or root=... in Python.")
        return super().find(root, source)

    def whereabouts(self, root: str | Path | None = None) -> list[str]:
        """What a folder named for this purpose holds."""
        if root is None:
            return [f"data-root: {self.layout}"]
        return super().whereabouts(root)

    def held(self, folder: Path) -> str | None:
        """Any image."""
        count = len(_images(folder))
        return f"{count:,} images under {folder}" if count else None

    def embedded(self, request: Request) -> Dataset:
        """There is nothing to take instead of the user's own."""
        raise InputError("dataset folder is a folder of yours, nothing of it is embedded or downloaded.")

    def read(self, folder: Path, kind: str, request: Request) -> Dataset:
        """The images of one part of a seeded split, in colour if any of all has colour."""
        files = _images(folder)
        if len(files) < 2:
            raise InputError(f"{folder} holds one image, and some are needed to train and some to test.")
        about, factors = _factors(files, folder)
        order = torch.randperm(len(files), generator=generator("cpu", request.seed, "folder split")).numpy()
        tested = max(1, len(files) // _TESTED)
        chosen = order[tested:] if request.split == "train" else order[:tested]
        chosen = chosen[: taken(len(chosen), request, str(folder))]
        sizes, modes = (set(seen) for seen in zip(*map(_header, files), strict=True))
        channels = 1 if modes <= _GREY else 3
        resolution = request.resolution
        if resolution is None:
            # Small images of one size are taken as they are.
            width, height = sizes.pop() if len(sizes) == 1 else _USUAL
            resolution = (height, width) if max(height, width) <= 128 and min(height, width) >= 8 else _USUAL
        images = photographs.read(
            [files[i] for i in chosen],
            folder,
            "folder",
            channels,
            resolution,
            photographs.central(*resolution),
            "centre",
        )
        source = Source(kind, f"{len(files):,} images of your own, {folder.name}")
        return Dataset(torch.from_numpy(images), factors[chosen], about, source)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in photographs.SUFFIXES and path.is_file())


def _header(file: Path) -> tuple[tuple[int, int], str]:
    """Width and height, and mode; of a file that is no image, nothing, for the reader of all will name it."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.size, image.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return _USUAL[::-1], "L"


def _factors(files: list[Path], folder: Path) -> tuple[tuple[Factor, ...], np.ndarray]:
    table = folder / TABLE
    if table.is_file():
        return _of_table(table, [file.relative_to(folder).as_posix() for file in files])
    subfolders = [file.parent.relative_to(folder).as_posix() for file in files]
    labels = tuple(sorted(set(subfolders)))
    if len(labels) < 2:
        return (), np.empty((len(files), 0))
    positions = [float(labels.index(name)) for name in subfolders]
    return (Factor("subfolder", "class", labels),), np.array(positions)[:, None]


def _of_table(table: Path, files: list[str]) -> tuple[tuple[Factor, ...], np.ndarray]:
    try:
        rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
        names = list(rows[0]) if rows else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read as CSV in UTF-8 ({reason(error)}).") from None
    if "file" not in names:
        raise InputError(f"{table} has no rows, or no column 'file' that names the images.")
    by_file = {row["file"]: (line, row) for line, row in enumerate(rows, 2)}
    absent = [name for name in files if name not in by_file]
    if absent:
        more = f" and {len(absent) - 1:,} more images" if len(absent) > 1 else ""
        raise InputError(f"{table} has no row for {absent[0]}{more}.")
    about, columns = [], []
    for name in names:
        if name != "file":
            factor, column = _column(table, name, [by_file[file] for file in files])
            about.append(factor)
            columns.append(column)
    return tuple(about), np.column_stack(columns) if columns else np.empty((len(files), 0))


def _column(table: Path, name: str, rows: list[tuple[int, dict]]) -> tuple[Factor, np.ndarray]:
    values = []
    for line, row in rows:
        value = row.get(name)
        if value is None or not value.strip():
            raise InputError(f"{table} has no value for {name} in line {line}.")
        values.append(value.strip())
    if not name.endswith(":class"):
        numbers = [_number(value) for value in values]
        if all(number is not None for number in numbers):
            return Factor(name, "continuous"), np.array(numbers)
    labels = tuple(sorted(set(values), key=lambda value: (_number(value) is None, _number(value) or 0, value)))
    return Factor(name.removesuffix(":class"), "class", labels), np.array([float(labels.index(v)) for v in values])


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
