import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vitae import InputError, configure, run
from vitae.data import load
from vitae.evaluation.codes import codes
from vitae.evaluation.likelihood import elbo
from vitae.experiments.pretrained import package_weights, pretrained
from vitae.experiments.run import load_model
from vitae.metrics.knn import accuracy
from vitae.support import paths
from vitae.support.files import read_tensors

ROOT = Path(__file__).resolve().parents[2]


def committed_record(dataset, changes=""):
    return json.loads((ROOT / f"book/records/full/{dataset}/c-vitae-seed0{changes}.json").read_text())


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("mnist", committed_record("mnist")),
        ("mnist-cpab", committed_record("mnist", "-transform=cpab")),
        ("dsprites", committed_record("dsprites")),
        ("smpl", committed_record("smpl")),
        ("celeba", committed_record("celeba")),
    ],
)
def test_pretrained_weights_belong_to_the_committed_record_and_are_small(name, record):
    file = paths.weights() / f"{name}.safetensors"
    assert read_tensors(file)[1]["configuration"] == record["configuration"]
    assert pretrained(name).parameter_count() == record["parameters"]
    assert file.stat().st_size < 4e6


@pytest.mark.parametrize(("name", "changes"), [("mnist", ""), ("mnist-cpab", "-transform=cpab")])
def test_pretrained_mnist_models_score_on_embedded_digits_as_in_their_records(name, changes):
    """With a tolerance, since the record was evaluated on other digits."""
    model, record = pretrained(name), committed_record("mnist", changes)
    train, test = load("mnist", "train", source="embedded"), load("mnist", "test", source="embedded")
    z_A = [codes(model, part.images)["z_A"] for part in (train, test)]
    digit = accuracy(z_A[0], train.factor("digit"), z_A[1], test.factor("digit"))
    assert digit == pytest.approx(record["scores"]["predictability"]["z_A"]["digit"], abs=0.03)
    assert elbo(model, test.images, seed=0).mean == pytest.approx(record["scores"]["test_elbo"]["mean"], abs=4)


@pytest.mark.parametrize("dataset", ["dsprites", "smpl"])
def test_pretrained_models_of_rendered_images_reach_the_elbo_of_their_records(dataset):
    """The record used more test images, and weights that were not rounded."""
    images = load(dataset, "test", source="embedded", size=1000).images
    recorded = committed_record(dataset)["scores"]["test_elbo"]["mean"]
    estimate = elbo(pretrained(dataset), images, seed=0)
    assert abs(estimate.mean - recorded) < 4 * estimate.standard_error


def test_rounding_weights_changes_codes_only_slightly(monkeypatch, tmp_path):
    configuration = configure("mnist", "c-vitae", "smoke")
    run(configuration, device="cpu")
    monkeypatch.setattr(paths, "weights", lambda: tmp_path)
    package_weights(configuration, (1, 28, 28), "digits")
    tensors, _ = read_tensors(tmp_path / "digits.safetensors")
    exact, rounded = load_model(configuration, (1, 28, 28)), pretrained("digits")
    for name, weight in exact.state_dict().items():
        difference = (rounded.state_dict()[name] - weight).abs()
        if tensors[name].dtype == torch.int8:
            # Half of the row's rounding step.
            assert (difference.flatten(1).amax(1) <= weight.flatten(1).abs().amax(1) * (0.5001 / 127)).all()
            assert difference.max() > 0
        else:
            assert weight.numel() < 4096
            assert difference.max() == 0
    images = load("mnist", "test", source="embedded", size=50).images
    exact, rounded = (codes(model, images) for model in (exact, rounded))
    for space, values in exact.items():
        np.testing.assert_allclose(rounded[space], values, atol=2e-2)
        assert np.abs(rounded[space] - values).max() > 0


def test_missing_models_and_runs_are_named():
    with pytest.raises(InputError, match=r"unknown trained model 'mnits'. Did you mean 'mnist'"):
        pretrained("mnits")
    with pytest.raises(InputError, match=r"train that run first"):
        package_weights(configure("mnist", "vae", "smoke"), (1, 28, 28))
