"""`vitae study`: train and score everything that the declarations ask for, as long as it takes."""

import argparse
import itertools
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from vitae.cli.main import OWN_FILES
from vitae.cli.options import MOST_THREADS, Parser, add_profile
from vitae.experiments.declaration import EXPERIMENTS, Planned, planned_runs
from vitae.experiments.records import is_superseded, read_record
from vitae.support import paths
from vitae.support.devices import pick_device
from vitae.support.errors import InputError, require_known, require_number

_EXAMPLES = """\
  vitae study --profile full --list                  # what is done, what is left, and how long that takes
  vitae study --profile full --workers 2             # all of it, two runs at a time, slowest rows first
  vitae study mnist smpl --profile full              # these first, and no others
  vitae study --profile full --device cuda           # all seeds of a row as one batch on the GPU
"""
_NOTES = """\
Stop it whenever you like: the same command goes on from the last checkpoints. Runs that have a record are left alone.
Each worker is one process with one thread. Logs are beside the weights, in runs/PROFILE/DATASET.
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's options."""
    study = Parser(
        "Train and score every run that the experiments declare, or resume.", _EXAMPLES, prog=prog, epilog=_NOTES
    )
    study.add_argument("datasets", nargs="*", help="experiments, in this order (default: all that need no own images)")
    add_profile(study)
    study.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    study.add_argument("--workers", type=int, default=0, help="runs at a time (default: all cores, or one on a GPU)")
    study.add_argument("--list", action="store_true", help="only say what is done and what is left")
    return study


def execute(arguments: argparse.Namespace) -> None:
    """Run what is left, and say after each job how much that is."""
    datasets = arguments.datasets or [name for name, each in EXPERIMENTS.items() if each.pipeline]
    for name in datasets:
        require_known("experiment", name, EXPERIMENTS)
    require_number("workers", arguments.workers, 0, whole=True, largest=MOST_THREADS)
    planned = [run for name in datasets for run in planned_runs(name, arguments.profile)]
    study = _Study(planned, arguments.profile)
    print(study.table())
    on_gpu = pick_device(arguments.device).type == "cuda"
    workers = arguments.workers or (1 if on_gpu else os.cpu_count() or 1)
    print(study.summary(workers))
    if arguments.list or not study.left:
        return
    jobs = _jobs(study, together=on_gpu)
    failed = []
    with ThreadPoolExecutor(workers) as pool:
        pending = {pool.submit(_run, job, arguments.profile, arguments.device): job for job in jobs}
        try:
            for done in as_completed(pending):
                job, (code, last) = pending[done], done.result()
                if code:
                    failed.append(f"{job[0].dataset} {job[0].name}: {last}")
                    print(f"FAILED {failed[-1]}", flush=True)
                else:
                    study.finish(job)
                    print(f"{job[0].dataset} {job[0].name} done. {study.summary(workers)}", flush=True)
        except KeyboardInterrupt:
            # The children got the same signal, and write their checkpoints.
            pool.shutdown(cancel_futures=True)
            raise
    if failed:
        raise InputError(f"{len(failed)} of {len(jobs)} jobs failed; the others are done. {' '.join(failed)}")


class _Study:
    """What is done, what is left, and how long runs took."""

    def __init__(self, planned: list[Planned], profile: str):
        self.planned = planned
        self._folder = paths.records() / profile
        self._seconds: dict[tuple[str, str, str], list[float]] = {}
        self.left = [run for run in planned if not self._recorded(run)]

    def _recorded(self, run: Planned) -> bool:
        file: Path = self._folder / run.dataset / f"{run.name}.json"
        if not file.exists():
            return False
        record = read_record(file)
        if is_superseded(record):
            return False
        spent = (record["seconds"]["train"] or 0) + (record["seconds"]["evaluate"] or 0)
        self._seconds.setdefault(_kind(run), []).append(spent)
        return True

    def finish(self, job: list[Planned]) -> None:
        """Note that a job's runs are done."""
        self.left = [run for run in self.left if run not in job or not self._recorded(run)]

    def expected(self, run: Planned) -> float | None:
        """Seconds that a run will take, by runs of its kind or else of its dataset; None before the first."""
        own = self._seconds.get(_kind(run))
        of_dataset = [s for (dataset, *_), found in self._seconds.items() if dataset == run.dataset for s in found]
        known = own or of_dataset
        return sum(known) / len(known) if known else None

    def summary(self, workers: int) -> str:
        """How many runs are done, and when the rest will be."""
        done = len(self.planned) - len(self.left)
        text = f"{done} of {len(self.planned)} runs are done"
        expected = [self.expected(run) for run in self.left]
        known = [seconds for seconds in expected if seconds is not None]
        if known:
            hours = sum(known) / workers / 3600
            at = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + 3600 * hours))
            text += f"; about {hours:.1f} hours to go, until {at}"
        if unknown := len(expected) - len(known):
            text += f"; {unknown} runs are of data without a finished run, so their time is not known yet"
        return text + "."

    def table(self) -> str:
        """A line a dataset and row: seeds done of those planned."""
        lines = []
        for (dataset, row, changes), group in itertools.groupby(self.planned, key=_kind):
            runs = list(group)
            done = sum(run not in self.left for run in runs)
            what = f"{row} {changes}".strip()
            lines.append(f"{dataset:10}  {what:40}  {done} of {len(runs)} seeds")
        return "\n".join(lines)


def _kind(run: Planned) -> tuple[str, str, str]:
    """Dataset, row and changes: equal for runs that differ in the seed alone."""
    return run.dataset, run.row, run.name.partition(f"-seed{run.seed}")[2].removeprefix("-")


def _jobs(study: _Study, *, together: bool) -> list[list[Planned]]:
    """Runs that one process trains: on a GPU all seeds of a row, else one.

    The rows of the datasets' own tables come first, then variants, then the sister systems'; of each, seeds in turn, so
    that a table with few seeds is complete early, and slow rows first.
    """
    rank = {name: n for n, name in enumerate(dict.fromkeys(run.dataset for run in study.planned))}

    def order(run: Planned):
        kind = 1 if run.changes else 0 if run.row in EXPERIMENTS[run.dataset].rows else 2
        # Before anything is known, rows that transform are the slowest.
        return kind, rank[run.dataset], run.seed, -(study.expected(run) or 0), "vitae" not in run.row

    runs = sorted(study.left, key=order)
    if not together:
        return [[run] for run in runs]
    groups: dict[tuple[str, str, str], list[Planned]] = {}
    for run in runs:
        groups.setdefault(_kind(run), []).append(run)
    return list(groups.values())


def _run(job: list[Planned], profile: str, device: str) -> tuple[int, str]:
    """Train and score a job in a process of its own: the exit code, and the last line it said."""
    first = job[0]
    command = [sys.executable, "-m", "vitae", *(f"--with={file}" for file in OWN_FILES)]
    command += ["train", first.dataset, "--model", first.row, "--profile", profile]
    command += ["--seeds", ",".join(str(run.seed) for run in job), "--device", device, "--threads", "1"]
    for name, value in first.changes.items():
        command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stderr or done.stdout).strip().splitlines()
    return done.returncode, said[-1] if said else ""
