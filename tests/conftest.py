import contextlib
import dataclasses
import math

import pytest
import torch

from vitae.models.objectives import OBJECTIVES
from vitae.training import loop
from vitae.training.step import RunGroup

# One thread: the tensors of tests are small, and on a busy machine threads that wait for each other cost far more
# than they give.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _a_place_of_its_own(tmp_path, monkeypatch):
    """No test reads the developer's data or writes into the clone."""
    monkeypatch.setenv("VITAE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VITAE_DATA", raising=False)
    monkeypatch.delenv("VITAE_PROFILE", raising=False)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def checkpoint_at_every_collection(monkeypatch):
    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    monkeypatch.setattr(loop, "_CHECKPOINT_TIME_FRACTION", math.inf)


class KilledError(Exception):
    """Stands for a kill where a real one would take another process."""


@pytest.fixture
def killed_in_step(monkeypatch):
    """`with killed_in_step(7):` lets a training get to that step, and no further."""

    @contextlib.contextmanager
    def killed(number):
        real = RunGroup.step

        def step(self, at):
            if at == number:
                raise KilledError
            real(self, at)

        with monkeypatch.context() as context:
            context.setattr(RunGroup, "step", step)
            with pytest.raises(KilledError):
                yield

    return killed


@pytest.fixture
def replace_loss(monkeypatch):
    """`replace_loss(name, loss)` trains with another loss under the name of an objective."""

    def replace(name, loss, patch=monkeypatch):
        patch.setitem(OBJECTIVES, name, dataclasses.replace(OBJECTIVES[name], loss=loss))

    return replace
