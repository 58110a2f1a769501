"""Checkpoints: how an interrupted training resumes.

A checkpoint holds weights, Adam's moments and the step of one or several runs. The checkpoint before the last is kept
beside it as `.previous`, in case the last one is damaged.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from vitae.support.errors import DamagedError, InputError
from vitae.support.files import DiskFullError, read_tensors, write_tensors
from vitae.support.schema import WATCHED, Each, Nullable, Values, misfit, schema_of
from vitae.training.step import MOMENTS, Progress, Run, RunGroup

_RESTART = "train again with --restart"


def previous_of(checkpoint: Path) -> Path:
    """Where the checkpoint before the last is kept."""
    return checkpoint.with_name(checkpoint.name + ".previous")


def save_checkpoint(path: Path, runs: Sequence[Run], groups: Sequence[RunGroup]) -> None:
    """Write a checkpoint atomically.

    Args:
        runs: all runs of the training, those that diverged included.
        groups: the runs that have not diverged, with their optimisers.

    Raises:
        InputError: it cannot be written; the last checkpoint is still there.
    """
    tensors = {}
    for group in groups:
        for run in group.runs:
            tensors |= {f"{run.name}/weights/{name}": value for name, value in run.model.state_dict().items()}
            for name, moments in group.moments(run).items():
                tensors |= {f"{run.name}/{kind}/{name}": value for kind, value in moments.items()}
    stated = {run.name: {"fingerprint": run.fingerprint, **asdict(run.progress)} for run in runs}
    try:
        write_tensors(path, tensors, stated, previous_of(path))
    except DiskFullError:
        if not path.exists():
            raise
        # Make room by giving up the checkpoint before the last.
        previous_of(path).unlink(missing_ok=True)
        write_tensors(path, tensors, stated)


@dataclass
class SavedRun:
    """What a checkpoint holds of a run: of one that had diverged, only its progress."""

    progress: Progress
    weights: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]


def read_checkpoint(paths: Iterable[Path | None], runs: Sequence[Run], images: int) -> dict[str, SavedRun]:
    """The first checkpoint that can be read, or the one before it; empty if there is none.

    Args:
        images: number of training images, from which the steps of an epoch follow.

    Raises:
        InputError: the checkpoint belongs to other settings, or all of them are damaged, or memory is too short.
    """
    candidates = [file for path in paths if path for file in (path, previous_of(path)) if file.exists()]
    damaged: list[DamagedError] = []
    for file in candidates:
        try:
            tensors, stated = read_tensors(file)
        except FileNotFoundError:
            continue
        except DamagedError as error:
            damaged.append(error)
            continue
        found = _saved_runs(file, tensors, stated, runs, images)
        if damaged:
            print(f"{damaged[0]}: resuming from the checkpoint before it, {file.name}.", file=sys.stderr)
            # Delete it, or the next save would rotate the damaged file into `.previous`.
            for other in candidates[: candidates.index(file)]:
                other.unlink(missing_ok=True)
        return found
    if damaged:
        raise InputError(f"{damaged[0]}: {_RESTART}.")
    return {}


# A progress as checkpoints and weights state it.
PROGRESS = {
    **schema_of(Progress),
    "elbo": Nullable(WATCHED),
    "elbo_sum": WATCHED,
    "curves": Values(Each(WATCHED)),
    "held_out": Each(WATCHED),
}


def _saved_runs(
    file: Path, tensors: dict[str, Tensor], stated: dict, runs: Sequence[Run], images: int
) -> dict[str, SavedRun]:
    found = {}
    for run in runs:
        own = stated.get(run.name)
        if not isinstance(own, dict) or own.get("fingerprint") != run.fingerprint:
            raise InputError(
                f"{file} belongs to a run with other settings or data: give those again to resume it, or {_RESTART} "
                f"with these."
            )
    for run in runs:
        saved = _saved_run(stated[run.name], tensors, run, images)
        if isinstance(saved, str):
            raise InputError(f"{file} is not a checkpoint of this run, it {saved}: {_RESTART}.")
        found[run.name] = saved
    if len({saved.progress.step for saved in found.values() if saved.progress.diverged is None}) > 1:
        raise InputError(f"{file} is not a checkpoint of these runs, which are at different steps: {_RESTART}.")
    return found


def _saved_run(stated: dict, tensors: dict[str, Tensor], run: Run, images: int) -> SavedRun | str:
    """What is saved of a run, or what is wrong with it in words."""
    if absent := sorted(asdict(run.progress).keys() - stated.keys()):
        return f"lacks {absent[0]}"
    if wrong := misfit(stated, PROGRESS):
        return wrong
    progress = Progress(**{name: stated[name] for name in asdict(run.progress)})
    if wrong := progress.contradiction(run.schedule, images):
        return wrong
    if progress.diverged is not None:
        return SavedRun(progress, run.model.state_dict(), {})
    own = run.model.state_dict()
    weights, *moments_of = (_tensors_of(tensors, run, kind) for kind in ("weights", *MOMENTS))
    if wrong := weights_misfit(weights, own):
        return wrong
    for moments in moments_of:
        # Parameters without a gradient have no moments.
        if moments.keys() != moments_of[0].keys() or not moments.keys() <= own.keys():
            return "has moments of other tensors"
        if wrong := _misfit(moments, {name: own[name] for name in moments}):
            return wrong
    by_name = {name: dict(zip(MOMENTS, (each[name] for each in moments_of), strict=True)) for name in moments_of[0]}
    return SavedRun(progress, weights, by_name)


def weights_misfit(weights: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """How tensors differ from those of a model in names, shapes and dtypes, or that they are not finite; "" if neither.

    Args:
        expected: the model's own, see `torch.nn.Module.state_dict`.
    """
    infinite = (f"has numbers in {name} that are not finite" for name, value in weights.items() if not _finite(value))
    return _misfit(weights, expected) or next(infinite, "")


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


def _misfit(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    if names := sorted(tensors.keys() ^ expected.keys()):
        return f"{'lacks' if names[0] in expected else 'has an unknown'} {names[0]}"
    for name, value in tensors.items():
        if value.shape != expected[name].shape:
            return f"has {name} of shape {tuple(value.shape)}, not {tuple(expected[name].shape)}"
        if value.dtype != expected[name].dtype:
            return f"has {name} as {value.dtype}, not {expected[name].dtype}"
    return ""


def _tensors_of(tensors: dict[str, Tensor], run: Run, kind: str) -> dict[str, Tensor]:
    prefix = f"{run.name}/{kind}/"
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
