"""The training loop: one, visible, the same for every model and objective, for one run or many.

Adam with a one-cycle learning rate and a linear KL warm-up. All that happens in step s is a function of the
configuration, the seed and s (see `randomness`), so a checkpoint holds weights, Adam's moments and s, and a training
that was killed anywhere ends with the weights of the one that was not (bit for bit on a CPU with as many threads; on a
GPU the spatial transformer's gradient adds in no fixed order).

Several runs are one training. On a GPU they are one batch of models (see `together`). On a CPU each thread takes whole
runs in turn: two threads that share one small matrix product wait for one another, and ten models side by side leave
the caches; so each run also gets there, bit for bit, the numbers that it gets alone on one thread.
"""

import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from vitae import compute
from vitae.compute import PRECISIONS, Ranks, keep_freed_memory, workers
from vitae.errors import InputError, require_known
from vitae.files import DiskFullError, append_line, read_tensors, write_tensors
from vitae.models.base import GenerativeModel
from vitae.objectives import OBJECTIVES
from vitae.schedule import Schedule
from vitae.together import MOMENTS, Progress, Run, Together, TrainingImages

_SECONDS_BETWEEN_CHECKPOINTS = 20.0
# Nor is more than this part of the time spent on writing them.
_PART_FOR_CHECKPOINTS = 0.02
# Losses are looked at together, beside at the end of each epoch: on a GPU each look waits for all work before it.
_STEPS_BETWEEN_LOOKS = 1_000
_STEPS_BETWEEN_LOOKS_ON_A_CPU = 10
# On a CPU no two runs step as one batch of models: the benchmark page shows both ways.
_RUNS_A_BATCH_ON_A_CPU = 1
_RESTART = "train again with --restart"


class NonFiniteLoss(InputError):
    """Training diverged; the last finite checkpoint is still there."""


