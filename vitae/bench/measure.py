"""What every benchmark needs: medians, and what this machine's core can do at best."""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

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


def machine() -> dict:
    """What one core does at best here: float32 operations in a matrix product, and bytes in a copy."""
    left = torch.rand(1536, 1536)
    product = median_seconds(lambda: left @ left, 9)
    block = torch.rand(64 * 1024 * 1024 // 4)
    target = torch.empty_like(block)
    copy = median_seconds(lambda: target.copy_(block), 9)
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    wide = "AVX-512" if any("avx512f" in line for line in lines[:60]) else "no AVX-512"
    return {
        "processor": f"{name} ({platform.machine()}, {wide})",
        "operations a second": 2 * 1536**3 / product,
        "bytes a second": 2 * block.numel() * 4 / copy,
    }
