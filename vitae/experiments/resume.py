"""What a run already has: a record, weights, or a checkpoint to resume from."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from vitae.experiments.build import build
from vitae.experiments.configuration import Configuration, record_path, weights_path
from vitae.experiments.records import is_superseded, read_record
from vitae.experiments.run_data import Data
from vitae.models.base import GenerativeModel
from vitae.models.networks import Shape
from vitae.support.errors import DamagedError, InputError, MemoryShortError
from vitae.support.files import read_metadata, read_tensors
from vitae.support.schema import ANY, COUNT, TEXT, Values, misfit
from vitae.training.checkpoint import PROGRESS, previous_of, weights_misfit
from vitae.training.step import Run

# Settings that only evaluation uses, and a name.
_NOT_TRAINED = ("test_size", "samples", "overrides")
# Of the hash of images, in names.
_DIGITS = 6


def _trained_settings(stated: dict) -> dict:
    return {name: value for name, value in stated.items() if name not in _NOT_TRAINED}


def fingerprint(configuration: Configuration, data: Data) -> str:
    """A hash of everything that determines the weights: the settings that training uses, and the images."""
    stated = _trained_settings(configuration.as_json())
    stated["images"] = data.fingerprint
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]


def for_images(configuration: Configuration, data: Data) -> Configuration:
    """The run of these images: with their hash in its name, if the name is that of the same run of other images.

    So one more photograph in a folder, or another data folder, is a run beside the earlier one and not instead of it.
    """
    own, settings = fingerprint(configuration, data), _trained_settings(configuration.as_json())
    for there in (_record_there(configuration), _stated_in(weights_path(configuration))):
        theirs = there.get("configuration")
        if isinstance(theirs, dict) and _trained_settings(theirs) == settings:
            taken = there.get("fingerprint") != own
            return dataclasses.replace(configuration, images=data.fingerprint[:_DIGITS]) if taken else configuration
    return configuration


def _record_there(configuration: Configuration) -> dict:
    """The record of that name; empty if there is none, or one that a new run supersedes."""
    file = record_path(configuration)
    record = read_record(file) if file.exists() else {}
    return {} if not record or is_superseded(record) else record


def recorded(configuration: Configuration, data: Data) -> dict | None:
    """The record of a run, if there is one that no new run supersedes.

    Raises:
        InputError: a record of that name has other settings or other data.
    """
    record = _record_there(configuration)
    if not record:
        return None
    if record["fingerprint"] != fingerprint(configuration, data) or record["configuration"] != configuration.as_json():
        raise InputError(
            f"{record_path(configuration)} is the record of another run with this name: "
            f"{_difference(record, configuration, data)}. Give the same settings and data to read it, or --restart to "
            f"replace it."
        )
    return record


def _difference(record: dict, configuration: Configuration, data: Data) -> str:
    """The first setting in which a record differs, or that its data does."""
    theirs, ours = record["configuration"], configuration.as_json()
    for name in sorted(ours):
        if theirs.get(name) != ours[name]:
            return f"its {name} is {theirs.get(name)}, not {ours[name]}"
    return other_images(record, data)


def other_images(record: dict, data: Data) -> str:
    """How a record's images differ from others, in words: their number, where they are from, or else their hash."""
    theirs, ours = record["data"], data.train
    was, now = f"{theirs['train']:,} from {theirs['location']}", f"{len(ours):,} from {ours.source.location}"
    if was == now:
        was, now = f"{was}, hash {theirs.get('images', 'unknown')}", f"{now}, hash {data.fingerprint}"
    return f"it was trained on other images ({was}; now {now})"


def is_trained(configuration: Configuration, data: Data) -> bool:
    """Whether the weights of exactly this run exist."""
    return _fingerprint_in(weights_path(configuration)) == fingerprint(configuration, data)


def _fingerprint_in(weights: Path) -> str | None:
    return _stated_in(weights).get("fingerprint")


def _stated_in(weights: Path) -> dict:
    """What is stated beside weights; empty if they are missing or damaged."""
    try:
        return read_metadata(weights) if weights.exists() else {}
    except DamagedError:
        return {}


