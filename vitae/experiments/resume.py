"""What a run already has: a record, weights, or a checkpoint to resume from."""

import contextlib
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


def _trained_settings(stated: dict) -> dict:
    return {name: value for name, value in stated.items() if name not in _NOT_TRAINED}


def fingerprint(configuration: Configuration, data: Data) -> str:
    """A hash of everything that determines the weights: the settings that training uses, and the images."""
    stated = _trained_settings(configuration.as_json())
    stated["images"] = data.fingerprint
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]


def recorded(configuration: Configuration, data: Data) -> dict | None:
    """The record of a run, if there is one that no new run supersedes.

    Raises:
        InputError: a record of that name has other settings or other data.
    """
    file = record_path(configuration)
    if not file.exists():
        return None
    record = read_record(file)
    if is_superseded(record):
        return None
    if record["fingerprint"] != fingerprint(configuration, data) or record["configuration"] != configuration.as_json():
        raise InputError(
            f"{file} is the record of another run with this name: {_difference(record, configuration, data)}. Give the "
            f"same settings and data to read it, or --restart to replace it."
        )
    return record


def _difference(record: dict, configuration: Configuration, data: Data) -> str:
    """The first setting in which a record differs, or that its data does."""
    theirs, ours = record["configuration"], configuration.as_json()
    for name in sorted(ours):
        if theirs.get(name) != ours[name]:
            return f"its {name} is {theirs.get(name)}, not {ours[name]}"
    return f"it was trained on other images ({record['data']['source']}, now {data.train.source.kind})"


def is_trained(configuration: Configuration, data: Data) -> bool:
    """Whether the weights of exactly this run exist."""
    return _fingerprint_in(weights_path(configuration)) == fingerprint(configuration, data)


def _fingerprint_in(weights: Path) -> str | None:
    try:
        return read_metadata(weights).get("fingerprint")
    except (FileNotFoundError, DamagedError):
        return None


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


def load_model(configuration: Configuration, shape: Shape) -> GenerativeModel:
    """A finished run's trained model, on the CPU, in evaluation mode.

    Args:
        shape: channels, height and width of the images.

    Raises:
        InputError: the run was not trained yet, or its weights belong to other settings.
    """
    path = weights_path(configuration)
    tensors, stated = read_weights(path)
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
