"""What every benchmark needs: medians, and what this machine's core can do at best."""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vitae.transforms import Affine

# A median over less time than this times the repeats would be one of a machine's moods.
SECONDS_A_REPEAT = 0.3


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """The median of `repeats` runs after one that is not counted; more of them where they are short."""
    work()
    spent: list[float] = []
    while len(spent) < repeats or sum(spent) < SECONDS_A_REPEAT * repeats:
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def medians(repeats: int, **works: Callable[[], float]) -> dict[str, float]:
    """The median of what each work returns, the works taking turns, after one round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for n in range(repeats + 1):
        for name, work in works.items():
            value = work()
            if n:
                found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


class PlainAffine(Affine):
    """The affine family as one writes it with what torch has: matrix exponential, `affine_grid`, `grid_sample`."""

    def warp(self, images: Tensor, gamma: Tensor, *, inverse: bool = False) -> Tensor:
        generators = F.pad(self._shaped(-gamma if inverse else gamma), (0, 0, 0, 1))
        grid = F.affine_grid(torch.linalg.matrix_exp(generators)[:, :2], list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    @staticmethod
    def _shaped(gamma: Tensor) -> Tensor:
        return torch.cat([gamma[:, :4].unflatten(1, (2, 2)), gamma[:, 4:, None]], dim=2)


def matrix_rate() -> float:
    """Float32 operations a second in a large matrix product."""
    left = torch.rand(1536, 1536)
    return 2 * 1536**3 / median_seconds(lambda: left @ left, 9)


def machine() -> dict:
    """What torch's threads do at best here: float32 operations in a matrix product, and bytes in a copy."""
    block = torch.rand(64 * 1024 * 1024 // 4)
    target = torch.empty_like(block)
    copy = median_seconds(lambda: target.copy_(block), 9)
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    wide = "AVX-512" if any("avx512f" in line for line in lines[:60]) else "no AVX-512"
    return {
        "processor": f"{name} ({platform.machine()}, {wide})",
        "operations a second": matrix_rate(),
        "bytes a second": 2 * block.numel() * 4 / copy,
    }
