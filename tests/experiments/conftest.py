import pytest

from vitae import configure, run


@pytest.fixture(scope="session")
def shared_smoke_run(tmp_path_factory):
    """The home folder, configuration and record of one smoke run; tests must not change its files."""
    home = tmp_path_factory.mktemp("home")
    configuration = configure("mnist", "c-vitae", "smoke")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITAE_HOME", str(home))
        record = run(configuration, device="cpu")
    return home, configuration, record


@pytest.fixture
def smoke_run(shared_smoke_run, monkeypatch):
    """The shared smoke run, with its home folder as `$VITAE_HOME`."""
    monkeypatch.setenv("VITAE_HOME", str(shared_smoke_run[0]))
    return shared_smoke_run
