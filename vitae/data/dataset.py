"""The in-memory form of every dataset: images, ground-truth factors, and where they came from."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vitae.support.errors import InputError, require_known
from vitae.support.markup import markdown_table
from vitae.support.randomness import generator

_HASH_BLOCK = 10_000  # images copied to the CPU at a time
_MAX_SHOWN_VALUES = 6  # of a factor, in tables and summaries


@dataclass(frozen=True)
class Source:
    """Where images came from.

    Attributes:
        kind: "data-root", "download" or "embedded".
        location: which images these are, for a reader.
        licence: the terms of use.
        citation: the reference to cite.
    """

    kind: str
    location: str
    licence: str = ""
    citation: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.location}"


@dataclass(frozen=True)
class Factor:
    """A ground-truth factor: one column of `Dataset.factors`.

    Attributes:
        kind: "class" (the column holds indices into `values`) or "continuous" (the column holds the value itself).
        values: the labels of the classes; for a continuous factor the grid of its values, or None without a grid.
        unit: the unit of a continuous factor, or what its small and large values mean.
        span: smallest and largest value of a continuous factor without a grid, where known.
        role: "appearance" if the paper's model should find it in what an image shows, "perspective" if in how it is
            seen, "" if that is not said.
    """

    name: str
    kind: str
    values: tuple | None = None
    unit: str = ""
    span: tuple[float, float] | None = None
    role: str = ""

    def __str__(self) -> str:
        if self.kind == "class":
            few = len(self.values) <= _MAX_SHOWN_VALUES
            labels = "; ".join(map(str, self.values)) if few else f"{len(self.values)} classes"
            return f"{self.name} ({labels})"
        domain = f"{len(self.values)} values" if self.values else self._range() or "continuous"
        return f"{self.name} ({domain}{', ' + self.unit if self.unit else ''})"

    def _range(self) -> str:
        return f"{self.span[0]:g} to {self.span[1]:g}" if self.span else ""


@dataclass(frozen=True)
class Dataset:
    """Images with their ground-truth factors.

    Attributes:
        images: uint8, `n x channels x height x width`, on any device.
        factors: float64, `n x factors`; `Factor` says how to read a column.
        about: the description of each column of `factors`.
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
        """Channels, height and width of an image."""
        return tuple(self.images.shape[1:])

    def fingerprint(self) -> str:
        """Hash of the images and factors, whatever their source; 16 hexadecimal digits."""
        content = hashlib.blake2b(digest_size=8)
        for block in self.images.split(_HASH_BLOCK):
            content.update(block.cpu().numpy().tobytes())
        content.update(self.factors.tobytes())
        return content.hexdigest()

    def rows(self, rows: np.ndarray | slice) -> "Dataset":
        """The subset of images at these rows."""
        index = torch.from_numpy(np.arange(len(self))[rows]).to(self.images.device)
        return replace(self, images=self.images[index], factors=self.factors[rows])

    def to(self, device: torch.device | str) -> "Dataset":
        """The same dataset with its images on `device`."""
        return replace(self, images=self.images.to(device))

    def observe(self, seed: int, purpose: str, *position: int) -> "Dataset":
        """The images as a model sees them in evaluation: unchanged, unless the dataset augments its images.

        Args:
            seed, purpose, position: name the random stream of the augmentation; see `UprightDigits.observe`.
        """
        return self

    def epoch(self, seed: int, number: int) -> "Tensor | Shuffled":
        """The training images of one epoch, uint8, in an order drawn from the seed; supports slices."""
        return Shuffled(self.images, torch.randperm(len(self), generator=generator("cpu", seed, "order", number)))

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each factor."""
        return tuple(factor.name for factor in self.about)

    @property
    def classes(self) -> tuple[bool, ...]:
        """For each factor, whether it is a class."""
        return tuple(factor.kind == "class" for factor in self.about)

    @property
    def licence(self) -> str:
        """The terms of use of the images."""
        return self.source.licence

    @property
    def citation(self) -> str:
        """The reference to cite for the images."""
        return self.source.citation

    def factor_table(self) -> str:
        """The factors as a Markdown table: name, kind, values or unit."""
        rows = [("factor", "kind", "values")]
        for factor in self.about:
            grid = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in factor.values or ()]
            values = "; ".join(grid)
            if len(grid) > _MAX_SHOWN_VALUES:
                values = f"{len(grid)}: {'; '.join(grid[:_MAX_SHOWN_VALUES])}; ...; {grid[-1]}"
            rows.append((factor.name, factor.kind, "; ".join(filter(None, [values, factor._range(), factor.unit]))))
        return markdown_table(rows)

    def factor(self, name: str) -> np.ndarray:
        """One column of `factors`, by name; float64, `n`.

        Raises:
            InputError: unknown factor.
        """
        return self.factors[:, self.names.index(require_known("factor", name, self.names))]


@dataclass(frozen=True)
class Shuffled:
    """A permuted view of images that copies only the requested rows: a shuffled copy of dSprites would take 3 GB."""

    images: Tensor
    order: Tensor

    def __getitem__(self, rows: slice) -> Tensor:
        return self.images[self.order[rows].to(self.images.device)]


def as_floats(images: Tensor) -> Tensor:
    """Convert uint8 images to float32 in [0, 1].

    Raises:
        InputError: the images are not uint8, so dividing them by 255 would be wrong.
    """
    if images.dtype != torch.uint8:
        raise InputError(f"images must be uint8 with values from 0 to 255, got {images.dtype}.")
    return images.to(torch.float32).div_(255)
