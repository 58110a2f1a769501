"""The in-memory object that every dataset becomes, and the one order in which its sources are tried."""

import hashlib
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.support import paths
from vitae.support.errors import InputError, require_known, require_number, system_errors_as_input_errors
from vitae.support.randomness import generator

SOURCES = ("auto", "data-root", "download", "embedded")
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Source:
    """Where images came from: `kind` is data-root, download or embedded; the others say it to a person.

    Attributes:
        location: which images these are.
        licence: under what terms they may be used.
        citation: whom to cite for them.
    """

    kind: str
    location: str
    licence: str = ""
    citation: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.location}"


@dataclass(frozen=True)
class Factor:
    """One number behind an image.

    Attributes:
        kind: "class", and a dataset's column holds positions in `values`; or "continuous", and it holds the number.
        values: the classes' labels; or the grid that a continuous factor is taken from, None where there is no grid.
        unit: of a continuous factor, or in words what its small and its large values mean.
        span: the smallest and the largest value of a continuous factor without a grid, where they are known.
    """

    name: str
    kind: str
    values: tuple | None = None
    unit: str = ""
    span: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.kind == "class":
            few = "; ".join(map(str, self.values)) if len(self.values) <= _SHOWN else f"{len(self.values)} classes"
            return f"{self.name} ({few})"
        on = f"{len(self.values)} values" if self.values else self._range() or "continuous"
        return f"{self.name} ({on}{', ' + self.unit if self.unit else ''})"

    def _range(self) -> str:
        return f"{self.span[0]:g} to {self.span[1]:g}" if self.span else ""


