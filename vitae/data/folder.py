"""Your own images: a folder of them, with an optional table of factors.

`factors.csv` in the folder has a column `file`, paths relative to the folder, and a column a factor. A factor is
continuous if every value is a number, unless its name ends in `:class`; else it is a class. Without a table, images in
subfolders have one factor, the subfolder.
"""

import csv
import io
import math
import os
from pathlib import Path

import numpy as np
import torch

from vitae.data import image_files
from vitae.data.base import TESTED, Dataset, Factor, FileCollection, Request, Source, first_of, seeded_part, taken
from vitae.support.errors import InputError, reason

TABLE = "factors.csv"
_USUAL = (64, 64)
_CLASS = ":class"


class Folder(FileCollection):
    """See the module."""

    name = "folder"
    title = "images of your own"
    sought = "images"
    resolution = None
    layout = f"images ({', '.join(image_files.SUFFIXES)}), in subfolders too, and an optional {TABLE}"
    instead = ""

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
        chosen = seeded_part(len(files), max(1, len(files) // TESTED), request, "folder")
        chosen = chosen[: taken(len(chosen), request, str(folder))]
        # What is no image has no say here; reading it will name it.
        headers = [found for found in map(image_files.header, files) if found is not None]
        sizes = {size for size, _ in headers}
        channels = 1 if all(grey for _, grey in headers) else 3
        resolution = request.resolution
        if resolution is None:
            # Small images of one size are taken as they are.
            width, height = sizes.pop() if len(sizes) == 1 else _USUAL
            resolution = (height, width) if max(height, width) <= 128 and min(height, width) >= 8 else _USUAL
        images = image_files.read(
            [files[i] for i in chosen],
            folder,
            "folder",
            channels,
            resolution,
            image_files.central(*resolution),
            "centre",
        )
        source = Source(kind, f"{len(files):,} images of your own, {folder.name}")
        return Dataset(torch.from_numpy(images), factors[chosen], about, source)


def _images(folder: Path) -> list[Path]:
    """All images below a folder, also behind links; a folder that cannot be read is an error, not an absence."""
    found, seen = [], set()

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True) if folder.is_dir() else ():
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()  # a link back to where we came from
            continue
        seen.add((status.st_dev, status.st_ino))
        found += [Path(place, name) for name in files if Path(name).suffix.lower() in image_files.SUFFIXES]
    return sorted(found)


def _factors(files: list[Path], folder: Path) -> tuple[tuple[Factor, ...], np.ndarray]:
    table = folder / TABLE
    if table.is_file():
        return _of_table(table, [file.relative_to(folder).as_posix() for file in files])
    subfolders = [file.parent.relative_to(folder).as_posix() for file in files]
    labels = tuple(sorted(set(subfolders)))
    if len(labels) < 2:
        return (), np.empty((len(files), 0))
    position = {label: float(i) for i, label in enumerate(labels)}
    return (Factor("subfolder", "class", labels),), np.array([position[name] for name in subfolders])[:, None]


def _of_table(table: Path, files: list[str]) -> tuple[tuple[Factor, ...], np.ndarray]:
    names, rows = _rows(table)
    if "file" not in names:
        raise InputError(f"{table} has no column 'file' that names the images.")
    column = names.index("file")
    by_file: dict[str, tuple[int, list[str]]] = {}
    for line, row in rows:
        if row[column] in by_file:
            raise InputError(f"{table} has {row[column]} twice, in lines {by_file[row[column]][0]} and {line}.")
        by_file[row[column]] = line, row
    absent = [name for name in files if name not in by_file]
    if absent:
        raise InputError(f"{table} has no row for {first_of(absent, 'images')}.")
    about, columns = [], []
    for i, name in enumerate(names):
        if name != "file":
            cells = [(by_file[file][0], by_file[file][1][i]) for file in files]
            factor, values = _column(table, name, cells)
            about.append(factor)
            columns.append(values)
    return tuple(about), np.column_stack(columns) if columns else np.empty((len(files), 0))


def _rows(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and each row with the number of its line."""
    try:
        reader = csv.reader(io.StringIO(table.read_text(encoding="utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read as CSV in UTF-8 ({reason(error)}).") from None
    if len(lines) < 2:
        raise InputError(f"{table} has no rows: give it a line of names, 'file' among them, and a line an image.")
    (_, names), *rows = lines
    bare = [name.removesuffix(_CLASS) for name in names]
    for i, name in enumerate(bare):
        if not name or name in bare[:i]:
            raise InputError(f"{table} has {'two columns' if name else 'a column'} named '{name}': name each its own.")
    for line, row in rows:
        if len(row) != len(names):
            raise InputError(f"{table} has {len(row)} cells in line {line}, and {len(names)} columns.")
    return names, rows


def _column(table: Path, name: str, cells: list[tuple[int, str]]) -> tuple[Factor, np.ndarray]:
    for line, value in cells:
        if not value:
            raise InputError(f"{table} has no value for {name} in line {line}.")
    numbers = [_number(value) for _, value in cells]
    if not name.endswith(_CLASS) and None not in numbers:
        for (line, value), number in zip(cells, numbers, strict=True):
            if not math.isfinite(number):
                raise InputError(
                    f"{table} has {name} = {value} in line {line}: give it a number, or name the column {name}{_CLASS}."
                )
        return Factor(name, "continuous"), np.array(numbers)
    labels = sorted({value for _, value in cells}, key=_by_number_then_name)
    position = {label: float(i) for i, label in enumerate(labels)}
    return Factor(name.removesuffix(_CLASS), "class", tuple(labels)), np.array([position[value] for _, value in cells])


def _by_number_then_name(label: str) -> tuple[bool, float, str]:
    number = _number(label)
    return (True, 0.0, label) if number is None or not math.isfinite(number) else (False, number, label)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
