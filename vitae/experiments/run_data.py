"""The images that a run trains on and those that it is evaluated on."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from vitae.data import DATASETS, Dataset, Factor
from vitae.experiments.configuration import Configuration
from vitae.experiments.declaration import EXPERIMENTS
from vitae.support.errors import InputError, printable

# What a record says of the images that it was evaluated on, when those are a part of the training images.
VALIDATION = "held-out training images"


@dataclass
class Data:
    """A run's training images and those it is evaluated on, on its device."""

    train: Dataset
    train_observed: Dataset
    held_out: Dataset
    evaluated_on: str

    @cached_property
    def fingerprint(self) -> str:
        """Names the training images; read through once, however many runs ask."""
        return self.train.fingerprint()


# The observed training images on which the train ELBO and the predictors of the scores are computed.
_OBSERVED_TRAINING_IMAGES = 10_000


# A single image has no spread.
_FEWEST_HELD_OUT = 2


def unseen_classes(train: Dataset, held_out: Dataset) -> str:
    """The classes of class factors that held-out images have and no training image has, in words; "" for none."""
    found = []
    for j, factor in enumerate(train.about):
        if factor.kind == "class":
            unseen = sorted(set(held_out.factors[:, j]) - set(train.factors[:, j]))
            found += [f"{factor.name} {_label(factor, int(position))}" for position in unseen]
    more = f" or {len(found) - _MOST_NAMED:,} more" if len(found) > _MOST_NAMED else ""
    return printable(", ".join(found[:_MOST_NAMED]) + more)


_MOST_NAMED = 5


def _label(factor: Factor, position: int):
    return factor.values[position] if factor.values and 0 <= position < len(factor.values) else position


# Perspectives of the images that are evaluated: one draw for all runs, so that all rows see the same pictures.
_PERSPECTIVE_SEED = 0


def load_data(
    configuration: Configuration,
    root: str | Path | None = None,
    source: str = "auto",
    device: torch.device | str = "cpu",
) -> Data:
    """The configuration's data; training images for evaluation get one perspective each, as test images do."""
    experiment = EXPERIMENTS[configuration.dataset]
    collection = DATASETS.named(experiment.dataset)

    def load(split: str, size: int | None) -> Dataset:
        return collection.for_training(split, root=root, source=source, size=size, resolution=experiment.resolution).to(
            device
        )

    train = load("train", configuration.train_size)
    if configuration.validation:
        kept = len(train) - max(1, len(train) // 10)
        held_out, train = train.rows(slice(kept, None)), train.rows(slice(kept))
        evaluated_on = VALIDATION
    else:
        held_out = load("test", configuration.test_size)
        evaluated_on = "test"
        if held_out.source != train.source:
            raise InputError(
                f"training images are from {train.source} and test images from {held_out.source}: choose one "
                f"with --source."
            )
    if len(held_out) < _FEWEST_HELD_OUT:
        raise InputError(
            f"{len(held_out)} image to evaluate on is too few for a standard error or an R²: give more images, so that "
            f"{_FEWEST_HELD_OUT} or more are kept for it, one in ten."
        )
    if unseen := unseen_classes(train, held_out):
        print(
            f"no training image has {unseen}, but images to evaluate on have: nothing can be learnt about them.",
            file=sys.stderr,
        )
    sample = train.rows(slice(_OBSERVED_TRAINING_IMAGES))
    return Data(
        train,
        sample.observe(_PERSPECTIVE_SEED, "train perspective"),
        held_out.observe(_PERSPECTIVE_SEED, "test perspective"),
        evaluated_on,
    )