@dataclass(frozen=True)
class Dataset:
    """Images and the factors that made them.

    Attributes:
        images: uint8, `n x channels x height x width`, on any device.
        factors: float64, `n x factors`; see `Factor` for what a column holds.
        about: what each column of `factors` is.
        source: where the images came from, their licence and citation.
    """

    images: Tensor
    factors: np.ndarray
    about: tuple[Factor, ...]
    source: Source

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """channels, height, width."""
        return tuple(self.images.shape[1:])

    def fingerprint(self) -> str:
        """Names the images and factors themselves: equal for equal ones, wherever they came from."""
        content = hashlib.blake2b(digest_size=8)
        for block in self.images.split(_BLOCK):
            content.update(block.cpu().numpy().tobytes())
        content.update(self.factors.tobytes())
        return content.hexdigest()

    def rows(self, rows: np.ndarray | slice) -> "Dataset":
        """A part of the images."""
        index = torch.from_numpy(np.arange(len(self))[rows]).to(self.images.device)
        return replace(self, images=self.images[index], factors=self.factors[rows])

    def to(self, device: torch.device | str) -> "Dataset":
        """The same with its images on a device."""
        return replace(self, images=self.images.to(device))

    def observe(self, seed: int, purpose: str, *position: int) -> "Dataset":
        """The dataset as a model sees it: itself, since nothing is added to its images; see `MNIST.observe`."""
        return self

    def epoch(self, seed: int, number: int) -> "Shuffled":
        """The images of one epoch of training, in an order drawn from the seed."""
        return Shuffled(self.images, torch.randperm(len(self), generator=generator("cpu", seed, "order", number)))

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each column of `factors`."""
        return tuple(factor.name for factor in self.about)

    @property
    def classes(self) -> tuple[bool, ...]:
        """For each column of `factors`, whether it holds classes."""
        return tuple(factor.kind == "class" for factor in self.about)

    @property
    def licence(self) -> str:
        """Under what terms the images may be used."""
        return self.source.licence

    @property
    def citation(self) -> str:
        """Whom to cite for the images."""
        return self.source.citation

    def factor_table(self) -> str:
        """The factors as a table in Markdown: name, kind, values or unit."""
        rows = ["| factor | kind | values |", "|---|---|---|"]
        for factor in self.about:
            grid = factor.values or ()
            shown = "; ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in grid[:_SHOWN])
            if len(grid) > _SHOWN:
                last = f"{grid[-1]:.3g}" if isinstance(grid[-1], float) else grid[-1]
                shown = f"{len(grid)}: {shown}; ...; {last}"
            rows.append(
                f"| {factor.name} | {factor.kind} | {'; '.join(filter(None, [shown, factor._range(), factor.unit]))} |"
            )
        return "\n".join(rows)

    def factor(self, name: str) -> np.ndarray:
        """One column of the factors, by name.

        Raises:
            InputError: there is no factor of that name.
        """
        return self.factors[:, self.names.index(require_known("factor", name, self.names))]


@dataclass(frozen=True)
class Shuffled:
    """Images in another order, of which only those asked for are copied: all of dSprites would take 3 GB once more."""

    images: Tensor
    order: Tensor

    def __getitem__(self, rows: slice) -> Tensor:
        return self.images[self.order[rows].to(self.images.device)]


@dataclass(frozen=True)
class Request:
    """What is asked of a dataset: which part, how many images (None for its usual number), how large, which seed."""

    split: str
    size: int | None
    seed: int
    resolution: tuple[int, int]


class Collection(ABC):
    """One dataset: what it is, where it may come from, and how it becomes a `Dataset`.

    Attributes:
        name: as the registry and the command line know it.
        title: as people know it.
        resolution: height and width of its images, if none are asked for; None where that depends on the files.
        layout: what it looks for under a data root, in words.
        instead: what is embedded, in words; empty if nothing is.
        downloadable: how much a download fetches, in words; empty if there is none.
    """

    name: str
    title: str
    resolution: tuple[int, int] | None
    layout: str
    instead: str
    downloadable: str = ""
    # What is missed where nothing of it lies, if that is not its title.
    sought: str = ""

    @abstractmethod
    def load(
        self,
        split: str = "train",
        *,
        root: str | Path | None = None,
        source: str = "auto",
        size: int | None = None,
        seed: int = 0,
        resolution: tuple[int, int] | None = None,
    ) -> Dataset:
        """Images, factors and where they came from; see `vitae.data.load`, which calls this by name."""

    def for_training(
        self,
        split: str = "train",
        *,
        root: str | Path | None = None,
        source: str = "auto",
        size: int | None = None,
        resolution: tuple[int, int] | None = None,
    ):
        """The images of a split as training wants them: `load`, unless every epoch has new images, as MNIST's has."""
        return self.load(split, root=root, source=source, size=size, resolution=resolution)

    @abstractmethod
    def held(self, folder: Path) -> str | None:
        """What of this dataset lies in a folder, in words; None if nothing."""

    @system_errors_as_input_errors
    def whereabouts(self, root: str | Path | None = None) -> list[str]:
        """What is present where, a line a source, in the order in which `auto` tries them; downloads nothing."""
        folder, downloads = paths.data_root(root), paths.downloads()
        if folder is None:
            lines = ["data-root: none named (--data-root or $VITAE_DATA)"]
        else:
            lines = [f"data-root: {self.held(folder) or f'nothing under {folder} ({self.layout})'}"]
        if self.downloadable:
            lines.append(
                f"download: {self.held(downloads) or f'not yet; --source download fetches {self.downloadable}'}"
            )
        return [*lines, f"embedded: {self.instead or 'nothing'}"]

    def in_root(self, root: str | Path | None, source: str) -> Path | None:
        """The data root, if this source may be read from it and it holds the dataset; None if another is to be tried.

        Raises:
            InputError: it does not, and the user insisted on this root or this source; or it does not exist.
        """
        folder = paths.data_root(root)
        if source == "data-root" and folder is None:
            raise InputError("source data-root needs a folder: name it with --data-root or $VITAE_DATA.")
        if source not in ("auto", "data-root") or folder is None:
            return None
        if self.held(folder) is not None:
            return folder
        if not folder.exists():
            raise InputError(f"there is no file or folder {folder}: name another with --data-root or $VITAE_DATA.")
        title = self.sought or self.title
        if root is not None or source == "data-root":
            known = {"embedded": self.instead, "download": self.downloadable}
            others = [kind for kind, what in known.items() if what]
            instead = f", or choose --source {' or '.join(others)}" if others else ""
            raise InputError(
                f"no {title} under {folder}: looked for {self.layout}. Put the files there, or name another folder "
                f"with --data-root or $VITAE_DATA{instead}."
            )
        print(f"there is no {title} under {folder} ($VITAE_DATA): trying other sources.", file=sys.stderr)
        return None

    def traversals(self, steps: int, resolution: tuple[int, int] | None = None) -> list[tuple[str, Tensor]]:
        """Rows in each of which one factor of the embedded images moves and the others stay: (name, uint8 images).

        Raises:
            InputError: this dataset has no images of our own making.
        """
        raise InputError(f"{self.title} is not rendered by vitae, so its factors cannot be moved one at a time.")

    def checked_resolution(self, resolution: tuple[int, int] | None) -> tuple[int, int] | None:
        """Height and width that were asked for, or the usual ones.

        Raises:
            InputError: they are no pair of reasonable numbers.
        """
        if resolution is None:
            return self.resolution
        try:
            height, width = resolution
        except (TypeError, ValueError):
            raise InputError(f"resolution must be a pair, height and width, got {resolution!r}.") from None
        for side in (height, width):
            require_number("resolution", side, 8, whole=True)
            if side > _LARGEST_SIDE:
                raise InputError(f"resolution must be at most {_LARGEST_SIDE:,} pixels a side, got {side:,}.")
        return int(height), int(width)

    def _request(self, split, size, seed, resolution) -> Request:
        require_known("split", split, SPLITS)
        require_number("seed", seed, 0, whole=True)
        if size is not None:
            require_number("size", size, 1, whole=True)
        size = None if size is None else int(size)
        return Request(split, size, int(seed), self.checked_resolution(resolution))


