"""What a checkpoint states is checked against the run before anything of it is used."""

import pytest
import torch

from vitae import InputError
from vitae.support.files import read_tensors, write_tensors
from vitae.training.checkpoint import read_checkpoint
from vitae.training.schedule import Schedule
from vitae.training.step import Run

IMAGES = 35
# In the middle of the second of three epochs of four steps.
STATED = {
    **{"fingerprint": "f", "step": 6, "seconds": 1.0, "losses": [3.0], "loss_sum": 5.0, "elbo_sum": -5.0, "elbo": -3.0},
    **{"diverged": None, "curves": {"KL z1": [0.1]}, "held_out": [float("nan")]},
}


def run(name="run") -> Run:
    torch.manual_seed(0)
    return Run(name, torch.nn.Linear(2, 3), 0, Schedule(epochs=3, batch=8), {}, "f")


@pytest.fixture
def file(tmp_path):
    tensors = {
        f"{name}/{kind}/{key}": value
        for name in ("run", "other")
        for kind in ("weights", "exp_avg", "exp_avg_sq")
        for key, value in run().model.state_dict().items()
    }
    write_tensors(tmp_path / "x.checkpoint", tensors, {"run": STATED, "other": STATED})
    return tmp_path / "x.checkpoint"


def test_a_checkpoint_that_fits_is_read(file):
    found = read_checkpoint([file], [run(), run("other")], IMAGES)
    assert found["run"].progress.step == 6
    assert torch.equal(found["other"].weights["bias"], run().model.bias)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"step": "many"}, "no usable step"),
        ({"step": float("nan")}, "no usable step"),
        ({"step": 10**9}, "is at step 1,000,000,000 of 12"),
        ({"step": 3}, "has losses of 1 epochs, but is in epoch 0"),
        ({"losses": None}, "no usable losses"),
        ({"losses": []}, "has losses of 0 epochs, but is in epoch 1"),
        ({"elbo": None}, "lacks elbo"),
        ({"diverged": 10**9}, "diverged in step 1,000,000,000 of 12"),
        ({"curves": []}, "no usable curves"),
        ({"held_out": ["high"]}, r"no usable held_out\[0\]"),
    ],
)
def test_a_progress_that_cannot_be_is_refused(change, complaint, file):
    tensors, stated = read_tensors(file)
    write_tensors(file, tensors, {**stated, "run": {**STATED, **change}})
    with pytest.raises(InputError, match=rf"is not a checkpoint of this run, it .*{complaint}.*: train again with"):
        read_checkpoint([file], [run()], IMAGES)


def test_runs_that_train_together_must_be_at_one_step(file):
    tensors, stated = read_tensors(file)
    write_tensors(file, tensors, {**stated, "other": {**STATED, "step": 7}})
    assert read_checkpoint([file], [run("other")], IMAGES)["other"].progress.step == 7
    with pytest.raises(InputError, match="which are at different steps"):
        read_checkpoint([file], [run(), run("other")], IMAGES)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda tensors: tensors.pop("run/weights/bias"), "lacks bias"),
        (lambda tensors: tensors.pop("run/exp_avg/bias"), "has moments of other tensors"),
        (lambda tensors: tensors["run/weights/bias"].fill_(torch.inf), "has numbers in bias that are not finite"),
        (lambda tensors: tensors.update({"run/weights/bias": torch.zeros(4)}), r"has bias of shape \(4,\), not \(3,\)"),
        (lambda tensors: tensors.update({"run/exp_avg_sq/bias": torch.zeros(3).half()}), r"has bias as torch\.float16"),
    ],
)
def test_tensors_of_another_model_are_refused(change, complaint, file):
    tensors, stated = read_tensors(file)
    change(tensors)
    write_tensors(file, tensors, stated)
    with pytest.raises(InputError, match=complaint):
        read_checkpoint([file], [run()], IMAGES)
