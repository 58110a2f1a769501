"""What a training or an evaluation runs on: device, precision, memory, and other processes of the same run."""

import atexit
import contextlib
import ctypes
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
import torch.distributed
from torch import Tensor
from torch.utils import _pytree as pytree

from vitae.errors import InputError, reason, require_known

PRECISIONS = ("float32", "tf32", "bf16")


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU; of several processes on a machine each gets its own.

    Raises:
        InputError: an unknown name, or a device that is not there.
    """
    kind, _, number = str(name).partition(":")
    require_known("device", name if number == "" or kind != "cuda" else kind, ("auto", "cpu", "cuda"))
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and not number:
        number = os.environ.get("LOCAL_RANK", "")
    if kind == "cuda" and number and not (number.isdecimal() and int(number) < torch.cuda.device_count()):
        raise InputError(f"there is no device cuda:{number}: torch finds {torch.cuda.device_count()} GPU(s).")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda was asked for and torch finds no GPU: use --device cpu.")
    return torch.device(f"{kind}:{number}" if number else kind)


@contextlib.contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """How matrix products are computed inside: all else, and all that is stored, is float32.

    Args:
        name: `float32`; `bf16`, which computes the networks in bfloat16; or `tf32`, which rounds the factors of a
            product to 10 bits on GPUs that can and changes nothing elsewhere, and is set by the caller, see `tf32`.
    """
    require_known("precision", name, PRECISIONS)
    if name == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    else:
        yield


@contextlib.contextmanager
def tf32(wanted: bool) -> Iterator[None]:
    """`precision`'s tf32, which is a setting of the whole process and so not for one thread to put back."""
    before = torch.get_float32_matmul_precision()
    if wanted:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # mallopt's names in glibc


@cache
def keep_freed_memory() -> None:
    """Let the process keep what its tensors free, instead of asking the system for the same pages again in each step.

    glibc returns large blocks at once, and getting them back costs a page fault for every 4 KiB. Other C libraries are
    left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 1 << 30)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


@contextlib.contextmanager
def workers(count: int) -> Iterator[Callable]:
    """A `map` that calls in `count` threads, each with its part of the cores; in this thread, with all, if it is one.

    Where the products are small, two threads with one each finish earlier than one after the other with two.
    """
    if count <= 1:
        yield map
        return
    threads = torch.get_num_threads()
    try:
        part = max(1, threads // count)
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(part,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


# Calls before a recording: libraries choose and compile their kernels in the first ones.
_BEFORE_RECORDING = 3


class Recorded:
    """A function of tensors that is recorded as a CUDA graph and replayed, where there is a GPU.

    A step of a small network is hundreds of kernels of microseconds each; starting them one by one takes longer than
    they do. What cannot be recorded is called as it is, which is said once; so is everything on a CPU.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device):
        self._function, self._calls = function, 0
        self._recordable = device.type == "cuda"
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs) -> Tensor:
        if self._recordable and self._graph is None:
            self._calls += 1
            if self._calls <= _BEFORE_RECORDING:
                return self._aside(inputs)
            self._record(inputs)
        if self._graph is None:
            return self._function(*inputs)
        pytree.tree_map(lambda kept, given: kept.copy_(given), self._inputs, inputs)
        self._graph.replay()
        # The next replay writes to the same memory.
        return self._result.clone()

    def _aside(self, inputs: tuple) -> Tensor:
        """A call on a stream of its own, as a recording will be."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self._function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def _record(self, inputs: tuple) -> None:
        self._inputs = pytree.tree_map(torch.clone, inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._result = self._function(*self._inputs)
        except RuntimeError as error:
            self._recordable = False
            torch.cuda.synchronize()
            warnings.warn(f"training goes on without CUDA graphs, slower ({reason(error)}).", stacklevel=2)
            return
        self._graph = graph


class Ranks:
    """The processes that share one run, started by torchrun; one alone is the first of one.

    Attributes:
        rank: this one's number. Only number 0 writes and shows anything.
        count: how many there are.
    """

    def __init__(self, device: torch.device):
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.count > 1 and not torch.distributed.is_initialized():
            try:
                torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
            except (ValueError, RuntimeError) as error:
                raise InputError(
                    f"$WORLD_SIZE says that {self.count} processes share this run, and they cannot find one another "
                    f"({reason(error)}): start them with torchrun, or unset it."
                ) from None
            atexit.register(torch.distributed.destroy_process_group)

    def share(self, batch: int) -> slice:
        """This process's part of a batch."""
        return slice(batch * self.rank // self.count, batch * (self.rank + 1) // self.count)

    def sum(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their sums over all processes."""
        if self.count > 1:
            for tensor in tensors:
                torch.distributed.all_reduce(tensor)

    def from_first(self, value):
        """What process 0 has, in all of them."""
        if self.count == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values)
        return values[0]
