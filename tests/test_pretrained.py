import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vitae import InputError, configure, paths, run
from vitae.data import load
from vitae.evaluate import codes, elbo
from vitae.files import read_tensors
from vitae.metrics.neighbours import accuracy
from vitae.pretrained import keep, pretrained
from vitae.runs import load_model

ROOT = Path(__file__).resolve().parent.parent


def test_the_weights_of_mnist_are_those_of_the_committed_record():
    """Their codes tell embedded digits apart, and their ELBO is that of the run, on other digits."""
    model = pretrained("mnist")
    record = json.loads((ROOT / "book/records/full/mnist/c-vitae-seed0.json").read_text())
    stated = read_tensors(paths.weights() / "mnist.safetensors")[1]
    assert stated["configuration"] == record["configuration"]
    train, test = load("mnist", "train", source="embedded"), load("mnist", "test", source="embedded")
    z_A = [codes(model, part.images)["z_A"] for part in (train, test)]
    reached = accuracy(z_A[0], train.factor("digit"), z_A[1], test.factor("digit"))
    assert reached == pytest.approx(record["scores"]["predictability"]["z_A"]["digit"], abs=0.03)
    assert elbo(model, test.images, seed=0).mean == pytest.approx(record["scores"]["test_elbo"]["mean"], abs=4)


def test_rounding_moves_codes_by_little(monkeypatch, tmp_path):
    configuration = configure("mnist", "c-vitae", "smoke")
    run(configuration, device="cpu")
    monkeypatch.setattr(paths, "weights", lambda: tmp_path)
    keep(configuration, (1, 28, 28))
    tensors, _ = read_tensors(tmp_path / "mnist.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    images = load("mnist", "test", source="embedded", size=50).images
    exact, rounded = (codes(model, images) for model in (load_model(configuration, (1, 28, 28)), pretrained("mnist")))
    for space, values in exact.items():
        np.testing.assert_allclose(rounded[space], values, atol=5e-3)
        assert np.abs(rounded[space] - values).max() > 0


def test_what_is_not_there_is_named():
    with pytest.raises(InputError, match=r"unknown trained model 'mnits'. Did you mean 'mnist'"):
        pretrained("mnits")
    with pytest.raises(InputError, match=r"train that run first"):
        keep(configure("mnist", "vae", "smoke"), (1, 28, 28))
