import math
import signal

import pytest
import torch

from vitae import InputError
from vitae.experiments.build import build
from vitae.experiments.configuration import configure
from vitae.models.objectives import OBJECTIVES
from vitae.support.files import DiskFullError, read_metadata, read_tensors, write_tensors
from vitae.support.randomness import generator
from vitae.training import loop
from vitae.training.checkpoint import previous_of, read_checkpoint
from vitae.training.loop import NonFiniteLoss, train
from vitae.training.schedule import Schedule
from vitae.training.step import Run

SHAPE = (1, 28, 28)
SCHEDULE = Schedule(epochs=3, batch=8)


class RandomImages:
    """Thirty-five images in shuffled epochs: four batches of eight, and three left over."""

    def __init__(self):
        self.images = torch.randint(0, 256, (35, *SHAPE), generator=generator("cpu", 0, "images"), dtype=torch.uint8)

    def __len__(self):
        return len(self.images)

    def epoch(self, seed, number):
        return self.images[torch.randperm(35, generator=generator("cpu", seed, "order", number))]


def initial_model():
    return build(configure("mnist", "c-vitae", "smoke"), SHAPE)


def trained(seed=0, **settings):
    """Weights and progress of a C-VITAE after twelve steps with the objective beta-tc."""
    model = initial_model()
    progress = train(model, RandomImages(), "beta-tc", {"beta": 2.0}, SCHEDULE, seed=seed, **settings)
    return model.state_dict(), progress


def equal(weights, others):
    return all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.fixture
def checkpoint(tmp_path):
    return tmp_path / "run.checkpoint"


def test_results_are_reproducible_and_depend_on_the_seed():
    first, again, other = trained(seed=0), trained(seed=0), trained(seed=1)
    assert equal(first[0], again[0])
    assert first[1].losses == again[1].losses
    assert not equal(first[0], other[0])


def test_training_ignores_torchs_global_generator():
    weights, _ = trained()
    torch.manual_seed(12345)
    torch.randn(7)
    assert equal(weights, trained()[0])


@pytest.mark.parametrize("step", [0, 1, 4, 7, 10, 11])
def test_resuming_after_a_kill_in_any_step_gives_the_uninterrupted_result(
    step, checkpoint, monkeypatch, checkpoint_at_every_collection, killed_before_step, replace_loss
):
    monkeypatch.setattr(loop, "_STEPS_BETWEEN_COLLECTIONS_ON_CPU", 3)
    expected, uninterrupted = trained()
    calls, original = [], OBJECTIVES["beta-tc"].loss

    def counted(*arguments, **settings):
        calls.append(1)
        return original(*arguments, **settings)

    replace_loss("beta-tc", counted)
    with killed_before_step(step):
        trained(checkpoint=checkpoint)
    resumed, progress = trained(checkpoint=checkpoint)
    assert equal(resumed, expected)
    assert progress.losses == uninterrupted.losses
    # Checkpoints follow steps 3, 4, 7, 8, 11 and 12, so at most three of the twelve steps are repeated.
    assert len(calls) <= 12 + 3


def test_every_step_draws_from_its_own_stream(monkeypatch):
    streams = []

    def recording_generator(device, seed, purpose, *position):
        streams.append((seed, purpose, *position))
        return generator(device, seed, purpose, *position)

    monkeypatch.setattr("vitae.training.step.generator", recording_generator)
    trained(seed=4)
    assert streams == [(4, "noise", step) for step in range(12)]


def test_a_finished_run_is_not_trained_again(checkpoint, replace_loss):
    expected, _ = trained(checkpoint=checkpoint)
    replace_loss("beta-tc", None)  # calling it would fail
    weights, progress = trained(checkpoint=checkpoint)
    assert equal(weights, expected)
    assert len(progress.losses) == 3


def test_zero_epochs_leave_the_initial_weights():
    model = initial_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert train(model, RandomImages(), "elbo", {}, Schedule(epochs=0), seed=0).losses == []
    assert equal(model.state_dict(), before)


def test_fewer_images_than_a_batch_are_one_smaller_batch():
    schedule = Schedule(epochs=2, batch=100)
    assert len(train(initial_model(), RandomImages(), "elbo", {}, schedule, seed=0).losses) == 2


def test_a_non_finite_loss_stops_training_and_leaves_the_last_finite_checkpoint(
    checkpoint, monkeypatch, checkpoint_at_every_collection, replace_loss
):
    monkeypatch.setattr(loop, "_STEPS_BETWEEN_COLLECTIONS_ON_CPU", 1)
    original, calls = OBJECTIVES["elbo"].loss, []

    def nan_in_step_5(*arguments, **settings):
        calls.append(1)
        return original(*arguments, **settings) * (math.nan if len(calls) == 6 else 1)

    replace_loss("elbo", nan_in_step_5)
    with pytest.raises(NonFiniteLoss, match=r"in step 5: try a learning rate below 0\.002 .* last finite state is in"):
        train(initial_model(), RandomImages(), "elbo", {}, SCHEDULE, seed=0, checkpoint=checkpoint)
    tensors, metadata = read_tensors(checkpoint)
    assert metadata["run"]["step"] == 5
    assert len(tensors) == 3 * len(initial_model().state_dict()), "weights, and two moments of each"
    assert all(torch.isfinite(value).all() for value in tensors.values())


def test_a_checkpoint_with_another_fingerprint_is_refused(checkpoint):
    trained(checkpoint=checkpoint, fingerprint="this")
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        trained(checkpoint=checkpoint, fingerprint="that")


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"objective": "beta", "strengths": {"beta": 2.0}}, {"schedule": Schedule(epochs=4, batch=8)}],
    ids=["seed", "objective", "schedule"],
)
def test_the_default_fingerprint_covers_every_argument(change, checkpoint):
    arguments = {"objective": "elbo", "strengths": {}, "schedule": SCHEDULE, "seed": 0, "checkpoint": checkpoint}
    train(initial_model(), RandomImages(), **arguments)
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        train(initial_model(), RandomImages(), **{**arguments, **change})