def train(
    model: GenerativeModel,
    images: TrainingImages,
    objective: str,
    strength: dict[str, float],
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
        InputError: the checkpoint belongs to another configuration, or cannot be read.
    """
    fingerprint = fingerprint or json.dumps([objective, strength, asdict(schedule), seed, len(images)], sort_keys=True)
    run = Run("run", model, seed, schedule, dict(strength), fingerprint)
    train_together([run], images, objective, checkpoint=checkpoint, label=label)
    if run.progress.diverged is not None:
        raise NonFiniteLoss(diverged(run, checkpoint))
    return run.progress


def train_together(
    runs: Sequence[Run],
    images: TrainingImages,
    objective: str,
    *,
    precision: str = "float32",
    checkpoint: Path | None = None,
    resume: Path | None = None,
    label: str = "training",
) -> None:
    """Train the models of several runs in place, from their checkpoint if there is one.

    A run that diverges is left where it was, `progress.diverged` says in which step; the others go on.

    Args:
        runs: of one architecture, their models on one device, their schedules of one length and batch.
        images: uint8 images in shuffled epochs, on the same device.
        objective: a name from `vitae.objectives.OBJECTIVES`.
        precision: of matrix products, see `vitae.compute.precision`.
        checkpoint: file to resume from and to save to, every 20 seconds and at the end, the one before kept beside it;
            None saves nothing.
        resume: another checkpoint to start from, where there is none yet; it may hold more runs than these.

    Raises:
        InputError: the runs do not fit together, or the checkpoint belongs to others or cannot be read. One that cannot
            be written is said.
        KeyboardInterrupt: the process was asked to stop; a checkpoint of the last step was written.
    """
    require_known("objective", objective, OBJECTIVES)
    require_known("precision", precision, PRECISIONS)
    if not runs:
        return
    if len(images) == 0:
        raise InputError("there are no images to train on.")
    checkpoint = Path(checkpoint) if checkpoint else None
    names = [run.name for run in runs]
    if len(set(names)) < len(names) or len({id(run.model) for run in runs}) < len(runs):
        raise InputError("runs that train together need names and models of their own.")
    if any("/" in name for name in names):
        raise InputError(f"a run's name is part of its checkpoint's tensor names and takes no /: {', '.join(names)}.")
    if len({tuple((name, value.shape) for name, value in run.model.state_dict().items()) for run in runs}) > 1:
        raise InputError("runs that train together need models of one architecture.")
    if len({(run.schedule.epochs, run.schedule.batch, tuple(run.strength)) for run in runs}) > 1:
        raise InputError("runs that train together need the same number of epochs, batch and kind of strengths.")
    keep_freed_memory()
    device = next(runs[0].model.parameters()).device
    ranks = Ranks(device)
    if min(runs[0].schedule.batch, len(images)) < ranks.count:
        raise InputError(f"a batch of {runs[0].schedule.batch} cannot be shared out among {ranks.count} processes.")
    saved = ranks.from_first(_read((checkpoint, resume), runs) if ranks.rank == 0 else {})
    for run in runs:
        run.model.train()
        if run.name in saved:
            run.progress = saved[run.name].progress
            run.model.load_state_dict(saved[run.name].weights)
    going_on = [run for run in runs if run.progress.diverged is None]
    size = _RUNS_A_BATCH_ON_A_CPU if device.type == "cpu" else len(runs)
    groups = [
        Together(going_on[start : start + size], images, objective, precision, ranks)
        for start in range(0, len(going_on), size)
    ]
    for group in groups:
        for run in group.runs:
            if run.name in saved:
                group.restore(run, saved[run.name].moments)
    first = groups[0].runs[0].progress.step if groups else 0
    loop = _Loop(runs, groups, device, checkpoint if ranks.rank == 0 else None, label, ranks.rank == 0)
    # Sums over processes must come in the same order in all of them.
    # As many threads as there would be if none had diverged: the rounding of products depends on it.
    count = min(torch.get_num_threads(), -(-len(runs) // size)) if ranks.count == 1 else 1
    with workers(count) as in_parallel, _asked_to_stop() as asked, compute.tf32(precision == "tf32"):
        loop.run(first, in_parallel, asked)
        if asked.is_set():
            raise KeyboardInterrupt


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or SIGTERM, as batch systems send; the second has its usual effect at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) or signal.SIG_DFL for kind in kinds}

    def note(kind, frame):
        asked.set()
        signal.signal(kind, before[kind])

    for kind in kinds:
        signal.signal(kind, note)
    try:
        yield asked
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


class _Loop:
    """The steps of a training, with what is saved and shown between them."""

    def __init__(self, runs, groups: list[Together], device, checkpoint: Path | None, label: str, shown: bool):
        self.runs, self.groups, self.checkpoint = runs, groups, checkpoint
        self.label, self.shown = label, shown
        self.between_looks = _STEPS_BETWEEN_LOOKS_ON_A_CPU if device.type == "cpu" else _STEPS_BETWEEN_LOOKS

    def run(self, first: int, in_parallel: Callable, asked: threading.Event) -> None:
        """Steps from `first` to the last; see `train_together`."""
        if not self.groups:
            return
        batch, an_epoch, steps = self.groups[0].batch, self.groups[0].steps_an_epoch, self.groups[0].last
        self.going_on = self.alive()
        self.seconds_before = {run.name: run.progress.seconds for run in self.runs}
        self.started = self.saved = time.monotonic()
        self.pause = _SECONDS_BETWEEN_CHECKPOINTS
        self.told = False
        bar = tqdm(
            desc=self.label,
            total=steps * batch * len(self.going_on),
            initial=first * batch * len(self.going_on),
            unit=" images",
            unit_scale=True,
            disable=None if self.shown else True,
            mininterval=1.0,
        )
        self._log(f"{'starts' if first == 0 else 'goes on'} at step {first:,} of {steps:,}")
        with bar:
            done = first
            while done < steps and self.alive():
                start = done
                done = min(start - start % an_epoch + an_epoch, start - start % self.between_looks + self.between_looks)
                list(in_parallel(lambda group, span=range(start, done): group.steps(span), self.groups))
                bar.update((done - start) * batch * len(self.going_on))
                stopping = asked.is_set()
                bar.total -= (steps - done) * batch * self._look(done)
                if done % an_epoch == 0:
                    self._finish_epoch(done // an_epoch, bar)
                if stopping or done == steps or time.monotonic() - self.saved > self.pause:
                    self._save()
                if stopping:
                    return
        self._log("has done its last step")

    def alive(self) -> list[Run]:
        """The runs that have not diverged."""
        return [run for group in self.groups for run in group.runs]

    def _look(self, done: int) -> int:
        """Losses, and who is left; returns how many runs have just turned out to have diverged."""
        spent = (time.monotonic() - self.started) / len(self.going_on)
        for group in self.groups:
            group.look(done)
        self.groups = [group for group in self.groups if group.runs]
        alive = self.alive()
        for run in self.going_on:
            if run in alive:
                run.progress.seconds = self.seconds_before[run.name] + spent
            else:
                self._log(f"diverged in step {run.progress.diverged:,}", [run])
        lost = len(self.going_on) - len(alive)
        self.going_on = alive
        return lost

    def _finish_epoch(self, epoch: int, bar: tqdm) -> None:
        for group in self.groups:
            group.finish_epoch()
        alive = self.alive()
        if not alive:
            return
        elbo = sum(run.progress.elbo for run in alive) / len(alive)
        bar.set_postfix(epoch=f"{epoch}/{alive[0].schedule.epochs}", ELBO=f"{elbo:.1f}", refresh=False)
        for run in alive:
            self._log(f"epoch {epoch}: loss {run.progress.losses[-1]:.3f}, ELBO {run.progress.elbo:.3f}", [run])

    def _log(self, text: str, runs: Sequence[Run] | None = None) -> None:
        """A line in the log of each run. A log is a convenience: that it cannot be written stops nothing."""
        for run in runs or self.alive():
            if run.log is not None and self.shown:
                with contextlib.suppress(InputError):
                    append_line(run.log, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {run.name}: {text}")

    def _save(self) -> None:
        """A checkpoint. That it cannot be written is said, the first time, and stops nothing."""
        if self.checkpoint is None or not self.alive():
            return
        started = time.monotonic()
        try:
            _save(self.checkpoint, self.runs, self.groups)
            self.told = False
        except InputError as error:
            if not self.told:
                tqdm.write(f"{error} Training goes on; the last checkpoint stays.", file=sys.stderr)
            self.told = True
        self.saved = time.monotonic()
        self.pause = max(_SECONDS_BETWEEN_CHECKPOINTS, (self.saved - started) / _PART_FOR_CHECKPOINTS)


def diverged(run: Run, checkpoint: Path | None) -> str:
    """What to tell of a run that diverged."""
    kept = f" The last finite state is in {checkpoint}." if checkpoint and checkpoint.exists() else ""
    return (
        f"the loss stopped being finite in step {run.progress.diverged}: try a learning rate below "
        f"{run.schedule.learning_rate:g} or a longer warm-up.{kept}"
    )


def previous_of(checkpoint: Path) -> Path:
    """Where the checkpoint before the last one is kept."""
    return checkpoint.with_name(checkpoint.name + ".previous")


def _save(path: Path, runs: Sequence[Run], groups: Sequence[Together]) -> None:
    tensors = {}
    for group in groups:
        for run in group.runs:
            tensors |= {f"{run.name}/weights/{name}": value for name, value in run.model.state_dict().items()}
            for name, kept in group.moments(run).items():
                tensors |= {f"{run.name}/{kind}/{name}": value for kind, value in kept.items()}
    stated = {run.name: {"fingerprint": run.fingerprint, **asdict(run.progress)} for run in runs}
    try:
        write_tensors(path, tensors, stated, previous_of(path))
    except DiskFullError:
        if not path.exists():
            raise
        # Room for one more is where the one before the last lies.
        previous_of(path).unlink(missing_ok=True)
        write_tensors(path, tensors, stated)


@dataclass
class _Saved:
    """What a checkpoint holds of a run; of one that had diverged, only that."""

    progress: Progress
    weights: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]


def _read(paths: Iterable[Path | None], runs: Sequence[Run]) -> dict[str, _Saved]:
    """The first checkpoint that can be read, or the one before it; empty if there is none."""
    candidates = [file for path in paths if path for file in (path, previous_of(path)) if file.exists()]
    damaged: list[InputError] = []
    for file in candidates:
        try:
            tensors, stated = read_tensors(file)
        except FileNotFoundError:
            continue
        except InputError as error:
            damaged.append(error)
            continue
        found = _checked(file, tensors, stated, runs)
        if damaged:
            print(f"{damaged[0]}: going on from the one before it, {file.name}.", file=sys.stderr)
            # Lest the next writing keeps the damaged one and drops this.
            for other in candidates[: candidates.index(file)]:
                other.unlink(missing_ok=True)
        return found
    if damaged:
        raise InputError(f"{damaged[0]}: {_RESTART}.")
    return {}


def _checked(file: Path, tensors: dict[str, Tensor], stated: dict, runs: Sequence[Run]) -> dict[str, _Saved]:
    found = {}
    try:
        if any(stated.get(run.name, {}).get("fingerprint") != run.fingerprint for run in runs):
            raise InputError(
                f"{file} belongs to another configuration: give that run's settings again to resume it, or {_RESTART} "
                f"with these."
            )
        for run in runs:
            about = {name: value for name, value in stated[run.name].items() if name != "fingerprint"}
            if about.keys() != asdict(run.progress).keys():
                raise KeyError
            weights, *kept = (_of(tensors, run, kind) for kind in ("weights", *MOMENTS))
            moments = {name: dict(zip(MOMENTS, (each[name] for each in kept), strict=True)) for name in kept[0]}
            progress, own = Progress(**about), run.model.state_dict()
            if progress.diverged is not None:
                weights, moments = own, {}
            elif _shapes(weights) != _shapes(own) or any(not _shapes(k).items() <= _shapes(own).items() for k in kept):
                raise KeyError
            found[run.name] = _Saved(progress, weights, moments)
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{file} is not a checkpoint of this run: {_RESTART}.") from None
    return found


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items()}


def _of(tensors: dict[str, Tensor], run: Run, kind: str) -> dict[str, Tensor]:
    start = f"{run.name}/{kind}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
