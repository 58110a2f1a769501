"""The in-memory object that every dataset becomes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitae.errors import InputError


@dataclass(frozen=True)
class Source:
    """Where images came from: `kind` is data-root, download or embedded; `location` says it to a person."""

    kind: str
    location: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.location}"


@dataclass(frozen=True)
class Dataset:
    """Images and the factors that made them.

    Attributes:
        images: uint8, `n x channels x height x width`, on any device.
        factors: float64, `n x factors`.
        names: the name of each column of `factors`.
        classes: for each column, whether its values are classes (a digit) or continuous (an angle).
        source: where the images came from.
    """

    images: Tensor
    factors: np.ndarray
    names: tuple[str, ...]
    classes: tuple[bool, ...]
    source: Source

    def __len__(self) -> int:
        return len(self.images)

    def factor(self, name: str) -> np.ndarray:
        """One column of the factors, by name."""
        return self.factors[:, self.names.index(name)]


def as_floats(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1].

    Raises:
        InputError: the images are not uint8, and dividing them by 255 would be a silent mistake.
    """
    if images.dtype != torch.uint8:
        raise InputError(f"images must be uint8 with values from 0 to 255, got {images.dtype}.")
    return images.to(torch.float32) / 255


def missing(wanted: str, root: Path, looked_for: str) -> str:
    """The sentence for a data root that does not hold what it was named for."""
    return (
        f"no {wanted} under {root}: looked for {looked_for}. Put the files there, name another folder with "
        f"--data-root or $VITAE_DATA, or choose --source embedded or download."
    )