def checkpoint_path(configurations: Sequence[Configuration]) -> Path:
    """Where a training of these runs keeps its checkpoint."""
    first = weights_path(configurations[0])
    if len(configurations) == 1:
        return first.with_suffix(".checkpoint")
    names = "\n".join(sorted(configuration.run for configuration in configurations))
    digest = hashlib.blake2b(names.encode(), digest_size=4).hexdigest()
    return first.with_name(f"{configurations[0].model}-{len(configurations)}-runs-{digest}.checkpoint")


def checkpoint_holding(runs: Sequence[Run], folder: Path) -> Path | None:
    """A checkpoint that holds these runs and others: of a batch that was interrupted and is now asked for in part."""
    for file in sorted(folder.glob("*.checkpoint*")):
        if {(run.name, run.fingerprint) for run in runs} <= set(_runs_in(file)):
            return file
    return None


def _runs_in(checkpoint: Path) -> list[tuple[str, str]]:
    """Names and fingerprints of the runs in a checkpoint, which may be of others; none if it cannot be read."""
    try:
        stated = read_metadata(checkpoint)
    except MemoryShortError:
        raise
    except (FileNotFoundError, InputError):
        return []
    if misfit(stated, Values({"fingerprint": TEXT})):
        return []
    return [(name, own["fingerprint"]) for name, own in stated.items()]


def remove_finished_checkpoints(folder: Path) -> None:
    """Remove checkpoints of which every run has its weights."""
    for file in folder.glob("*.checkpoint*"):
        runs = _runs_in(file)
        if runs and all(_fingerprint_in(folder / f"{name}.safetensors") == own for name, own in runs):
            file.unlink(missing_ok=True)


def forget(configurations: Sequence[Configuration]) -> None:
    """Remove records, weights and checkpoints of runs."""
    folder, names = weights_path(configurations[0]).parent, {configuration.run for configuration in configurations}
    # Also checkpoints of other batches that hold these runs: an interrupted restart would resume from them.
    checkpoints = [
        file for file in folder.glob("*.checkpoint*") if not names.isdisjoint(name for name, _ in _runs_in(file))
    ]
    checkpoint = checkpoint_path(configurations)
    files = [path(configuration) for configuration in configurations for path in (record_path, weights_path)]
    for file in (*files, *checkpoints, checkpoint, previous_of(checkpoint)):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()


def load_model(configuration: Configuration, data: Data | Shape) -> GenerativeModel:
    """A finished run's trained model, on the CPU, in evaluation mode.

    Args:
        data: the run's data, of which it was trained; or only channels, height and width of the images, for a model
            whatever it was trained on.

    Raises:
        InputError: the run was not trained yet, or its weights belong to other settings or other data.
    """
    shape = data
    if isinstance(data, Data):
        configuration, shape = for_images(configuration, data), data.train.shape
    path = weights_path(configuration)
    tensors, stated = read_weights(path)
    if isinstance(data, Data) and stated["fingerprint"] != fingerprint(configuration, data):
        raise InputError(f"{path} holds weights of other settings or other images: train on these images first.")
    if _trained_settings(stated["configuration"]) != _trained_settings(configuration.as_json()):
        raise InputError(f"{path} holds the weights of another run: train again with --restart.")
    model = build(configuration, shape)
    # Before loading, which would cast another dtype, and before scoring, which would make null of every number.
    if wrong := weights_misfit(tensors, model.state_dict()):
        raise InputError(f"{path} {wrong}: train again with --restart.")
    model.load_state_dict(tensors)
    return model.eval()


# What is stated beside the weights of a finished training; `configuration_of` looks into the configuration.
_STATED = {"fingerprint": TEXT, "configuration": Values(ANY), "progress": PROGRESS, "together": COUNT}


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Weights and what is stated beside them; raises `InputError` if they are missing or damaged."""
    try:
        tensors, stated = read_tensors(path)
    except FileNotFoundError:
        raise InputError(f"there is no {path}: train that run first.") from None
    except DamagedError as error:
        raise InputError(f"{error}: train again with --restart.") from None
    if wrong := misfit(stated, _STATED):
        raise InputError(f"{path} {wrong}: train again with --restart.")
    return tensors, stated
