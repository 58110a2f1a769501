"""The one way to run experiments: trained together where they can be, resumed, scored, recorded; nothing twice."""

import contextlib
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from vitae import results
from vitae.compute import Ranks, pick_device
from vitae.data import MNIST, Dataset
from vitae.errors import InputError
from vitae.experiments import (
    EXPERIMENTS,
    Configuration,
    architecture_and_objective,
    build,
    configuration_of,
    record_path,
    weights_path,
)
from vitae.files import read_stated, read_tensors, require_writable, write_tensors
from vitae.models.base import GenerativeModel
from vitae.nets import Shape
from vitae.scoring import Measured, measure, scores_of
from vitae.together import Progress, Run
from vitae.train import NonFiniteLoss, diverged, previous_of, train_together


@dataclass
class Data:
    """A run's training images and those it is evaluated on, on its device."""

    train: MNIST | Dataset
    train_observed: Dataset
    held_out: Dataset
    evaluated_on: str

    @cached_property
    def fingerprint(self) -> str:
        """Names the training images; read through once, however many runs ask."""
        return self.train.fingerprint()


# The observed training images on which the train ELBO and the predictors of the scores are computed.
_OBSERVED_TRAINING_IMAGES = 10_000
# Perspectives of the images that are evaluated: one draw for all runs, so that all rows see the same pictures.
_PERSPECTIVE_SEED = 0


def load_data(
    configuration: Configuration, root: str | Path | None, source: str, device: torch.device | str = "cpu"
) -> Data:
    """The configuration's data; training images for evaluation get one perspective each, as test images do."""
    load = EXPERIMENTS[configuration.dataset].load
    train = load("train", root=root, source=source, size=configuration.train_size, device=device)
    if configuration.hold_out:
        kept = len(train) - max(1, len(train) // 10)
        held_out, train = train.rows(slice(kept, None)), train.rows(slice(kept))
        evaluated_on = "held-out training images"
    else:
        held_out = load("test", root=root, source=source, size=configuration.test_size, device=device)
        evaluated_on = "test"
        if held_out.source != train.source:
            raise InputError(
                f"training images are from {train.source} and test images from {held_out.source}: choose one "
                f"with --source."
            )
    sample = train.rows(slice(_OBSERVED_TRAINING_IMAGES))
    return Data(
        train,
        sample.observe(_PERSPECTIVE_SEED, "train perspective"),
        held_out.observe(_PERSPECTIVE_SEED, "test perspective"),
        evaluated_on,
    )


def _images_of(configuration: Configuration) -> tuple:
    """Equal for configurations that `load_data` gives the same images."""
    return configuration.dataset, configuration.train_size, configuration.test_size, configuration.hold_out


def _what_is_trained(stated: dict) -> dict:
    """A configuration less what only evaluation uses."""
    return {name: value for name, value in stated.items() if name not in ("test_size", "samples", "overrides")}


def _fingerprint(configuration: Configuration, data: Data) -> str:
    """Names what determines the weights: the configuration less what only evaluation uses, and the data."""
    stated = _what_is_trained(configuration.as_json())
    stated["images"] = data.fingerprint
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]


def _difference(record: dict, configuration: Configuration, data: Data) -> str:
    """In which setting a record is not of this configuration, or that it is of other data."""
    theirs, ours = record["configuration"], configuration.as_json()
    for name in sorted(ours):
        if theirs.get(name) != ours[name]:
            return f"its {name} is {theirs.get(name)}, not {ours[name]}"
    return f"it was trained on other images ({record['data']['source']}, now {data.train.source.kind})"


def run(configuration: Configuration, **how) -> dict:
    """Train and score one configuration; see `run_together`, which this calls with a list of one.

    Returns:
        The record, see `results`; in all processes of a run but the first, an empty one.
    """
    return next(iter(run_together([configuration], **how)), {})


