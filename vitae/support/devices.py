"""What a training or an evaluation runs on: device, precision of matrix products, and memory."""

import contextlib
import ctypes
from collections.abc import Iterator
from functools import cache

import torch

from vitae.support.errors import InputError, require_known

PRECISIONS = ("float32", "tf32", "bf16")


def pick_device(name: str = "auto") -> torch.device:
    """`cpu`, `cuda`, `cuda:N`, or `auto`: the first GPU if there is one, else the CPU.

    Raises:
        InputError: an unknown name, or a device that is not there.
    """
    kind, _, number = str(name).partition(":")
    require_known("device", name if number == "" or kind != "cuda" else kind, ("auto", "cpu", "cuda"))
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and number and not (number.isdecimal() and int(number) < torch.cuda.device_count()):
        raise InputError(f"there is no device cuda:{number}: torch finds {torch.cuda.device_count()} GPU(s).")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda was asked for, but torch finds no GPU: use --device cpu.")
    return torch.device(f"{kind}:{number}" if number else kind)


@contextlib.contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """How matrix products are computed inside the context. Everything else, and everything stored, is float32.

    Args:
        name: `float32`; `bf16`, which computes the networks in bfloat16; or `tf32`, which rounds the factors of a
            product to 10 bits on GPUs that can, and changes nothing elsewhere. tf32 is set by the caller, see `tf32`.
    """
    require_known("precision", name, PRECISIONS)
    if name == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    else:
        yield


@contextlib.contextmanager
def tf32(enabled: bool) -> Iterator[None]:
    """Allow TF32 inside the context. The setting belongs to the whole process, so threads must not change it."""
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
    """Keep freed memory in the process, so that each step does not ask the system for the same pages again.

    glibc returns large blocks to the system at once, and getting them back costs a page fault for every 4 KiB. Other C
    libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 1 << 30)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
