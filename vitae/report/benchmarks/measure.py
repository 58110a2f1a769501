"""Medians of timings, the rates that this machine reaches at best, and the affine family in plain torch."""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vitae.transforms import Affine

# Shorter totals than this times the repeats are dominated by timing noise.
SECONDS_A_REPEAT = 0.3


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of `repeats` runs, after one warm-up run; short runs are repeated more often."""
    work()
    spent: list[float] = []
    while len(spent) < repeats or sum(spent) < SECONDS_A_REPEAT * repeats:
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def medians(repeats: int, **works: Callable[[], float]) -> dict[str, float]:
    """The median of what each function returns; the functions take turns, and the first round is a warm-up."""
    values: dict[str, list[float]] = {name: [] for name in works}
    for n in range(repeats + 1):
        for name, work in works.items():
            value = work()
            if n:
                values[name].append(value)
    return {name: statistics.median(each) for name, each in values.items()}


class PlainAffine(Affine):
    """The affine family by torch's own functions: `matrix_exp`, `affine_grid` and `grid_sample`."""

    def warp(self, images: Tensor, gamma: Tensor, *, inverse: bool = False) -> Tensor:
        """`T_gamma` or `T_-gamma` of images, `batch x channels x height x width`, with gamma `batch x 6`."""
        generators = F.pad(self._generators(-gamma if inverse else gamma), (0, 0, 0, 1))
        grid = F.affine_grid(torch.linalg.matrix_exp(generators)[:, :2], list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    @staticmethod
    def _generators(gamma: Tensor) -> Tensor:
        return torch.cat([gamma[:, :4].unflatten(1, (2, 2)), gamma[:, 4:, None]], dim=2)


def matrix_rate() -> float:
    """Float32 operations per second in a large matrix product."""
    left = torch.rand(1536, 1536)
    return 2 * 1536**3 / median_seconds(lambda: left @ left, 9)


def machine() -> dict:
    """The processor, and what torch's threads reach at best: operations and bytes per second.

    Operations are those of a float32 matrix product, bytes those read and written by a copy.
    """
    block = torch.rand(64 * 1024 * 1024 // 4)
    target = torch.empty_like(block)
    copy = median_seconds(lambda: target.copy_(block), 9)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    wide = "AVX-512" if any("avx512f" in line for line in lines[:60]) else "no AVX-512"
    return {
        "processor": f"{name} ({platform.machine()}, {wide})",
        "operations a second": matrix_rate(),
        "bytes a second": 2 * block.numel() * 4 / copy,
    }
