"""Run experiments: train together what can be, resume what was interrupted, score, record; nothing is done twice.

Training writes weights, scoring reads them and writes records: two steps, so that a changed score retrains nothing.
"""

import dataclasses
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from vitae.evaluation import likelihood
from vitae.evaluation.score import Trained, names_of, scores_of
from vitae.experiments.build import build
from vitae.experiments.configuration import (
    Configuration,
    architecture_and_objective,
    configuration_of,
    record_path,
    weights_path,
)
from vitae.experiments.declaration import EXPERIMENTS
from vitae.experiments.records import read_record, write_record
from vitae.experiments.resume import (
    checkpoint_holding,
    checkpoint_path,
    fingerprint,
    for_images,
    forget,
    is_trained,
    load_model,
    other_images,
    read_weights,
    recorded,
    remove_finished_checkpoints,
)
from vitae.experiments.run_data import Data, load_data
from vitae.metrics.registry import SCORES
from vitae.support.devices import pick_device
from vitae.support.errors import InputError
from vitae.support.files import require_writable, write_tensors
from vitae.support.provenance import environment
from vitae.training.checkpoint import previous_of
from vitae.training.convergence import convergence
from vitae.training.loop import NonFiniteLoss, divergence_message, train_together
from vitae.training.step import Progress, Run


def run(configuration: Configuration, **how) -> dict:
    """Train and score one configuration; see `run_together`.

    Returns:
        The record, see `vitae.experiments.records`.
    """
    return run_together([configuration], **how)[0]


def run_together(
    configurations: Iterable[Configuration],
    *,
    root: str | Path | None = None,
    source: str = "auto",
    device: str = "auto",
    restart: bool = False,
    skip_recorded: bool = False,
    score: bool = True,
) -> list[dict]:
    """Train and score configurations, or return their records where that is already done.

    A run of other images than the one that has its name gets their hash in its name, see `resume.for_images`.
    Those that differ only in seed, rates and strengths train as one. An interrupted training resumes from its
    checkpoint, a run that has weights is not trained again, and each record is written as soon as its scores are there.

    Args:
        root: the user's data folder, see the dataset.
        source: where the data may come from, see the dataset.
        device: auto, cpu, cuda or cuda:N.
        restart: delete earlier records, weights and checkpoints first.
        skip_recorded: do not train a run again that has a record but no weights.
        score: False stops when the weights are there, and returns no records.

    Returns:
        The records in the order of the configurations, see `vitae.experiments.records`.

    Raises:
        InputError: among others, if a record of that name has other settings, or a checkpoint other settings or data.
        NonFiniteLoss: runs diverged; all others were trained and scored before this is raised.
    """
    where, configurations = pick_device(device), list(configurations)
    names = [configuration.run for configuration in configurations]
    if len(set(names)) < len(names):
        raise InputError(f"{next(name for name in names if names.count(name) > 1)} is asked for twice.")
    batches: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        batches.setdefault(_batch_key(configuration), []).append(configuration)
    records, failures, last = {}, [], _LastData(root, source, where)
    for batch in batches.values():
        try:
            data = last.of(batch[0])
            own = [for_images(configuration, data) for configuration in batch]
            if restart:
                _require_startable(own, data, where)
                forget(own)
            found = _run_batch(own, data, where, restart, skip_recorded, score, failures)
            records |= {asked.run: found[each.run] for asked, each in zip(batch, own, strict=True) if each.run in found}
        except InputError as error:
            if not failures:
                raise
            # Include the earlier divergences in this error.
            raise InputError(" ".join([*failures, str(error)])) from None
    if failures:
        raise NonFiniteLoss(" ".join(failures))
    return [records[name] for name in names] if score else []


def _require_startable(batch: Sequence[Configuration], data: Data, where: torch.device) -> None:
    """Refuse what could not train here, before a restart deletes what is already there.

    Raises:
        InputError: a file cannot be written, or the model cannot be built or applied to images.
    """
    for configuration in batch:
        for file in (record_path(configuration), weights_path(configuration)):
            require_writable(file)
    model = build(batch[0], data.train.shape).to(where)
    likelihood.elbo(model, data.held_out.images[:1], seed=0)


def _batch_key(configuration: Configuration) -> str:
    """Equal for configurations that can train as one."""
    stated = configuration.as_json()
    for name in ("seed", "overrides", "strengths"):
        stated.pop(name)
    for name in ("learning_rate", "kl_annealing", "learning_rate_warmup", "learning_rate_decay"):
        stated["schedule"].pop(name)
    return json.dumps([stated, sorted(configuration.strengths)], sort_keys=True)