def my_loss(output, *, weight, kl_weight=1.0):
    return OBJECTIVES["beta"].loss(output, beta=weight, kl_weight=kl_weight)


def test_an_objective_may_be_a_function(checkpoint):
    """Which trains as the registered one does, and has a checkpoint of its own name."""
    own, registered = initial_model(), initial_model()
    progress = train(own, RandomImages(), my_loss, {"weight": 2.0}, SCHEDULE, seed=0, checkpoint=checkpoint)
    assert progress.losses == train(registered, RandomImages(), "beta", {"beta": 2.0}, SCHEDULE, seed=0).losses
    assert equal(own.state_dict(), registered.state_dict())
    assert "my_loss" in read_metadata(checkpoint)["run"]["fingerprint"]


def test_a_damaged_checkpoint_never_replaces_the_previous_one(checkpoint, tmp_path, checkpoint_at_every_collection):
    expected, _ = trained(checkpoint=checkpoint)
    checkpoint.write_bytes(b"cut short")
    run = Run("run", initial_model(), 0, SCHEDULE, {"beta": 2.0})
    run.fingerprint = read_metadata(previous_of(checkpoint))["run"]["fingerprint"]
    assert read_checkpoint([checkpoint], [run], len(RandomImages()))["run"].progress.step == 10
    assert [path.name for path in tmp_path.iterdir()] == ["run.checkpoint.previous"]
    assert equal(trained(checkpoint=checkpoint)[0], expected)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_the_error_names_a_damaged_checkpoint(content, checkpoint):
    checkpoint.write_bytes(content)
    message = r"run\.checkpoint is damaged, or was not written by vitae \(\w+\): train again with --restart"
    with pytest.raises(InputError, match=message):
        trained(checkpoint=checkpoint)


@pytest.mark.parametrize("length", [0, 100, 0.5, 0.999])
def test_a_truncated_checkpoint_falls_back_to_the_previous_one(
    length, checkpoint, checkpoint_at_every_collection, capsys
):
    """`length` is in bytes, or below one a fraction."""
    expected, uninterrupted = trained(checkpoint=checkpoint)
    content = checkpoint.read_bytes()
    assert read_metadata(previous_of(checkpoint))["run"]["step"] == 10
    checkpoint.write_bytes(content[: int(length * len(content)) if length < 1 else length])
    resumed, progress = trained(checkpoint=checkpoint)
    printed = capsys.readouterr().err
    assert "run.checkpoint is damaged" in printed
    assert "resuming from the checkpoint before it, run.checkpoint.previous" in printed
    assert equal(resumed, expected)
    assert progress.losses == uninterrupted.losses


def test_training_continues_on_a_full_disk_and_reports_it_once(
    checkpoint, monkeypatch, capsys, checkpoint_at_every_collection
):
    expected, _ = trained()
    attempts = []

    def disk_full_after_the_first(path, tensors, metadata, previous=None):
        attempts.append(metadata["run"]["step"])
        if len(attempts) > 1:
            raise DiskFullError(f"cannot write {path}: no space left on device; free some space.")
        write_tensors(path, tensors, metadata, previous)

    with monkeypatch.context() as patch:
        patch.setattr("vitae.training.checkpoint.write_tensors", disk_full_after_the_first)
        assert equal(trained(checkpoint=checkpoint)[0], expected)
    assert attempts == [4, 8, 8, 10, 10, 12, 12], "each failed save is tried again without the previous checkpoint"
    assert capsys.readouterr().err.count("free some space. Training continues; the last checkpoint stays.") == 1
    assert read_metadata(checkpoint)["run"]["step"] == 4
    assert equal(trained(checkpoint=checkpoint)[0], expected)


def test_a_stop_signal_saves_a_checkpoint_at_the_next_collection(checkpoint, monkeypatch, replace_loss):
    expected, _ = trained()
    original, calls = OBJECTIVES["beta-tc"].loss, []

    def signal_in_step_5(*arguments, **settings):
        calls.append(1)
        if len(calls) == 6:
            signal.raise_signal(signal.SIGTERM)
        return original(*arguments, **settings)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        replace_loss("beta-tc", signal_in_step_5, patch)
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint=checkpoint)
    assert read_metadata(checkpoint)["run"]["step"] == 8
    assert signal.getsignal(signal.SIGTERM) is before
    assert equal(trained(checkpoint=checkpoint)[0], expected)


def test_a_stop_signal_during_the_last_save_still_interrupts(checkpoint, monkeypatch):
    def write_and_signal(*arguments):
        write_tensors(*arguments)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("vitae.training.checkpoint.write_tensors", write_and_signal)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=checkpoint)
    assert read_metadata(checkpoint)["run"]["step"] == 12


def test_weights_alone_are_not_a_checkpoint(checkpoint):
    write_tensors(checkpoint, initial_model().state_dict(), {"run": {"fingerprint": "mine"}})
    with pytest.raises(InputError, match="is not a checkpoint of this run"):
        trained(checkpoint=checkpoint, fingerprint="mine")


class RunsCodeWhenUnpickled:
    def __reduce__(self):
        return print, ("code ran",)


def test_loading_a_checkpoint_executes_no_code(checkpoint, capsys):
    torch.save({"model": RunsCodeWhenUnpickled()}, checkpoint)
    with pytest.raises(InputError, match="is damaged, or was not written by vitae"):
        trained(checkpoint=checkpoint)
    assert "code ran" not in capsys.readouterr().out
