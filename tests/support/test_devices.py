import subprocess
import sys
import textwrap
import warnings

import pytest
import torch

from vitae import InputError
from vitae.support.devices import pick_device, precision, tf32
from vitae.support.threads import thread_map
from vitae.training.cuda_graph import GraphedFunction


def test_devices_that_are_not_there_are_named():
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        assert pick_device() == torch.device("cpu")
        with pytest.raises(InputError, match="torch finds no GPU: use --device cpu"):
            pick_device("cuda")


def test_precision_is_put_back():
    before = torch.get_float32_matmul_precision()
    with tf32(True):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    with precision("bf16", torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_workers_share_the_cores_and_keep_the_order():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with thread_map(2) as in_threads:
            assert list(in_threads(lambda n: (n, torch.get_num_threads()), range(4))) == [(n, 1) for n in range(4)]
        with thread_map(1) as in_threads:
            assert list(in_threads(lambda n: torch.get_num_threads(), [0])) == [2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class FakeCuda:
    """CUDA's graphs as functions that are called again: what is recorded runs once, then at each replay."""

    def __init__(self, monkeypatch, refuses=False):
        self.recording, self.refuses = False, refuses
        fake = self

        class Graph:
            def replay(self):
                self.recorded()

        class Stream:
            def wait_stream(self, other):
                pass

        class graph:
            def __init__(self, made):
                self.made = made

            def __enter__(self):
                if fake.refuses:
                    raise RuntimeError("operation not permitted when stream is capturing\nand much more")
                fake.current = self.made

            def __exit__(self, *error):
                pass

        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", graph)
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", Stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: warnings.catch_warnings())
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)


def test_what_is_recorded_reads_new_inputs_at_each_replay(monkeypatch):
    cuda, calls = FakeCuda(monkeypatch), []

    def function(x, pieces):
        calls.append(1)
        if not hasattr(function, "result"):
            function.result = torch.zeros(2)
        cuda.current = getattr(cuda, "current", None)
        if cuda.current is not None:
            cuda.current.recorded = lambda: function.result.copy_(x + pieces[0])
        return function.result.copy_(x + pieces[0])

    recorded = GraphedFunction(function, torch.device("cuda"))
    found = [recorded(torch.full((2,), float(n)), [torch.full((2,), 10.0 * n)]) for n in range(6)]
    assert len(calls) == 4, "three calls, one recording, and replays after that"
    assert [value.tolist() for value in found[3:]] == [[11.0 * n] * 2 for n in (3, 4, 5)]


def test_what_cannot_be_recorded_is_called_and_that_is_said_once(monkeypatch):
    FakeCuda(monkeypatch, refuses=True)
    recorded = GraphedFunction(lambda x: x + 1, torch.device("cuda"))
    with pytest.warns(
        UserWarning, match=r"continues without CUDA graphs, slower \(operation not permitted when"
    ) as said:
        found = [float(recorded(torch.tensor(float(n)))) for n in range(6)]
    assert found == [1, 2, 3, 4, 5, 6]
    assert len(said) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is on Linux only")
def test_freed_memory_is_kept():
    """Page faults of a process that makes and drops a large tensor again and again: some, once; not for each."""
    program = """
        import resource, sys, torch
        from vitae.support.devices import keep_freed_memory
        if sys.argv[1] == "keep":
            keep_freed_memory()
        for n in range(40):
            # The first rounds let the heap grow.
            if n == 20:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            # Above the 32 MiB up to which glibc may by itself come to keep what is freed.
            large = torch.zeros(10_000_000)
            del large
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(program), how], capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("keep", "give back")
    }
    assert faults["keep"] < 2_000 < 100_000 < faults["give back"]
