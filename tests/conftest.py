import contextlib
import dataclasses
import math

import hypothesis
import pytest
import torch

from vitae.models.objectives import OBJECTIVES
from vitae.training import loop
from vitae.training.step import RunGroup

# Test tensors are small; with more threads, synchronisation on a busy machine takes longer than the arithmetic.
torch.set_num_threads(1)

# No test depends on how fast or how busy the machine is.
hypothesis.settings.register_profile("vitae", deadline=None)
hypothesis.settings.load_profile("vitae")


@pytest.fixture(autouse=True)
def _isolated_folders(tmp_path, monkeypatch):
    """Tests neither read the developer's data nor write into the clone."""
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
    """Stands in for the kill of the process."""


@pytest.fixture
def killed_before_step(monkeypatch):
    """`with killed_before_step(7):` aborts a training inside the block before step 7."""

    @contextlib.contextmanager
    def killed(number):
        original = RunGroup.step

        def step(self, current):
            if current == number:
                raise KilledError
            original(self, current)

        with monkeypatch.context() as patch:
            patch.setattr(RunGroup, "step", step)
            with pytest.raises(KilledError):
                yield

    return killed


@pytest.fixture
def replace_loss(monkeypatch):
    """`replace_loss(name, loss)` replaces the loss of an objective."""

    def replace(name, loss, patch=monkeypatch):
        patch.setitem(OBJECTIVES, name, dataclasses.replace(OBJECTIVES[name], loss=loss))

    return replace
