"""Checkpoints: how an interrupted training resumes.

A checkpoint holds weights, Adam's moments and the step of one or several runs. The checkpoint before the last is kept
beside it as `.previous`, in case the last one is damaged.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from vitae.support.errors import InputError
from vitae.support.files import DiskFullError, read_tensors, write_tensors
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


def read_checkpoint(paths: Iterable[Path | None], runs: Sequence[Run]) -> dict[str, SavedRun]:
    """The first checkpoint that can be read, or the one before it; empty if there is none.

    Raises:
        InputError: the checkpoint belongs to other settings, or all of them are damaged.
    """
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
        found = _saved_runs(file, tensors, stated, runs)
        if damaged:
            print(f"{damaged[0]}: resuming from the checkpoint before it, {file.name}.", file=sys.stderr)
            # Delete it, or the next save would rotate the damaged file into `.previous`.
            for other in candidates[: candidates.index(file)]:
                other.unlink(missing_ok=True)
        return found
    if damaged:
        raise InputError(f"{damaged[0]}: {_RESTART}.")
    return {}


def _saved_runs(file: Path, tensors: dict[str, Tensor], stated: dict, runs: Sequence[Run]) -> dict[str, SavedRun]:
    found = {}
    try:
        if any(stated.get(run.name, {}).get("fingerprint") != run.fingerprint for run in runs):
            raise InputError(
                f"{file} belongs to a run with other settings or data: give those again to resume it, or {_RESTART} "
                f"with these."
            )
        for run in runs:
            values = {name: value for name, value in stated[run.name].items() if name != "fingerprint"}
            if values.keys() != asdict(run.progress).keys():
                raise KeyError
            weights, *moments_of = (_tensors_of(tensors, run, kind) for kind in ("weights", *MOMENTS))
            moments = {
                name: dict(zip(MOMENTS, (each[name] for each in moments_of), strict=True)) for name in moments_of[0]
            }
            progress, own = Progress(**values), run.model.state_dict()
            if progress.diverged is not None:
                weights, moments = own, {}
            elif _shapes(weights) != _shapes(own) or any(
                not _shapes(each).items() <= _shapes(own).items() for each in moments_of
            ):
                raise KeyError
            found[run.name] = SavedRun(progress, weights, moments)
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{file} is not a checkpoint of this run: {_RESTART}.") from None
    return found


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items()}


def _tensors_of(tensors: dict[str, Tensor], run: Run, kind: str) -> dict[str, Tensor]:
    prefix = f"{run.name}/{kind}/"
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