def _data_key(configuration: Configuration) -> tuple:
    """Equal for configurations that `load_data` gives the same images."""
    return configuration.dataset, configuration.train_size, configuration.test_size, configuration.validation


class _LastData:
    """The data of the last configuration that was asked for. Only the last, because it may fill the memory."""

    def __init__(self, root: str | Path | None, source: str, where: torch.device):
        self._how, self._key, self._data = (root, source, where), None, None

    def of(self, configuration: Configuration) -> Data:
        """The data of a configuration, loaded if the last one had other data."""
        if self._key != _data_key(configuration):
            # Free the memory first.
            self._key = self._data = None
            self._data = load_data(configuration, *self._how)
            self._key = _data_key(configuration)
        return self._data


def _run_batch(
    batch: Sequence[Configuration],
    data: Data,
    where: torch.device,
    restart: bool,
    skip_recorded: bool,
    score: bool,
    failures: list[str],
) -> dict[str, dict]:
    """Records of runs that can train as one, by name; messages about runs that diverged go to `failures`."""
    records, untrained = {}, []
    for configuration in batch:
        for file in (record_path(configuration), weights_path(configuration)):
            require_writable(file)
        record, trained = recorded(configuration, data), is_trained(configuration, data)
        if record and (trained or skip_recorded):
            records[configuration.run] = record
        elif not trained:
            untrained.append(configuration)
    if untrained:
        failures += _train(untrained, data, where, restart)
    if not score:
        return {}
    unscored = [c for c in batch if c.run not in records and is_trained(c, data)]
    return records | _score_batch(unscored, data, where)


# The first images of the evaluation split, whose ELBO is measured over the training.
_WATCHED = 1_000


def _train(configurations: Sequence[Configuration], data: Data, where: torch.device, restart: bool) -> list[str]:
    """Train runs together and write their weights; returns messages about those that diverged."""
    first, checkpoint = configurations[0], checkpoint_path(configurations)
    watched = data.held_out.images[:_WATCHED]
    runs = [
        Run(
            configuration.run,
            build(configuration, data.train.shape).to(where),
            configuration.seed,
            configuration.schedule,
            configuration.strengths,
            fingerprint(configuration, data),
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
        # A restart must not resume from an earlier batch either.
        resume=None if restart else checkpoint_holding(runs, checkpoint.parent),
        held_out_elbo=lambda model: likelihood.elbo(model, watched, seed=0).mean,
        label=f"{first.dataset} {first.profile} {what}",
    )
    failures = []
    for configuration, trained in zip(configurations, runs, strict=True):
        if trained.progress.diverged is None:
            stated = {
                "fingerprint": trained.fingerprint,
                "configuration": configuration.as_json(),
                "progress": dataclasses.asdict(trained.progress),
                "together": len(runs),
            }
            write_tensors(weights_path(configuration), trained.model.state_dict(), stated)
        elif len(runs) == 1:
            failures.append(divergence_message(trained, checkpoint))
        else:
            failures.append(f"{trained.name}: {divergence_message(trained, None)}")
    if not failures:
        checkpoint.unlink(missing_ok=True)
        previous_of(checkpoint).unlink(missing_ok=True)
    remove_finished_checkpoints(checkpoint.parent)
    return failures


def _score_batch(configurations: Sequence[Configuration], data: Data, where: torch.device) -> dict[str, dict]:
    """Score trained runs and write their records, each as soon as it is there.

    The scores of one run's codes are computed beside the log p(x) of the next; they release the interpreter's lock.
    """
    pending: dict[str, Future] = {}
    # Read the environment now: evaluation lowers torch's thread count for a while.
    machine = environment(where)
    with ThreadPoolExecutor(max_workers=1) as beside:
        for configuration in configurations:
            started = time.monotonic()
            trained = _trained(configuration, data, where)
            names = names_of(EXPERIMENTS[configuration.dataset].scores)
            scores = scores_of(trained, ["likelihood"])
            # Compute the codes here, on the model's device.
            _ = trained.means, trained.draws
            spent = time.monotonic() - started
            pending[configuration.run] = beside.submit(
                _record, configuration, trained, data, scores, names, spent, machine
            )
        return {name: record.result() for name, record in pending.items()}


def score_together(
    configurations: Iterable[Configuration],
    *,
    root: str | Path | None = None,
    source: str = "auto",
    device: str = "auto",
) -> list[dict]:
    """Score runs that have weights, and write their records, replacing any that exist; arguments as `run_together`.

    Raises:
        InputError: a run has no weights, or they were trained on other data.
    """
    where, configurations = pick_device(device), list(configurations)
    batches: dict[tuple, list[Configuration]] = {}
    for configuration in configurations:
        batches.setdefault(_data_key(configuration), []).append(configuration)
    records, last = {}, _LastData(root, source, where)
    for batch in batches.values():
        data = last.of(batch[0])
        own = [for_images(configuration, data) for configuration in batch]
        for configuration in own:
            require_writable(record_path(configuration))
            if not is_trained(configuration, data):
                raise InputError(
                    f"there are no weights of {configuration.run} trained on this data ({data.train.source}): train "
                    f"it first, or name its data with --data-root or --source."
                )
        found = _score_batch(own, data, where)
        records |= {(asked.dataset, asked.run): found[each.run] for asked, each in zip(batch, own, strict=True)}
    return [records[configuration.dataset, configuration.run] for configuration in configurations]


def _trained(configuration: Configuration, data: Data, where: torch.device) -> Trained:
    model = load_model(configuration, data.train.shape).to(where)
    return Trained(model, data.train_observed, data.held_out, configuration.samples, configuration.run)


def _record(
    configuration: Configuration,
    trained: Trained,
    data: Data,
    scores: dict,
    names: list[str],
    spent: float,
    machine: dict,
) -> dict:
    """Compute the scores that are still missing, write the record of a trained run, and return it as it is read."""
    started = time.monotonic()
    scores |= scores_of(trained, [name for name in names if name != "likelihood"])
    stated = read_weights(weights_path(configuration))[1]
    progress = Progress(**stated["progress"])
    judged = convergence(progress.held_out, progress.step, configuration.schedule)
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
            "images": data.fingerprint,
        },
        "parameters": trained.model.parameter_count(),
        "together": stated["together"],
        "seconds": {
            "train": round(progress.seconds, 1),
            "evaluate": round(spent + time.monotonic() - started, 1),
        },
        "losses": progress.losses,
        "curves": progress.curves,
        "held_out": progress.held_out,
        "convergence": judged and dataclasses.asdict(judged),
        "scores": scores,
        "score_versions": {name: SCORES[name].version for name in names},
        **machine,
    }
    file = record_path(configuration)
    write_record(file, record)
    return read_record(file)


