import pytest
import torch

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
