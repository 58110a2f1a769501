"""Device, precision of matrix products, and memory allocation of training and evaluation."""

import contextlib
import ctypes
from collections.abc import Iterator
from functools import cache

import torch

from vitae.support.errors import InputError, require_known

PRECISIONS = ("float32", "tf32", "bf16")


def pick_device(name: str = "auto") -> torch.device:
    """The device of a name: `cpu`, `cuda`, `cuda:N`, or `auto`, the current GPU if there is one, else the CPU.

    Raises:
        InputError: an unknown name, or a device that does not exist.
    """
    kind, _, number = str(name).partition(":")
    require_known("device", name if number == "" or kind != "cuda" else kind, ("auto", "cpu", "cuda"))
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and number and not (number.isdecimal() and int(number) < torch.cuda.device_count()):
        raise InputError(f"there is no device cuda:{number}: torch finds {torch.cuda.device_count()} GPU(s).")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda needs a GPU, but torch finds no GPU: use --device cpu.")
    return torch.device(f"{kind}:{number}" if number else kind)


@contextlib.contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Context: the precision of matrix products. Everything else is computed and stored in float32.

    Args:
        name: `float32`; `bf16`, which computes the networks in bfloat16; or `tf32`, which rounds the factors of a
            product to 10 bits on GPUs that support it. This context does not switch TF32 on; see `tf32`.

    Raises:
        InputError: an unknown name.
    """
    require_known("precision", name, PRECISIONS)
    if name == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    else:
        yield


@contextlib.contextmanager
def tf32(enabled: bool) -> Iterator[None]:
    """Context: allow TF32 if enabled. The setting is global to the process, so only the main thread may change it."""
    before = torch.get_float32_matmul_precision()
    if enabled:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # mallopt's constants in glibc


@cache
def keep_freed_memory() -> None:
    """Make glibc keep freed memory, so that each step does not request the same pages from the kernel again.

    By default glibc returns large blocks to the kernel at once, and allocating them again costs a page fault per 4 KiB.
    No effect with other C libraries.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 1 << 30)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