def rescore(record: dict, **how) -> dict:
    """A finished run's record with its scores computed again; see `rescore_together`."""
    return next(rescore_together([record], **how))


def rescore_together(
    records: Iterable[dict],
    *,
    names: Sequence[str] = (),
    samples: int | None = None,
    root: str | Path | None = None,
    source: str = "auto",
    device: str = "auto",
) -> Iterator[dict]:
    """Records of finished runs with scores computed again, from their weights and on the data they were trained on.

    Args:
        names: scores to compute; by default all of the experiment's. Of some, only these and their versions change; of
            all, also the seconds of the evaluation, and what it ran on.
        samples: K of the importance-weighted log p(x); None for the record's own.

    Yields:
        Each record as soon as its scores are there; nothing is written.

    Raises:
        InputError: the weights are missing or of another run, or the data is not the record's.
    """
    where = pick_device(device)
    for name in names:
        SCORES.named(name)
    last, machine = _LastData(root, source, where), environment(where)
    for record in records:
        configuration = configuration_of(record)
        data = last.of(configuration)
        if record["fingerprint"] != fingerprint(configuration, data):
            raise InputError(
                f"{record['run']} cannot be scored on this data: {other_images(record, data)}. Name its data with "
                f"--data-root or --source; a run of these images is {for_images(configuration, data).run}."
            )
        if samples is not None:
            configuration = dataclasses.replace(configuration, samples=samples)
        wanted = names or names_of(EXPERIMENTS[configuration.dataset].scores)
        started = time.monotonic()
        found = scores_of(_trained(configuration, data, where), wanted)
        again = {
            "scores": {**record["scores"], **found},
            "score_versions": {**record["score_versions"], **{name: SCORES[name].version for name in wanted}},
        }
        if not names:
            again |= {"seconds": {**record["seconds"], "evaluate": round(time.monotonic() - started, 1)}, **machine}
        yield {**record, **again}
