"""Datasets, one file each; every one is loaded into the same in-memory object."""

from vitae.data.base import Dataset, Source
from vitae.data.mnist import MNIST

DATASETS = {"mnist": MNIST}

__all__ = ["DATASETS", "MNIST", "Dataset", "Source"]
