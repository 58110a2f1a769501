"""Datasets, one file each; every one is loaded into the same in-memory object.

>>> import vitae.data
>>> bodies = vitae.data.load("smpl", "train", source="embedded", size=3)
>>> bodies.images.shape, bodies.names
(torch.Size([3, 1, 64, 64]), ('shape', 'pose'))
"""

from pathlib import Path

from vitae.data.base import SOURCES, SPLITS, Collection, Dataset, Factor, Source
from vitae.data.celeba import CelebA
from vitae.data.dsprites import DSprites
from vitae.data.folder import Folder
from vitae.data.grid import Grid
from vitae.data.mnist import MNIST, Digits
from vitae.data.shapes3d import Shapes3D
from vitae.data.smpl import SMPL
from vitae.support.errors import InputError
from vitae.support.registry import Registry

DATASETS: Registry[Collection] = Registry("dataset")


def register_dataset(collection: type[Collection] | Collection) -> type[Collection] | Collection:
    """Register a dataset under its `name`; a decorator for a subclass of `Collection`.

    Raises:
        InputError: the name is taken.
    """
    instance = collection() if isinstance(collection, type) else collection
    if not isinstance(instance, Collection):
        raise InputError(f"a dataset is a subclass of vitae.data.Collection, got {type(instance).__name__}.")
    DATASETS.add(instance.name, instance, module=type(instance).__module__)
    return collection


for _collection in (Digits, DSprites, SMPL, CelebA, Shapes3D, Folder):
    register_dataset(_collection)


def load(
    name: str,
    split: str = "train",
    root: str | Path | None = None,
    source: str = "auto",
    size: int | None = None,
    seed: int = 0,
    resolution: tuple[int, int] | None = None,
) -> Dataset:
    """Images, the factors behind them, and where they came from.

    Args:
        name: one of `DATASETS`.
        split: "train" or "test"; the two share no digit, photograph, combination or draw of factors. Rendered images
            can still coincide, where factors differ by less than a pixel shows.
        root: the user's data folder; default `$VITAE_DATA`.
        source: "data-root", "download" or "embedded" for that one alone. "auto" takes what is under the root, else an
            earlier download, else what comes with the package; of all but MNIST it downloads nothing unasked.
        size: how many images, the first of the split's order; None for the dataset's usual number.
        seed: of whatever is drawn: the split, the factors, MNIST's perspectives.
        resolution: height and width in pixels, where the dataset can be had at another than its usual one.

    Raises:
        InputError: an unknown name, files that are missing or damaged, more images than there are.
    """
    return DATASETS.named(name).load(split, root=root, source=source, size=size, seed=seed, resolution=resolution)


__all__ = [
    "DATASETS",
    "MNIST",
    "SOURCES",
    "SPLITS",
    "Collection",
    "Dataset",
    "Factor",
    "Grid",
    "Source",
    "load",
    "register_dataset",
]