def run_together(
    configurations: Iterable[Configuration],
    *,
    root: str | Path | None = None,
    source: str = "auto",
    device: str = "auto",
    restart: bool = False,
    recorded_is_done: bool = False,
    newer_than: Path | None = None,
) -> list[dict]:
    """Train and score configurations, or return their records where that is done already.

    Those that differ in no more than seed, rates and strengths are one training. What was killed continues from its
    checkpoint, a run that was trained is not trained again, and a record is written as soon as its scores are computed.

    Args:
        root: the user's data folder, see the dataset.
        source: where the data may come from, see the dataset.
        device: auto, cpu, cuda or cuda:N.
        restart: forget earlier records, weights and checkpoints.
        recorded_is_done: a run that has a record is not trained again where its weights are gone.
        newer_than: forget what is older than this file.

    Returns:
        The records in the order of the configurations, see `results`; nothing in all processes of a run but the first.

    Raises:
        InputError: among others, if a record or checkpoint of that name is of other settings or other data.
        NonFiniteLoss: runs diverged; all others were trained and scored before this is said.
    """
    where, configurations = pick_device(device), list(configurations)
    if newer_than is not None and not newer_than.exists():
        raise InputError(f"there is no file {newer_than} that results could be older than.")
    names = [configuration.run for configuration in configurations]
    if len(set(names)) < len(names):
        raise InputError(f"{next(name for name in names if names.count(name) > 1)} is asked for twice.")
    batches: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        batches.setdefault(_alike(configuration), []).append(configuration)
    records, failures, loaded = {}, [], {}
    for batch in batches.values():
        try:
            asked = _images_of(batch[0])
            if asked not in loaded:
                # Only the last, as they may fill the memory.
                loaded.clear()
                loaded[asked] = load_data(batch[0], root, source, where)
            data = loaded[asked]
            if Ranks(where).rank == 0:
                if newer_than is not None:
                    _forget(batch, newer_than.stat().st_mtime)
                if restart:
                    _forget(batch)
            records |= _run_batch(batch, data, where, restart, recorded_is_done, failures)
        except InputError as error:
            if not failures:
                raise
            # What diverged before this would otherwise be told by nobody.
            raise InputError(" ".join([*failures, str(error)])) from None
    if Ranks(where).rank > 0:
        return []
    if failures:
        raise NonFiniteLoss(" ".join(failures))
    return [records[name] for name in names]


def _alike(configuration: Configuration) -> str:
    """Equal for configurations that can be one training."""
    stated = configuration.as_json()
    for name in ("seed", "overrides", "strength"):
        stated.pop(name)
    for name in ("learning_rate", "warmup", "rise"):
        stated["schedule"].pop(name)
    return json.dumps([stated, sorted(configuration.strength)], sort_keys=True)


def _checkpoint_path(configurations: Sequence[Configuration]) -> Path:
    first = weights_path(configurations[0])
    if len(configurations) == 1:
        return first.with_suffix(".checkpoint")
    names = "\n".join(sorted(configuration.run for configuration in configurations))
    digest = hashlib.blake2b(names.encode(), digest_size=4).hexdigest()
    return first.with_name(f"{configurations[0].model}-{len(configurations)}-runs-{digest}.checkpoint")


def _checkpoint_with(runs: Sequence[Run], folder: Path) -> Path | None:
    """A checkpoint of these runs and others: of a batch that was killed and is asked for in part."""
    for file in sorted(folder.glob("*.checkpoint*")):
        if {(run.name, run.fingerprint) for run in runs} <= set(_runs_in(file)):
            return file
    return None


def _runs_in(checkpoint: Path) -> list[tuple[str, str]]:
    """Names and fingerprints of the runs in a checkpoint; none if it cannot be read, or is gone by now."""
    try:
        return [(name, about["fingerprint"]) for name, about in read_stated(checkpoint).items()]
    except (FileNotFoundError, InputError, TypeError, KeyError):
        return []


def _unlink_done(folder: Path) -> None:
    """Remove checkpoints of which every run has its weights."""
    for file in folder.glob("*.checkpoint*"):
        runs = _runs_in(file)
        if runs and all(_fingerprint_of(folder / f"{name}.safetensors") == fingerprint for name, fingerprint in runs):
            file.unlink(missing_ok=True)


def _fingerprint_of(weights: Path) -> str | None:
    try:
        return read_stated(weights).get("fingerprint")
    except (FileNotFoundError, InputError):
        return None


