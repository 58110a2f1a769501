"""Datasets: one file each, all loaded into the same in-memory `Dataset`.

>>> import vitae.data
>>> bodies = vitae.data.load("smpl", "train", source="embedded", size=3)
>>> bodies.images.shape, bodies.names
(torch.Size([3, 1, 64, 64]), ('shape', 'pose'))
"""

from pathlib import Path

from vitae.data.celeba import CelebA
from vitae.data.collection import SOURCES, SPLITS, Collection, FileCollection
from vitae.data.dataset import Dataset, Factor, Source, as_floats
from vitae.data.dsprites import DSprites
from vitae.data.folder import Folder
from vitae.data.grid import Grid
from vitae.data.mnist import MNIST, UprightDigits
from vitae.data.shapes3d import Shapes3D
from vitae.data.smpl import SMPL
from vitae.support.errors import InputError
from vitae.support.registry import Registry

DATASETS: Registry[Collection] = Registry("dataset")


def register_dataset(collection: type[Collection] | Collection) -> type[Collection] | Collection:
    """Register a dataset under its `name`; a decorator for a subclass of `Collection`.

    Raises:
        InputError: not a `Collection`, no name or title, or the name is taken.
    """
    instance = collection() if isinstance(collection, type) else collection
    if not isinstance(instance, Collection):
        raise InputError(f"a dataset must be a subclass of vitae.data.Collection, got {type(instance).__name__}.")
    for attribute in ("name", "title"):
        if not getattr(instance, attribute, ""):
            raise InputError(f"dataset {type(instance).__name__} has no {attribute}: define it as a class attribute.")
    DATASETS.add(instance.name, instance, module=type(instance).__module__)
    return collection


for _collection in (MNIST, DSprites, SMPL, CelebA, Shapes3D, Folder):
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
    """Load images with their ground-truth factors.

    Args:
        name: a name in `DATASETS`.
        split: "train" or "test". The two splits share no digit, photograph or combination of factors; two rendered
            images can still be equal, where their factors differ by less than a pixel can show.
        root: the user's data folder; default `$VITAE_DATA`.
        source: "data-root", "download" or "embedded" to use that one alone; "auto" tries the data root, then an earlier
            download, then the data bundled with the package. Only MNIST downloads without being asked to.
        size: number of images, the first of the split; None for the dataset's default.
        seed: of the split, of random factors, and of MNIST's perspectives.
        resolution: height and width in pixels; default the dataset's own.

    Raises:
        InputError: unknown name, missing or damaged files, or more images than there are.
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
    "FileCollection",
    "Grid",
    "Source",
    "UprightDigits",
    "as_floats",
    "load",
    "register_dataset",
]
