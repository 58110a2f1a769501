"""Functions of tensors that are captured as a CUDA graph and replayed."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vitae.support.errors import reason

# Calls before the capture: libraries choose and compile their kernels in the first ones.
_WARMUP_CALLS = 3


class GraphedFunction:
    """A function of tensors that is captured as a CUDA graph after a few calls, and replayed from then on.

    A step of a small network is hundreds of kernels of microseconds each, and launching them one by one takes longer
    than running them. A function that cannot be captured is called as it is, with one warning; so is every function
    on a CPU.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device):
        self._function, self._calls = function, 0
        self._capturable = device.type == "cuda"
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs) -> Tensor:
        if self._capturable and self._graph is None:
            self._calls += 1
            if self._calls <= _WARMUP_CALLS:
                return self._on_side_stream(inputs)
            self._capture(inputs)
        if self._graph is None:
            return self._function(*inputs)
        pytree.tree_map(lambda static, given: static.copy_(given), self._inputs, inputs)
        self._graph.replay()
        # Clone: the next replay writes to the same memory.
        return self._result.clone()

    def _on_side_stream(self, inputs: tuple) -> Tensor:
        """A call on a stream of its own, as the capture requires."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self._function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def _capture(self, inputs: tuple) -> None:
        self._inputs = pytree.tree_map(torch.clone, inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._result = self._function(*self._inputs)
        except RuntimeError as error:
            self._capturable = False
            torch.cuda.synchronize()
            warnings.warn(f"training continues without CUDA graphs, slower ({reason(error)}).", stacklevel=2)
            return
        self._graph = graph
