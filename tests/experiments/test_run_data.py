import dataclasses

import numpy as np
import pytest
import torch

from vitae import InputError, configure
from vitae.data import DATASETS, Source
from vitae.experiments.run_data import load_data


def test_the_validation_split_is_the_last_tenth_of_the_training_images():
    data = load_data(configure("mnist", "vae", "smoke", validation=True))
    all_images = load_data(configure("mnist", "vae", "smoke"))
    assert (len(data.train), len(data.held_out)) == (360, 40)
    assert data.evaluated_on == "held-out training images"
    assert torch.equal(data.train.images, all_images.train.images[:360])
    np.testing.assert_array_equal(data.held_out.factor("digit"), all_images.train.factor("digit")[360:])


def test_training_and_test_images_must_come_from_one_source(monkeypatch):
    original = DATASETS["mnist"].for_training

    def for_training(split, **settings):
        images = original(split, **settings)
        return images if split == "test" else dataclasses.replace(images, source=Source("download", "elsewhere"))

    monkeypatch.setattr(DATASETS["mnist"], "for_training", for_training)
    with pytest.raises(InputError, match=r"training images are from download.* and test images from embedded"):
        load_data(configure("mnist", "vae", "smoke"))


def test_a_single_image_to_evaluate_on_is_refused():
    with pytest.raises(InputError, match="1 image to evaluate on is too few"):
        load_data(configure("mnist", "vae", "smoke", validation=True, train_size=15))


def test_classes_that_no_training_image_has_are_said(monkeypatch, capsys):
    original = DATASETS["mnist"].for_training

    def for_training(split, **settings):
        images = original(split, **settings)
        return images.rows(images.factor("digit") < 7) if split == "train" else images

    monkeypatch.setattr(DATASETS["mnist"], "for_training", for_training)
    load_data(configure("mnist", "vae", "smoke"))
    assert "no training image has digit 7, digit 8, digit 9, but images to evaluate on have" in capsys.readouterr().err
    monkeypatch.setattr(DATASETS["mnist"], "for_training", original)
    load_data(configure("mnist", "vae", "smoke"))
    assert not capsys.readouterr().err