def _run_batch(
    batch: Sequence[Configuration],
    data: Data,
    where: torch.device,
    restart: bool,
    recorded_is_done: bool,
    failures: list[str],
) -> dict[str, dict]:
    """Records of runs that can be one training, by name; what to tell of those that diverged goes to `failures`."""
    ranks = Ranks(where)
    records, untrained = {}, []
    if ranks.rank == 0:
        for configuration in batch:
            for file in (record_path(configuration), weights_path(configuration)):
                require_writable(file)
            record, trained = _recorded(configuration, data), _trained(configuration, data)
            if record and (trained or recorded_is_done):
                records[configuration.run] = record
            elif not trained:
                untrained.append(configuration)
    untrained = ranks.from_first(untrained)
    if untrained:
        failures += _train(untrained, data, where, restart)
    if ranks.rank > 0:
        return {}
    unscored = [c for c in batch if c.run not in records and _trained(c, data)]
    return records | _score_batch(unscored, data, where)


def _forget(batch: Sequence[Configuration], older_than: float = math.inf) -> None:
    """Remove records, weights and checkpoints of runs, those written before a time."""
    folder, names = weights_path(batch[0]).parent, {configuration.run for configuration in batch}
    # Of other batches too: killed in the middle, the new start would otherwise go on from them.
    checkpoints = [
        file for file in folder.glob("*.checkpoint*") if not names.isdisjoint(name for name, _ in _runs_in(file))
    ]
    checkpoint = _checkpoint_path(batch)
    files = [path(configuration) for configuration in batch for path in (record_path, weights_path)]
    for file in (*files, *checkpoints, checkpoint, previous_of(checkpoint)):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mtime < older_than:
                file.unlink()


def _recorded(configuration: Configuration, data: Data) -> dict | None:
    """The record of a run, if it is there.

    Raises:
        InputError: the record is of other settings or other data.
    """
    file = record_path(configuration)
    if not file.exists():
        return None
    record = results.read(file)
    if record["fingerprint"] != _fingerprint(configuration, data) or (
        record["configuration"] != configuration.as_json()
    ):
        raise InputError(
            f"{file} is of another run with this name: {_difference(record, configuration, data)}. Give the "
            f"same settings and data to read it, or --restart to replace it."
        )
    return record


def _trained(configuration: Configuration, data: Data) -> bool:
    """Whether the weights of exactly this run are there."""
    return _fingerprint_of(weights_path(configuration)) == _fingerprint(configuration, data)


def _train(configurations: Sequence[Configuration], data: Data, where: torch.device, restart: bool) -> list[str]:
    """Train runs together and write their weights; returns what to tell of those that diverged."""
    first, ranks = configurations[0], Ranks(where)
    checkpoint = _checkpoint_path(configurations)
    runs = [
        Run(
            configuration.run,
            build(configuration, data.train.shape).to(where),
            configuration.seed,
            configuration.schedule,
            configuration.strength,
            _fingerprint(configuration, data),
            weights_path(configuration).with_suffix(".log"),
        )
        for configuration in configurations
    ]
    what = first.run if len(runs) == 1 else f"{first.model}, {len(runs)} runs"
    train_together(
        runs,
        data.train,
        architecture_and_objective(first.model)[1],
        precision=first.precision,
        checkpoint=checkpoint,
        # What is started anew does not go on from an earlier batch either.
        resume=None if restart or ranks.rank > 0 else _checkpoint_with(runs, checkpoint.parent),
        label=f"{first.dataset} {first.profile} {what}",
    )
    if ranks.rank > 0:
        return []
    failures = []
    for configuration, run in zip(configurations, runs, strict=True):
        if run.progress.diverged is None:
            stated = {
                "fingerprint": run.fingerprint,
                "configuration": configuration.as_json(),
                "progress": dataclasses.asdict(run.progress),
                "together": len(runs),
            }
            write_tensors(weights_path(configuration), run.model.state_dict(), stated)
        else:
            failures.append(diverged(run, checkpoint) if len(runs) == 1 else f"{run.name}: {diverged(run, None)}")
    if not failures:
        checkpoint.unlink(missing_ok=True)
        previous_of(checkpoint).unlink(missing_ok=True)
    _unlink_done(checkpoint.parent)
    return failures


