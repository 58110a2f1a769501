import dataclasses
import shutil

import pytest
import torch

from vitae import InputError, configure, load_model, run, run_together
from vitae.experiments.configuration import configuration_of, record_path, weights_path
from vitae.experiments.records import load_records, load_records_by_images, read_record
from vitae.experiments.resume import fingerprint, for_images
from vitae.experiments.run import rescore, score_together
from vitae.experiments.run_data import load_data
from vitae.support.files import read_tensors, write_tensors
from vitae.training.checkpoint import previous_of

SHAPE = (1, 28, 28)


@pytest.fixture
def other_data(smoke_run, monkeypatch, tmp_path):
    """The data of the shared smoke run with one factor changed, which runs then load; the run itself is in a copy."""
    home, configuration, _ = smoke_run
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    data = load_data(configuration)
    factors = data.train.factors.copy()
    factors[-1, 0] += 1
    changed = dataclasses.replace(data, train=dataclasses.replace(data.train, factors=factors))
    monkeypatch.setattr("vitae.experiments.run.load_data", lambda *arguments: changed)
    return data, changed


def test_other_images_get_a_run_of_their_own_beside_the_first(smoke_run, other_data):
    _, configuration, first = smoke_run
    data, changed = other_data
    assert fingerprint(configuration, data) != fingerprint(configuration, changed)
    assert for_images(configuration, data) == configuration
    named = for_images(configuration, changed)
    assert named.run == f"c-vitae-seed0-images={changed.fingerprint[:6]}"
    with pytest.raises(InputError, match=f"hash {data.fingerprint}; now .*hash {changed.fingerprint}.*{named.run}"):
        rescore(first)
    second = run(configuration)
    assert (second["run"], second["configuration"]) == (named.run, first["configuration"])
    assert configuration_of(second) == named
    assert weights_path(named).exists()
    assert read_record(record_path(named)) == second
    assert read_record(record_path(configuration)) == first
    assert run(configuration) == second, "it is found again"
    assert score_together([configuration])[0]["run"] == named.run
    assert load_model(configuration, changed).spaces == load_model(configuration, data).spaces
    assert load_records("smoke", "mnist") == [first]
    assert [[r["run"] for r in group] for group in load_records_by_images("smoke", "mnist")] == [
        [first["run"]],
        [named.run],
    ]


def test_a_restart_with_other_images_leaves_the_first_run(smoke_run, other_data):
    _, configuration, first = smoke_run
    run(configuration, restart=True)
    assert read_record(record_path(configuration)) == first


def test_weights_of_other_images_are_not_loaded(smoke_run, other_data):
    _, configuration, _ = smoke_run
    record_path(configuration).unlink()
    with pytest.raises(InputError, match=r"there is no .*-images="):
        load_model(configuration, other_data[1])


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


def spoiled(path, change):
    tensors, stated = read_tensors(path)
    change(tensors, stated)
    write_tensors(path, tensors, stated)


def first_becomes(change):
    def spoil(tensors, stated):
        name = next(iter(tensors))
        tensors[name] = change(tensors[name].clone())

    return spoil


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (first_becomes(lambda tensor: tensor.index_fill_(0, torch.tensor([0]), torch.nan)), "that are not finite"),
        (first_becomes(torch.Tensor.half), r"as torch\.float16, not torch\.float32"),
        (first_becomes(lambda tensor: tensor[:1]), r"of shape \(1"),
        (lambda tensors, stated: tensors.popitem(), "lacks"),
        (lambda tensors, stated: stated.pop("progress"), "lacks progress"),
        (lambda tensors, stated: stated["progress"].update(step="many"), r"no usable progress\.step"),
        (lambda tensors, stated: stated["progress"].update(losses=None), r"no usable progress\.losses"),
        (lambda tensors, stated: stated.update(together=[2]), "no usable together"),
    ],
)
def test_damaged_weights_are_not_scored(change, complaint, smoke_run, tmp_path, monkeypatch):
    """One NaN made a finished record of nulls, and another dtype was cast."""
    home, configuration, _ = smoke_run
    shutil.copytree(home, tmp_path / "copy")
    monkeypatch.setenv("VITAE_HOME", str(tmp_path / "copy"))
    spoiled(weights_path(configuration), change)
    record_path(configuration).unlink()
    with pytest.raises(InputError, match=rf"c-vitae-seed0\.safetensors .*{complaint}.*: train again with --restart"):
        run(configuration, device="cpu")
    assert not record_path(configuration).exists()


@pytest.mark.parametrize("model", [["c-vitae"], 3, None, "c-vitae\x1b[31m"])
def test_a_model_that_is_no_text_is_refused(model, smoke_run):
    _, configuration, record = smoke_run
    with pytest.raises(InputError, match=r"has no usable configuration\.model, which must be printable text"):
        configuration_of({**record, "configuration": {**configuration.as_json(), "model": model}})


def test_a_restart_that_cannot_start_deletes_nothing(smoke_run, monkeypatch):
    _, configuration, record = smoke_run

    def broken(device):
        raise InputError("numba does not start.")

    monkeypatch.setattr("vitae.transforms.kernels.operators._load_kernels", broken)
    with pytest.raises(InputError, match="numba does not start"):
        run(configuration, device="cpu", restart=True)
    assert read_record(record_path(configuration)) == record
    assert weights_path(configuration).exists()


def test_short_memory_neither_forgets_weights_nor_checkpoints(killed_batch, monkeypatch):
    configurations, folder = killed_batch
    before = sorted(folder.iterdir())

    def short(content):
        raise MemoryError

    monkeypatch.setattr("safetensors.torch.load", short)
    with pytest.raises(InputError, match="there is not enough memory to read"):
        run_together(configurations, device="cpu")
    assert sorted(folder.iterdir()) == before
