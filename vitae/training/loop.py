"""The training loop, the same for every model and objective, for one run or many.

Adam with a one-cycle learning rate and linear KL annealing. Everything that happens in step s is a function of the
configuration, the seed and s (see `vitae.support.randomness`), so a checkpoint holds weights, Adam's moments and s, and
a training that was killed and resumed ends with the same weights as one that was not: bit for bit on a CPU with the
same number of threads; on a GPU the spatial transformer's gradient is summed in no fixed order.

Several runs train as one. On a GPU they are one batch of models, see `step`. On a CPU each thread trains whole runs:
two threads that share one small matrix product wait for each other, and ten models side by side do not fit into the
caches. There each run gets, bit for bit, the numbers that it gets alone on one thread.
"""

import bisect
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from vitae.data.dataset import as_floats
from vitae.models.base import GenerativeModel
from vitae.models.objectives import loss_of
from vitae.support.devices import PRECISIONS, keep_freed_memory, tf32
from vitae.support.errors import InputError, require_known
from vitae.support.files import append_line
from vitae.support.threads import thread_map
from vitae.training.checkpoint import read_checkpoint, save_checkpoint
from vitae.training.convergence import checks
from vitae.training.schedule import Schedule
from vitae.training.step import Progress, Run, RunGroup, TrainingImages

_SECONDS_BETWEEN_CHECKPOINTS = 20.0
# Writing checkpoints takes at most this fraction of the time.
_CHECKPOINT_TIME_FRACTION = 0.02
# Losses are collected at the end of each epoch and after so many steps: on a GPU this waits for all work before it.
_STEPS_BETWEEN_COLLECTIONS = 1_000
_STEPS_BETWEEN_COLLECTIONS_ON_CPU = 10
# On a CPU runs are not batched: the benchmark page compares both ways.
_RUNS_PER_GROUP_ON_CPU = 1


# A model may start from at most so many training images.
_START_IMAGES = 10_000


class NonFiniteLoss(InputError):
    """Training diverged; the last finite checkpoint is still there."""


def train(
    model: GenerativeModel,
    images: TrainingImages,
    objective: str | Callable[..., Tensor],
    strengths: dict[str, float],
    schedule: Schedule,
    *,
    seed: int,
    fingerprint: str = "",
    checkpoint: Path | None = None,
    label: str = "training",
) -> Progress:
    """Train one model in place, from its checkpoint if there is one; the arguments are those of `train_together`.

    Returns:
        The mean loss of each epoch, in nats per image, and the seconds spent, earlier sessions included.

    Raises:
        NonFiniteLoss: the loss became infinite or not a number.
        InputError: the checkpoint belongs to other settings, or cannot be read.
    """
    # A function has no content that could be compared: a checkpoint knows it by its name.
    name = getattr(objective, "__qualname__", str(objective))
    stated = [name, strengths, asdict(schedule), seed, len(images)]
    run = Run("run", model, seed, schedule, dict(strengths), fingerprint or json.dumps(stated, sort_keys=True))
    train_together([run], images, objective, checkpoint=checkpoint, label=label)
    if run.progress.diverged is not None:
        raise NonFiniteLoss(divergence_message(run, checkpoint))
    return run.progress


