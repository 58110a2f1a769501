"""Speed of training: `vitae bench train`, against a plain implementation and the machine's limit, measured in one run.

The plain implementation is what one would write first: a `DataLoader` that augments image by image with PIL in two
worker processes, torch's own matrix exponential, `affine_grid` and `grid_sample`, and a step that reads its loss. The
networks are the same. The limit is the rate of a large float32 matrix product on the same threads, measured in turn
with the training; only operations in matrix products count.
"""

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from vitae.data import DATASETS, Dataset
from vitae.data.mnist import MAX_ROTATION, MAX_TRANSLATION
from vitae.experiments.build import build
from vitae.experiments.configuration import Configuration, architecture_and_objective, configure
from vitae.models.objectives import OBJECTIVES
from vitae.report.benchmarks.measure import PlainAffine, machine, matrix_rate, medians
from vitae.support.devices import keep_freed_memory
from vitae.support.provenance import environment
from vitae.support.randomness import generator
from vitae.support.threads import thread_map
from vitae.training.loop import train_together
from vitae.training.step import Run, RunGroup

SCHEMA = 1
TOGETHER = 10
# Models and batch sizes of which several runs are trained, one after the other and together.
BATCHES = [("vae", 256), ("c-vitae", 256), ("c-vitae", 64)]
_DIGITS, _BATCH, _EPOCHS = 4_000, 256, 3
# Shares of a step's time: prefixes of the names of the profiler's events.
_EVENTS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "transformation": ("vitae::",),
    "optimiser": ("aten::_fused_adam_", "Optimizer."),
}


def with_authors_networks(model: str = "c-vitae") -> Configuration:
    """Our model with networks of the authors' sizes: widths 512 and 256, separate networks for means and variances."""
    return dataclasses.replace(
        _fixed_configuration(model), network="mlp-separate", widths=(512, 256), vae_widths=(512, 256)
    )


def _fixed_configuration(model: str) -> Configuration:
    """A row's settings at the time of the first records, so that new records compare with old ones."""
    first_settings = {} if model == "vae" else {"perspective_decoder": "hidden"}
    return configure("mnist", model, "full", perspective=3, **first_settings)


