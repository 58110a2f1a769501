import dataclasses
import shutil

import pytest

from vitae import InputError, configure, load_model, run, run_together
from vitae.experiments.configuration import weights_path
from vitae.experiments.resume import fingerprint
from vitae.experiments.run import rescore
from vitae.experiments.run_data import load_data
from vitae.training.checkpoint import previous_of

SHAPE = (1, 28, 28)


def test_a_record_from_other_images_is_refused(smoke_run, monkeypatch):
    _, configuration, record = smoke_run
    data = load_data(configuration)
    factors = data.train.factors.copy()
    factors[-1, 0] += 1
    changed = dataclasses.replace(data, train=dataclasses.replace(data.train, factors=factors))
    assert fingerprint(configuration, data) != fingerprint(configuration, changed)
    monkeypatch.setattr("vitae.experiments.run.load_data", lambda *arguments: changed)
    with pytest.raises(InputError, match=r"it was trained on other images .* or --restart to replace it"):
        run(configuration)
    with pytest.raises(InputError, match="was trained on embedded data, and this is not the same"):
        rescore(record)


def test_the_fingerprint_ignores_settings_of_the_evaluation(smoke_run):
    _, configuration, _ = smoke_run
    data = load_data(configuration)
    more_samples = dataclasses.replace(configuration, samples=99)
    assert fingerprint(more_samples, data) == fingerprint(configuration, data)


def test_weights_of_another_run_are_refused(smoke_run, tmp_path, monkeypatch):
    home, _, _ = smoke_run
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    other = configure("mnist", "u-vitae", "smoke")
    weights_path(other).parent.mkdir(parents=True)
    shutil.copy(home / "runs/smoke/mnist/c-vitae-seed0.safetensors", weights_path(other))
    with pytest.raises(InputError, match=r"u-vitae-seed0\.safetensors holds the weights of another run"):
        load_model(other, SHAPE)


@pytest.fixture
def killed_batch(monkeypatch, tmp_path, checkpoint_at_every_collection, killed_before_step):
    """Configurations of three seeds of a VAE that were killed after the checkpoint of step 6, and their folder."""
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    configurations = [configure("mnist", "vae", "smoke", seed) for seed in range(3)]
    with killed_before_step(7):
        run_together(configurations, device="cpu")
    return configurations, tmp_path / "runs/smoke/mnist"


def log_of(folder, seed):
    return (folder / f"vae-seed{seed}.log").read_text()


def test_runs_of_a_killed_batch_resume_and_its_checkpoint_goes_with_the_last_of_them(killed_batch):
    configurations, folder = killed_batch
    checkpoint = next(folder.glob("*.checkpoint"))
    # As after a kill between the two renames of a save.
    checkpoint.rename(previous_of(checkpoint))
    run(configurations[1], device="cpu")
    assert "resumes at step 6" in log_of(folder, 1)
    assert list(folder.glob("*.checkpoint*"))
    records = run_together(configurations, device="cpu")
    assert "resumes at step 6" in log_of(folder, 0)
    assert [record["configuration"]["seed"] for record in records] == [0, 1, 2]
    assert not list(folder.glob("*.checkpoint*"))


def test_restarting_one_run_of_a_killed_batch_ignores_its_checkpoint(killed_batch):
    configurations, folder = killed_batch
    run(configurations[0], device="cpu", restart=True)
    assert log_of(folder, 0).count("starts at step 0") == 2
    assert "resumes" not in log_of(folder, 0)
