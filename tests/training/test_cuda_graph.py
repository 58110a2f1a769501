import warnings

import pytest
import torch

from vitae.training.cuda_graph import GraphedFunction


class FakeCuda:
    """Replaces torch's CUDA graphs by functions: a replay calls the captured function again."""

    def __init__(self, monkeypatch, refuses_capture=False):
        self.captured_graph = None
        fake = self

        class Graph:
            def replay(self):
                self.captured()

        class Stream:
            def wait_stream(self, other):
                pass

        class Capture:
            def __init__(self, graph):
                self.graph = graph

            def __enter__(self):
                if refuses_capture:
                    raise RuntimeError("operation not permitted when stream is capturing\nand much more")
                fake.captured_graph = self.graph

            def __exit__(self, *error):
                pass

        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", Capture)
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", Stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: warnings.catch_warnings())
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)


def test_each_replay_reads_its_new_inputs(monkeypatch):
    cuda, calls, result = FakeCuda(monkeypatch), [], torch.zeros(2)

    def function(x, noise):
        calls.append(1)
        if cuda.captured_graph is not None:
            cuda.captured_graph.captured = lambda: result.copy_(x + noise[0])
        return result.copy_(x + noise[0])

    graphed = GraphedFunction(function, torch.device("cuda"))
    results = [graphed(torch.full((2,), float(n)), [torch.full((2,), 10.0 * n)]) for n in range(6)]
    assert len(calls) == 4, "three calls before the capture, the capture, and only replays after it"
    assert [value.tolist() for value in results[3:]] == [[11.0 * n] * 2 for n in (3, 4, 5)]


def test_a_function_that_cannot_be_captured_is_called_with_one_warning(monkeypatch):
    FakeCuda(monkeypatch, refuses_capture=True)
    graphed = GraphedFunction(lambda x: x + 1, torch.device("cuda"))
    message = r"continues without CUDA graphs, slower \(operation not permitted when"
    with pytest.warns(UserWarning, match=message) as raised:
        results = [float(graphed(torch.tensor(float(n)))) for n in range(6)]
    assert results == [1, 2, 3, 4, 5, 6]
    assert len(raised) == 1