class _Augmented(TorchDataset):
    """Digits that PIL rotates and translates at random, one image at a time."""

    def __init__(self, digits: Dataset):
        self.images = [Image.fromarray(image[0].numpy()) for image in digits.images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        rotation, dx, dy = (torch.rand(3) * 2 - 1).tolist()
        moved = self.images[index].rotate(
            rotation * MAX_ROTATION,
            resample=Image.Resampling.BILINEAR,
            translate=(dx * MAX_TRANSLATION, dy * MAX_TRANSLATION),
        )
        return torch.from_numpy(np.asarray(moved, np.float32) / 255)[None]


def _plain_epoch(configuration: Configuration, digits: Dataset) -> Callable[[], float]:
    """A function that trains an epoch in the plain way and returns images per second, without worker start-up."""
    model = build(configuration, digits.shape).train()
    model.transformation = PlainAffine()
    optimiser = torch.optim.Adam(model.parameters(), lr=configuration.schedule.learning_rate)
    loader = DataLoader(
        _Augmented(digits), batch_size=_BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )

    def epoch() -> float:
        batches = iter(loader)
        started, images = time.perf_counter(), 0
        for x in batches:
            loss = OBJECTIVES["elbo"].loss(model(x, generator("cpu", 0, "benchmark")))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()
            images += len(x)
        return images / (time.perf_counter() - started)

    return epoch


def _runs(configuration: Configuration, digits: Dataset, count: int) -> list[Run]:
    return [
        Run(f"{seed}", build(dataclasses.replace(configuration, seed=seed), digits.shape), seed, configuration.schedule)
        for seed in range(count)
    ]


def _our_epochs(configuration: Configuration, digits: Dataset, precision: str) -> Callable[[], float]:
    """A function that trains by our loop and returns images per second: shuffling, augmentation, steps, logging."""
    short = dataclasses.replace(configuration.schedule, epochs=_EPOCHS)

    def epoch() -> float:
        [run] = _runs(dataclasses.replace(configuration, schedule=short), digits, 1)
        started = time.perf_counter()
        train_together([run], digits, "elbo", precision=precision)
        return _EPOCHS * (_DIGITS // _BATCH) * _BATCH / (time.perf_counter() - started)

    return epoch


def _steps(configuration: Configuration, digits: Dataset) -> tuple[Callable[[], float], Callable[[], None]]:
    """A function that takes steps and returns images per second, and a function that takes one step."""
    [group], step = _groups(configuration, digits, 1, 1)

    def epoch_of_steps() -> float:
        started = time.perf_counter()
        for _ in range(_DIGITS // _BATCH):
            step()
        return (_DIGITS // _BATCH) * group.batch / (time.perf_counter() - started)

    return epoch_of_steps, step


def _groups(configuration: Configuration, digits: Dataset, runs: int, groups: int):
    """Runs divided among groups that have started an epoch, and a function that takes a step of the first group."""
    long = dataclasses.replace(configuration, schedule=dataclasses.replace(configuration.schedule, epochs=1_000))
    objective = architecture_and_objective(configuration.model)[1]
    all_runs = _runs(long, digits, runs)
    parts = [all_runs[n::groups] for n in range(groups)]
    run_groups = [RunGroup(part, digits, objective, "float32") for part in parts]
    for group in run_groups:
        group.step(0)
    numbers = iter(range(1, 10**9))

    def step() -> None:
        # The number stays within the first epoch, so that no step starts a new one.
        run_groups[0].step(next(numbers) % run_groups[0].steps_per_epoch)

    return run_groups, step


def _shares(step: Callable[[], None]) -> dict[str, float]:
    """The shares of a step's time, by kind of work; they add up to 1."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        started = time.perf_counter()
        for _ in range(_DIGITS // _BATCH):
            step()
        spent = time.perf_counter() - started
    events = [(event.key, event.self_cpu_time_total * 1e-6) for event in profiled.key_averages()]
    shares = {
        kind: sum(seconds for name, seconds in events if name.startswith(prefixes)) / spent
        for kind, prefixes in _EVENTS.items()
    }
    arithmetic = sum(seconds for name, seconds in events if name.startswith("aten::")) / spent
    shares["other arithmetic"] = (
        arithmetic
        - shares["matrix products"]
        - sum(seconds for name, seconds in events if name == "aten::_fused_adam_") / spent
    )
    return {**shares, "Python and dispatch": 1 - sum(shares.values())}


def _operations(step: Callable[[], None], images: int) -> float:
    """Floating-point operations per image in the matrix products of a step, forward and backward, by torch's count."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / images


def _many_runs(model: str, batch: int, digits: Dataset, repeats: int) -> dict:
    """Images per second of ten runs: one after the other, as one batched group, and on several threads."""
    plain = _fixed_configuration(model)
    configuration = dataclasses.replace(plain, schedule=dataclasses.replace(plain.schedule, batch=batch))
    threads = torch.get_num_threads()
    [alone], one_step = _groups(configuration, digits, 1, 1)
    groups, _ = _groups(configuration, digits, TOGETHER, TOGETHER)
    batched, batched_step = _groups(configuration, digits, TOGETHER, 1)

    def rate(work: Callable[[], None], images: int) -> float:
        started = time.perf_counter()
        work()
        return images / (time.perf_counter() - started)

    def in_turn() -> None:
        for _ in range(TOGETHER):
            one_step()

    with thread_map(threads) as in_threads:
        found = medians(
            repeats,
            in_turn=lambda: rate(in_turn, TOGETHER * alone.batch),
            limit=matrix_rate,
            one_batch=lambda: rate(batched_step, TOGETHER * batched[0].batch),
            together=lambda: rate(
                lambda: list(in_threads(lambda group: group.step(1), groups)), TOGETHER * alone.batch
            ),
        )
    return {
        "model": model,
        "batch": batch,
        "runs": TOGETHER,
        "operations an image": _operations(one_step, alone.batch),
        "limit, operations a second": found.pop("limit"),
        **{f"{name.replace('_', ' ')}, images a second": value for name, value in found.items()},
    }


def run(repeats: int = 5) -> dict:
    """Measure everything in some minutes, on as many threads as torch uses.

    Args:
        repeats: runs of which the median counts.
    """
    digits = DATASETS["mnist"].for_training("train", source="embedded", size=_DIGITS)
    authors = with_authors_networks()
    authors = dataclasses.replace(authors, schedule=dataclasses.replace(authors.schedule, batch=_BATCH))
    progress = tqdm(total=3 + len(BATCHES), disable=None, unit="part")
    # Plain first: our own training changes how the process allocates memory.
    one = medians(repeats, plain=_plain_epoch(authors, digits))
    progress.update()
    keep_freed_memory()
    limits = machine()
    step_rate, step = _steps(authors, digits)
    one |= medians(
        repeats,
        ours=_our_epochs(authors, digits, "float32"),
        bf16=_our_epochs(authors, digits, "bf16"),
        step=step_rate,
        limit=matrix_rate,
    )
    progress.update()
    operations, shares = _operations(step, _BATCH), _shares(step)
    progress.update()
    many = []
    for model, batch in BATCHES:
        many.append(_many_runs(model, batch, digits, repeats))
        progress.update()
    progress.close()
    return {
        "schema": SCHEMA,
        "command": "vitae bench train",
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "machine": limits,
        "one run": {
            "parameters": build(authors, digits.shape).parameter_count(),
            "operations an image": operations,
            "limit, operations a second": one.pop("limit"),
            **{f"{name}, images a second": value for name, value in one.items()},
            "shares of a step": shares,
        },
        "many runs": many,
        **environment(torch.device("cpu")),
    }


def summary(found: dict) -> str:
    """A record as text for a terminal."""
    one = found["one run"]

    def share(images: float, row: dict) -> str:
        limit = row["limit, operations a second"]
        return f"{images * row['operations an image'] / limit:.0%} of {limit / 1e9:.0f} GFLOP/s"

    plain = one["plain, images a second"]
    lines = [f"C-VITAE, {one['parameters']:,} parameters, {found['threads']} threads, images/s:"]
    for name in ("ours", "bf16", "step"):
        rate = one[f"{name}, images a second"]
        lines.append(f"  {name}: {rate:,.0f}, {rate / plain:.2f} x plain ({plain:,.0f}), {share(rate, one)}")
    shares = ", ".join(f"{name} {part:.0%}" for name, part in one["shares of a step"].items())
    lines.append(f"  a step's time: {shares}")
    for row in found["many runs"]:
        turn, together = row["in turn, images a second"], row["together, images a second"]
        lines.append(
            f"{row['runs']} runs of {row['model']}, batch {row['batch']}: together {together:,.0f}, "
            f"in turn {turn:,.0f}, {together / turn:.2f} x, {share(together, row)}"
        )
    return "\n".join(lines)
