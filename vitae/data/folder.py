"""The user's own images: a folder, with an optional table of factors.

`factors.csv` in the folder has a column `file` with paths relative to the folder, and one column per factor. A factor
is continuous if all its values are numbers and its name does not end in `:class`; otherwise it is a class. Without a
table, images in subfolders have one factor, the subfolder.
"""

import csv
import io
import math
import os
from pathlib import Path

import numpy as np
import torch

from vitae.data import image_files
from vitae.data.collection import (
    IMAGES_PER_TEST_IMAGE,
    FileCollection,
    Request,
    first_and_count,
    image_count,
    split_indices,
)
from vitae.data.dataset import Dataset, Factor, Source
from vitae.support.errors import CONTROL, InputError, printable, reason
from vitae.support.files import read_text

TABLE = "factors.csv"
_DEFAULT_RESOLUTION = (64, 64)
# Images of one size keep it, if both sides are within this range (pixels).
_KEPT_SIDES = (8, 128)
_CLASS_SUFFIX = ":class"


class Folder(FileCollection):
    """A folder of images; in colour if any of them is, at their own size if they are small and of one size."""

    name = "folder"
    title = "your own images"
    files_title = "images"
    layout = f"images ({', '.join(image_files.SUFFIXES)}), also in subfolders, and optionally {TABLE}"

    def find(self, root: str | Path | None = None, source: str = "auto") -> tuple[Path | None, str]:
        """The folder, which has to be named: `$VITAE_DATA` holds other datasets, whose images would be mixed.

        Raises:
            InputError: no folder is named, or it has no images.
        """
        if root is None:
            raise InputError(
                "dataset folder reads a folder of your own images: name it with --data-root, or root=... in Python."
            )
        return super().find(root, source)

    def availability(self, root: str | Path | None = None) -> list[str]:
        """What the named folder holds, or what it should hold."""
        if root is None:
            return [f"data-root: name a folder with {self.layout}"]
        return super().availability(root)

    def describe_files(self, folder: Path) -> str | None:
        """How many images are in `folder` and its subfolders."""
        count = len(_find_images(folder))
        return f"{count:,} images in {folder}" if count else None

    def embedded(self, request: Request) -> Dataset:
        """There are no bundled images.

        Raises:
            InputError: always.
        """
        raise InputError("dataset folder has no embedded images and no download: choose --source data-root.")

    def read(self, folder: Path, kind: str, request: Request) -> Dataset:
        """The images of a seeded split, centrally cropped and resized, with their factors."""
        files = _find_images(folder)
        if len(files) < 2:
            raise InputError(f"{folder} has one image, but training and testing need at least one each: add more.")
        about, factors = _read_factors(files, folder)
        test_count = max(1, len(files) // IMAGES_PER_TEST_IMAGE)
        chosen = split_indices(len(files), test_count, request, "folder")
        chosen = chosen[: image_count(len(chosen), request, str(folder))]
        # Files that are not images have no header; reading them below reports them.
        headers = [header for header in map(image_files.read_header, files) if header is not None]
        sizes = {size for size, _ in headers}
        channels = 1 if all(grey for _, grey in headers) else 3
        resolution = request.resolution
        if resolution is None:
            width, height = sizes.pop() if len(sizes) == 1 else _DEFAULT_RESOLUTION
            keeps_size = min(height, width) >= _KEPT_SIDES[0] and max(height, width) <= _KEPT_SIDES[1]
            resolution = (height, width) if keeps_size else _DEFAULT_RESOLUTION
        images = image_files.read(
            [files[i] for i in chosen],
            folder,
            "folder",
            channels,
            resolution,
            image_files.central_crop(*resolution),
            "centre",
        )
        source = Source(kind, f"{len(files):,} images of your own, {printable(folder.name)}")
        return Dataset(torch.from_numpy(images), factors[chosen], about, source)


def _find_images(folder: Path) -> list[Path]:
    """All image files below a folder, following links; raises OSError for a folder that cannot be read."""
    images, visited = [], set()

    def raise_error(error: OSError) -> None:
        raise error

    for parent, subfolders, files in os.walk(folder, onerror=raise_error, followlinks=True) if folder.is_dir() else ():
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()  # a link back to a parent folder
            continue
        visited.add((status.st_dev, status.st_ino))
        images += [Path(parent, name) for name in files if Path(name).suffix.lower() in image_files.SUFFIXES]
    return sorted(images)


def _read_factors(files: list[Path], folder: Path) -> tuple[tuple[Factor, ...], np.ndarray]:
    """The factors and their values, `n x factors`, from the table or else from the subfolders."""
    table = folder / TABLE
    if table.exists():
        return _factors_from_table(table, [file.relative_to(folder).as_posix() for file in files])
    # Labels are printed, and stored as UTF-8.
    subfolders = [printable(file.parent.relative_to(folder).as_posix()) for file in files]
    labels = tuple(sorted(set(subfolders)))
    if len(labels) < 2:
        return (), np.empty((len(files), 0))
    index = {label: float(i) for i, label in enumerate(labels)}
    return (Factor("subfolder", "class", labels),), np.array([index[name] for name in subfolders])[:, None]


def _factors_from_table(table: Path, files: list[str]) -> tuple[tuple[Factor, ...], np.ndarray]:
    names, rows = _read_rows(table)
    if "file" not in names:
        raise InputError(f"{table} has no column 'file': add one with the paths of the images.")
    column = names.index("file")
    by_file: dict[str, tuple[int, list[str]]] = {}
    for line, row in rows:
        if row[column] in by_file:
            raise InputError(
                f"{table} lists {row[column]} twice, in lines {by_file[row[column]][0]} and {line}: remove one."
            )
        by_file[row[column]] = line, row
    missing = [name for name in files if name not in by_file]
    if missing:
        raise InputError(f"{table} has no row for {first_and_count(missing, 'images')}: add it.")
    about, columns = [], []
    for i, name in enumerate(names):
        if name != "file":
            cells = [(by_file[file][0], by_file[file][1][i]) for file in files]
            factor, values = _parse_column(table, name, cells)
            about.append(factor)
            columns.append(values)
    return tuple(about), np.column_stack(columns) if columns else np.empty((len(files), 0))


def _read_rows(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The column names, and each row with its line number."""
    try:
        reader = csv.reader(io.StringIO(read_text(table), newline=""), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read as CSV in UTF-8 ({reason(error)}).") from None
    if len(lines) < 2:
        raise InputError(
            f"{table} is empty: it needs a line of column names, one of them 'file', and one line per image."
        )
    for line, row in lines:
        if unprintable := next((cell for cell in row if CONTROL.search(cell)), None):
            raise InputError(
                f"{table} has control characters in line {line} ({printable(unprintable[:40])}): remove them."
            )
    (_, names), *rows = lines
    factor_names = [name.removesuffix(_CLASS_SUFFIX) for name in names]
    for i, name in enumerate(factor_names):
        if not name:
            raise InputError(f"{table} has a column without a name: name it.")
        if name in factor_names[:i]:
            raise InputError(f"{table} has two columns named '{name}': rename one.")
    for line, row in rows:
        if len(row) != len(names):
            raise InputError(f"{table} has {len(row)} cells in line {line}, but {len(names)} columns.")
    return names, rows


def _parse_column(table: Path, name: str, cells: list[tuple[int, str]]) -> tuple[Factor, np.ndarray]:
    for line, value in cells:
        if not value:
            raise InputError(f"{table} has no value for {name} in line {line}: add one.")
    numbers = [_parse_number(value) for _, value in cells]
    if not name.endswith(_CLASS_SUFFIX) and None not in numbers:
        for (line, value), number in zip(cells, numbers, strict=True):
            if not math.isfinite(number):
                raise InputError(
                    f"{table} has {name} = {value} in line {line}: use a finite number, or rename the column to "
                    f"{name}{_CLASS_SUFFIX}."
                )
        return Factor(name, "continuous"), np.array(numbers)
    labels = tuple(sorted({value for _, value in cells}, key=_numbers_first))
    index = {label: float(i) for i, label in enumerate(labels)}
    factor = Factor(name.removesuffix(_CLASS_SUFFIX), "class", labels)
    return factor, np.array([index[value] for _, value in cells])


def _numbers_first(label: str) -> tuple[bool, float, str]:
    """Sorting key: numbers by value, then other labels by name."""
    number = _parse_number(label)
    return (True, 0.0, label) if number is None or not math.isfinite(number) else (False, number, label)


def _parse_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