def _score_batch(configurations: Sequence[Configuration], data: Data, where: torch.device) -> dict[str, dict]:
    """Score trained runs and write their records, each as soon as it is there.

    The scores of one run's codes are computed beside the log p(x) of the next; they release the interpreter's lock.
    """
    pending: dict[str, Future] = {}
    # Here, because another thread may take the part of the cores that log p(x) gives its own for the count of all.
    environment = results.environment(where)
    with ThreadPoolExecutor(max_workers=1) as beside:
        for configuration in configurations:
            model = load_model(configuration, data.train.shape).to(where)
            started = time.monotonic()
            measured = measure(model, data.train_observed, data.held_out, configuration)
            spent = time.monotonic() - started
            pending[configuration.run] = beside.submit(
                _record, configuration, model, data, measured, spent, environment
            )
        return {name: record.result() for name, record in pending.items()}


def _record(
    configuration: Configuration,
    model: GenerativeModel,
    data: Data,
    measured: Measured,
    spent: float,
    environment: dict,
) -> dict:
    """Write the record of a trained run, and return it as it is read."""
    started = time.monotonic()
    scores = scores_of(measured, model, data.train_observed, data.held_out, configuration)
    stated = _weights(weights_path(configuration))[1]
    progress = Progress(**stated["progress"])
    record = {
        "run": configuration.run,
        "configuration": configuration.as_json(),
        "fingerprint": stated["fingerprint"],
        "data": {
            "source": data.train.source.kind,
            "location": data.train.source.location,
            "train": len(data.train),
            "evaluated": len(data.held_out),
            "evaluated_on": data.evaluated_on,
        },
        "parameters": model.parameter_count(),
        "together": stated["together"],
        "seconds": {
            "train": round(progress.seconds, 1),
            "evaluate": round(spent + time.monotonic() - started, 1),
        },
        "losses": progress.losses,
        "course": progress.course,
        "scores": scores,
        **environment,
    }
    file = record_path(configuration)
    results.write(file, record)
    return results.read(file)


def load_model(configuration: Configuration, shape: Shape) -> GenerativeModel:
    """A finished run's trained model, on the CPU.

    Raises:
        InputError: the run was not trained yet, or its weights belong to other settings.
    """
    path = weights_path(configuration)
    tensors, stated = _weights(path)
    theirs = stated.get("configuration")
    if not isinstance(theirs, dict) or _what_is_trained(theirs) != _what_is_trained(configuration.as_json()):
        raise InputError(f"{path} holds the weights of another run: train again with --restart.")
    model = build(configuration, shape)
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(f"{path} holds damaged weights: train again with --restart.") from None
    return model.eval()


def _weights(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    try:
        return read_tensors(path)
    except FileNotFoundError:
        raise InputError(f"there is no {path}: train that run first.") from None
    except InputError as error:
        raise InputError(f"{error}: train again with --restart.") from None


def rescore(
    record: dict,
    *,
    samples: int | None = None,
    root: str | Path | None = None,
    source: str = "auto",
    device: str = "auto",
) -> dict:
    """A finished run's record with its scores computed again, from its weights and on the data it was trained on.

    Args:
        samples: K of the importance-weighted log p(x); None for the record's own.

    Raises:
        InputError: the weights are gone or of another run, or the data is not the record's.
    """
    where = pick_device(device)
    configuration = configuration_of(record)
    data = load_data(configuration, root, source, where)
    if record["fingerprint"] != _fingerprint(configuration, data):
        raise InputError(
            f"{record['run']} was trained on {record['data']['source']} data and this is not the same "
            f"({data.train.source}): name its data with --data-root or --source."
        )
    if samples is not None:
        configuration = dataclasses.replace(configuration, samples=samples)
    model = load_model(configuration, data.train.shape).to(where)
    started = time.monotonic()
    parts = data.train_observed, data.held_out
    scores = scores_of(measure(model, *parts, configuration), model, *parts, configuration)
    seconds = {**record["seconds"], "evaluate": round(time.monotonic() - started, 1)}
    return {**record, "scores": scores, "seconds": seconds, **results.environment(where)}