def train_together(
    runs: Sequence[Run],
    images: TrainingImages,
    objective: str | Callable[..., Tensor],
    *,
    precision: str = "float32",
    checkpoint: Path | None = None,
    resume: Path | None = None,
    held_out_elbo: Callable[[GenerativeModel], float] | None = None,
    label: str = "training",
) -> None:
    """Train the models of several runs in place, from their checkpoint if there is one.

    A run that diverges stops where it was, and `progress.diverged` says in which step; the others continue.

    Args:
        runs: of one architecture, their models on one device, their schedules of one length and batch.
        images: uint8 images in shuffled epochs, on the same device.
        objective: a name from `vitae.models.objectives.OBJECTIVES`, or a loss of your own,
            `(output, *, kl_weight, **strengths) -> scalar`.
        precision: of matrix products, see `vitae.support.devices.precision`.
        checkpoint: file to resume from and to save to, every 20 seconds and at the end; None saves nothing.
        resume: another checkpoint to start from if that one does not exist; it may hold more runs than these.
        held_out_elbo: the ELBO of held-out images in nats, measured over the training for `progress.held_out`; None
            measures nothing.

    Raises:
        InputError: the runs cannot train together, or the checkpoint belongs to others or cannot be read. A checkpoint
            that cannot be written is only reported.
        KeyboardInterrupt: the process was asked to stop; a checkpoint of the last step was written.
    """
    loss_of(objective)
    require_known("precision", precision, PRECISIONS)
    if not runs:
        return
    checkpoint = Path(checkpoint) if checkpoint else None
    _require_trainable_together(runs, images)
    keep_freed_memory()
    device = next(runs[0].model.parameters()).device
    saved = read_checkpoint((checkpoint, resume), runs, len(images))
    for run in runs:
        run.model.train()
        if run.name in saved:
            run.progress = saved[run.name].progress
            run.model.load_state_dict(saved[run.name].weights)
        else:
            run.model.start_from(as_floats(images.epoch(run.seed, 0)[:_START_IMAGES]), run.seed)
    active = [run for run in runs if run.progress.diverged is None]
    size = _RUNS_PER_GROUP_ON_CPU if device.type == "cpu" else len(runs)
    groups = [
        RunGroup(active[start : start + size], images, objective, precision) for start in range(0, len(active), size)
    ]
    for group in groups:
        for run in group.runs:
            if run.name in saved:
                group.restore(run, saved[run.name].moments)
    first = groups[0].runs[0].progress.step if groups else 0
    loop = _Loop(runs, groups, device, checkpoint, held_out_elbo, label)
    # As many threads as if no run had diverged: the rounding of products depends on the number of threads.
    count = min(torch.get_num_threads(), -(-len(runs) // size))
    with thread_map(count) as in_parallel, _stop_requested() as stop, tf32(precision == "tf32"):
        loop.run(first, in_parallel, stop)
        if stop.is_set():
            raise KeyboardInterrupt


def _require_trainable_together(runs: Sequence[Run], images: TrainingImages) -> None:
    if len(images) == 0:
        raise InputError("there are no images to train on.")
    names = [run.name for run in runs]
    if len(set(names)) < len(names) or len({id(run.model) for run in runs}) < len(runs):
        raise InputError("runs that train together need different names and models of their own.")
    if any("/" in name for name in names):
        raise InputError(f"a run's name must not contain /: {', '.join(names)}.")
    if len({tuple((name, value.shape) for name, value in run.model.state_dict().items()) for run in runs}) > 1:
        raise InputError("runs that train together need models of one architecture.")
    if len({(run.schedule.epochs, run.schedule.batch, tuple(run.strengths)) for run in runs}) > 1:
        raise InputError("runs that train together need the same number of epochs, batch and kind of strengths.")


@contextlib.contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or SIGTERM, as batch systems send it; the second one has its usual effect."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) or signal.SIG_DFL for kind in kinds}

    def handle(kind, frame):
        requested.set()
        signal.signal(kind, before[kind])

    for kind in kinds:
        signal.signal(kind, handle)
    try:
        yield requested
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


class _Loop:
    """The steps of a training, with what is saved and shown between them."""

    def __init__(
        self,
        runs,
        groups: list[RunGroup],
        device,
        checkpoint: Path | None,
        held_out_elbo: Callable[[GenerativeModel], float] | None,
        label: str,
    ):
        self.runs, self.groups, self.checkpoint, self.label = runs, groups, checkpoint, label
        self.held_out_elbo = held_out_elbo
        self.between_collections = (
            _STEPS_BETWEEN_COLLECTIONS_ON_CPU if device.type == "cpu" else _STEPS_BETWEEN_COLLECTIONS
        )

    def run(self, first: int, in_parallel: Callable, stop: threading.Event) -> None:
        """Steps from `first` to the last; see `train_together`."""
        if not self.groups:
            return
        batch, per_epoch, total = self.groups[0].batch, self.groups[0].steps_per_epoch, self.groups[0].total_steps
        self.active = self.active_runs()
        self.seconds_before = {run.name: run.progress.seconds for run in self.runs}
        self.started = self.saved = time.monotonic()
        self.pause = _SECONDS_BETWEEN_CHECKPOINTS
        self.save_failed = False
        to_check = checks(total) if self.held_out_elbo else []
        bar = tqdm(
            desc=self.label,
            total=total * batch * len(self.active),
            initial=first * batch * len(self.active),
            unit=" images",
            unit_scale=True,
            disable=None,
            mininterval=1.0,
        )
        self._log(f"{'starts' if first == 0 else 'resumes'} at step {first:,} of {total:,}")
        with bar:
            done = first
            while done < total and self.active_runs():
                start = done
                epoch_end = start - start % per_epoch + per_epoch
                next_collection = start - start % self.between_collections + self.between_collections
                next_check = to_check[bisect.bisect(to_check, start) :][:1]
                done = min(epoch_end, next_collection, *next_check)
                list(in_parallel(lambda group, span=range(start, done): group.steps(span), self.groups))
                bar.update((done - start) * batch * len(self.active))
                stopping = stop.is_set()
                bar.total -= (total - done) * batch * self._collect(done)
                if done in next_check:
                    list(in_parallel(self._check, self.groups))
                if done % per_epoch == 0:
                    self._finish_epoch(done // per_epoch, bar)
                if stopping or done == total or time.monotonic() - self.saved > self.pause:
                    self._save()
                if stopping:
                    return
        self._log("finished its last step")

    def active_runs(self) -> list[Run]:
        """The runs that have not diverged."""
        return [run for group in self.groups for run in group.runs]

    def _collect(self, done: int) -> int:
        """Collect losses; returns how many runs turned out to have diverged."""
        spent = (time.monotonic() - self.started) / len(self.active)
        for group in self.groups:
            group.collect(done)
        self.groups = [group for group in self.groups if group.runs]
        active = self.active_runs()
        for run in self.active:
            if run in active:
                run.progress.seconds = self.seconds_before[run.name] + spent
            else:
                self._log(f"diverged in step {run.progress.diverged:,}", [run])
        lost = len(self.active) - len(active)
        self.active = active
        return lost

    def _check(self, group: RunGroup) -> None:
        """Measure the held-out ELBO of a group's runs."""
        for run in group.runs:
            run.progress.held_out.append(self.held_out_elbo(run.model))
            run.model.train()

    def _finish_epoch(self, epoch: int, bar: tqdm) -> None:
        for group in self.groups:
            group.finish_epoch()
        active = self.active_runs()
        if not active:
            return
        elbo = sum(run.progress.elbo for run in active) / len(active)
        bar.set_postfix(epoch=f"{epoch}/{active[0].schedule.epochs}", ELBO=f"{elbo:.1f}", refresh=False)
        for run in active:
            self._log(f"epoch {epoch}: loss {run.progress.losses[-1]:.3f}, ELBO {run.progress.elbo:.3f}", [run])

    def _log(self, text: str, runs: Sequence[Run] | None = None) -> None:
        """Write a line to the log of each run. Training does not stop if a log cannot be written."""
        for run in runs or self.active_runs():
            if run.log is not None:
                with contextlib.suppress(InputError):
                    append_line(run.log, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {run.name}: {text}")

    def _save(self) -> None:
        """Write a checkpoint. Training does not stop if it cannot be written; the first failure is reported."""
        if self.checkpoint is None or not self.active_runs():
            return
        started = time.monotonic()
        try:
            save_checkpoint(self.checkpoint, self.runs, self.groups)
            self.save_failed = False
        except InputError as error:
            if not self.save_failed:
                tqdm.write(f"{error} Training continues; the last checkpoint stays.", file=sys.stderr)
            self.save_failed = True
        self.saved = time.monotonic()
        self.pause = max(_SECONDS_BETWEEN_CHECKPOINTS, (self.saved - started) / _CHECKPOINT_TIME_FRACTION)


def divergence_message(run: Run, checkpoint: Path | None) -> str:
    """What to say about a run that diverged."""
    last = f" The last finite state is in {checkpoint}." if checkpoint and checkpoint.exists() else ""
    return (
        f"the loss stopped being finite in step {run.progress.diverged}: try a learning rate below "
        f"{run.schedule.learning_rate:g} or longer KL annealing.{last}"
    )