class FileCollection(Collection):
    """A collection that is read from files, and has something else to offer where there are none.

    A subclass says what it finds in a folder (`held`), how it reads that (`read`), and what comes with the package
    instead (`embedded`); it may know a download (`fetch`).
    """

    @system_errors_as_input_errors
    def load(self, split="train", *, root=None, source="auto", size=None, seed=0, resolution=None) -> Dataset:
        """See `Collection.load`."""
        request = self._request(split, size, seed, resolution)
        folder, kind = self.find(root, source)
        return self.embedded(request) if folder is None else self.read(folder, kind, request)

    def find(self, root: str | Path | None = None, source: str = "auto") -> tuple[Path | None, str]:
        """The folder to read from, None for what is embedded, and the source's kind.

        A root that is named and does not hold the dataset is an error. One that `$VITAE_DATA` names for all datasets
        need not hold this one: that is said, and the next source is tried. Downloads happen only when asked for.

        Raises:
            InputError: an unknown source, a root that does not hold the dataset, a download that fails.
        """
        require_known("source", source, SOURCES)
        if (folder := self.in_root(root, source)) is not None:
            return folder, "data-root"
        downloads = paths.downloads()
        if source == "download" and self.held(downloads) is None:
            self.fetch(downloads)
        if source == "download" or (source == "auto" and self.held(downloads) is not None):
            return downloads, "download"
        return None, "embedded"

    @abstractmethod
    def read(self, folder: Path, kind: str, request: Request) -> Dataset:
        """The dataset from its files."""

    @abstractmethod
    def embedded(self, request: Request) -> Dataset:
        """What comes with the package, named as what it is."""

    def fetch(self, folder: Path) -> None:
        """Download the files into a folder.

        Raises:
            InputError: that is not possible.
        """
        raise InputError(f"{self.title} cannot be downloaded by vitae: name a folder with {self.layout}.")


_LARGEST_SIDE = 1024
_BLOCK = 10_000  # images read at a time
TESTED = 10  # where nobody has split a dataset, one image in so many is for testing
_SHOWN = 6  # of a factor's values


class TooFewError(InputError):
    """Fewer images are there than were asked for; `available` says how many."""

    def __init__(self, message: str, available: int):
        super().__init__(message)
        self.available = available


def taken(available: int, request: Request, title: str, usual: int | None = None) -> int:
    """How many images a request takes of those available.

    Raises:
        TooFewError: it asks for more.
    """
    if request.size is None:
        return min(usual or available, available)
    if request.size > available:
        asked = f"{request.size:,} {request.split} images of {title} were asked for"
        raise TooFewError(f"{asked}, and there are {available:,}.", available)
    return request.size


def seeded_order(count: int, seed: int, name: str) -> np.ndarray:
    """The numbers of all images of a dataset that nobody has split, shuffled by the seed."""
    return torch.randperm(count, generator=generator("cpu", seed, f"{name} split")).numpy()


def seeded_part(count: int, tested: int, request: Request, name: str) -> np.ndarray:
    """Those of the part that is asked for: the first `tested` of the order are for testing."""
    order = seeded_order(count, request.seed, name)
    return order[tested:] if request.split == "train" else order[:tested]


def first_of(names: list[str], what: str) -> str:
    """The first of some names, and how many more there are."""
    return names[0] + (f" and {len(names) - 1:,} more {what}" if len(names) > 1 else "")


def as_floats(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1].

    Raises:
        InputError: the images are not uint8, and dividing them by 255 would be a silent mistake.
    """
    if images.dtype != torch.uint8:
        raise InputError(f"images must be uint8 with values from 0 to 255, got {images.dtype}.")
    return images.to(torch.float32).div_(255)
