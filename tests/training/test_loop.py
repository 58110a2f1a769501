import math
import signal

import pytest
import torch

from vitae import InputError
from vitae.experiments.build import build
from vitae.experiments.configuration import configure
from vitae.support.files import DiskFullError, read_tensors, write_tensors
from vitae.support.randomness import generator
from vitae.training import checkpoint, loop, step
from vitae.training.loop import NonFiniteLoss, train
from vitae.training.schedule import Schedule

SHAPE = (1, 28, 28)
SCHEDULE = Schedule(epochs=3, batch=8)


class Images:
    """Thirty-five random images in shuffled epochs: four steps of eight, and three left over."""

    def __init__(self):
        self.images = torch.randint(0, 256, (35, *SHAPE), generator=generator("cpu", 0, "images"), dtype=torch.uint8)

    def __len__(self):
        return len(self.images)

    def epoch(self, seed, number):
        return self.images[torch.randperm(35, generator=generator("cpu", seed, "order", number))]


class KilledError(Exception):
    pass


def fresh(model="c-vitae", seed=0):
    return build(configure("mnist", model, "smoke", seed), SHAPE)


def trained(seed=0, checkpoint=None, model=None, **settings):
    model = model or fresh()
    progress = train(model, Images(), "beta-tc", {"beta": 2.0}, SCHEDULE, seed=seed, checkpoint=checkpoint, **settings)
    return model.state_dict(), progress


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_same_seed_same_numbers_and_another_seed_others():
    first, again, other = trained(0), trained(0), trained(1)
    assert same(first[0], again[0])
    assert first[1].losses == again[1].losses
    assert not same(first[0], other[0])


def test_global_randomness_makes_no_difference():
    first = trained()[0]
    torch.manual_seed(12345)
    torch.randn(7)
    assert same(first, trained()[0])


@pytest.mark.parametrize("killed_in_step", [1, 2, 5, 8, 11, 12])
def test_killed_in_any_step_and_resumed_is_never_killed(
    killed_in_step, tmp_path, monkeypatch, checkpoint_at_every_collection, replace_loss
):
    monkeypatch.setattr(loop, "_STEPS_BETWEEN_COLLECTIONS_ON_CPU", 3)
    expected, undisturbed = trained()
    steps = []
    real = loop.OBJECTIVES["beta-tc"].loss

    def objective(*arguments, **settings):
        steps.append(1)
        if len(steps) == killed_in_step:
            raise KilledError
        return real(*arguments, **settings)

    replace_loss("beta-tc", objective)
    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        trained(checkpoint=checkpoint)
    resumed, progress = trained(checkpoint=checkpoint)
    assert same(resumed, expected)
    assert progress.losses == undisturbed.losses
    # Looks fall on steps 3, 4, 7, 8, ...: at most the steps since the last one were done twice.
    assert len(steps) - 12 <= 4


def test_every_step_draws_from_its_own_stream(monkeypatch):
    drawn = []

    def watched(device, seed, purpose, *position):
        drawn.append((seed, purpose, *position))
        return generator(device, seed, purpose, *position)

    monkeypatch.setattr(step, "generator", watched)
    trained(seed=4)
    assert drawn == [(4, "noise", step) for step in range(12)]


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch, replace_loss):
    checkpoint = tmp_path / "run.checkpoint"
    expected, _ = trained(checkpoint=checkpoint)
    replace_loss("beta-tc", None)  # calling it would fail
    again, progress = trained(checkpoint=checkpoint)
    assert same(again, expected)
    assert len(progress.losses) == 3


def test_zero_epochs_leave_the_initial_weights():
    model = fresh()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert train(model, Images(), "elbo", {}, Schedule(epochs=0), seed=0).losses == []
    assert same(model.state_dict(), before)


def test_fewer_images_than_a_batch_make_one_smaller_batch():
    assert len(train(fresh(), Images(), "elbo", {}, Schedule(epochs=2, batch=100), seed=0).losses) == 2


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_finite_checkpoint(
    tmp_path, monkeypatch, checkpoint_at_every_collection, replace_loss
):
    monkeypatch.setattr(loop, "_STEPS_BETWEEN_COLLECTIONS_ON_CPU", 1)
    real, calls = loop.OBJECTIVES["elbo"].loss, []

    def objective(*arguments, **settings):
        calls.append(1)
        return real(*arguments, **settings) * (math.nan if len(calls) == 6 else 1)

    replace_loss("elbo", objective)
    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(NonFiniteLoss, match=r"in step 5: try a learning rate below 0\.002 .* last finite state is in"):
        train(fresh(), Images(), "elbo", {}, SCHEDULE, seed=0, checkpoint=checkpoint)
    tensors, stated = read_tensors(checkpoint)
    assert stated["run"]["step"] == 5
    assert len(tensors) == 3 * len(fresh().state_dict()), "weights, and two moments of each"
    assert all(torch.isfinite(value).all() for value in tensors.values())


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    trained(checkpoint=checkpoint, fingerprint="this")
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        trained(checkpoint=checkpoint, fingerprint="that")


@pytest.mark.parametrize("change", ["seed", "objective", "schedule"])
def test_without_a_fingerprint_a_checkpoint_is_of_what_was_asked_for(change, tmp_path):
    asked = {"objective": "elbo", "strength": {}, "schedule": SCHEDULE, "seed": 0, "checkpoint": tmp_path / "c"}
    train(fresh(), Images(), **asked)
    asked |= {"seed": 1} if change == "seed" else {}
    asked |= {"objective": "beta", "strength": {"beta": 2.0}} if change == "objective" else {}
    asked |= {"schedule": Schedule(epochs=4, batch=8)} if change == "schedule" else {}
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        train(fresh(), Images(), **asked)


def test_a_damaged_checkpoint_never_replaces_the_one_before_it(tmp_path, checkpoint_at_every_collection):
    checkpoint = tmp_path / "run.checkpoint"
    expected, _ = trained(checkpoint=checkpoint)
    checkpoint.write_bytes(b"cut short")
    model = fresh()
    run = step.Run("run", model, 0, SCHEDULE, {"beta": 2.0})
    run.fingerprint = read_tensors(checkpoint.previous_of(checkpoint))[1]["run"]["fingerprint"]
    assert checkpoint._read([checkpoint], [run])["run"].progress.step == 10
    assert [path.name for path in tmp_path.iterdir()] == ["run.checkpoint.previous"]
    assert same(trained(checkpoint=checkpoint)[0], expected)


def test_asked_to_stop_during_the_last_save_it_stops_too(tmp_path, monkeypatch):
    def write(*arguments):
        write_tensors(*arguments)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(checkpoint, "write_tensors", write)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=tmp_path / "run.checkpoint")
    assert read_tensors(tmp_path / "run.checkpoint")[1]["run"]["step"] == 12


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_a_damaged_checkpoint_is_named(content, tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    checkpoint.write_bytes(content)
    with pytest.raises(
        InputError, match=r"run\.checkpoint is damaged, or not of vitae \(\w+\): train again with --restart"
    ):
        trained(checkpoint=checkpoint)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.999])
def test_after_a_checkpoint_cut_short_the_one_before_is_taken(kept, tmp_path, checkpoint_at_every_collection, capsys):
    checkpoint = tmp_path / "run.checkpoint"
    expected, undisturbed = trained(checkpoint=checkpoint)
    content = checkpoint.read_bytes()
    before_the_last = read_tensors(checkpoint.previous_of(checkpoint))[1]["run"]["step"]
    assert before_the_last == 10
    checkpoint.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    resumed, progress = trained(checkpoint=checkpoint)
    said = capsys.readouterr().err
    assert "run.checkpoint is damaged" in said
    assert "resuming from the checkpoint before it, run.checkpoint.previous" in said
    assert same(resumed, expected)
    assert progress.losses == undisturbed.losses


def test_a_full_disk_stops_no_training_and_is_said_once(tmp_path, monkeypatch, capsys, checkpoint_at_every_collection):
    checkpoint = tmp_path / "run.checkpoint"
    expected, _ = trained()
    written = []

    def write(path, tensors, stated, previous=None):
        written.append(stated["run"]["step"])
        if len(written) > 1:
            raise DiskFullError(f"cannot write {path}: no space left on device; free some space.")
        write_tensors(path, tensors, stated, previous)

    with monkeypatch.context() as full:
        full.setattr(checkpoint, "write_tensors", write)
        assert same(trained(checkpoint=checkpoint)[0], expected)
    assert written == [4, 8, 8, 10, 10, 12, 12], "after each refusal once more without the one before the last"
    assert capsys.readouterr().err.count("free some space. Training continues; the last checkpoint stays.") == 1
    assert read_tensors(checkpoint)[1]["run"]["step"] == 4
    assert same(trained(checkpoint=checkpoint)[0], expected)


def test_asked_to_stop_it_saves_a_checkpoint_at_the_next_look(tmp_path, monkeypatch, replace_loss):
    expected, _ = trained()
    real, calls = loop.OBJECTIVES["beta-tc"].loss, []

    def objective(*arguments, **settings):
        calls.append(1)
        if len(calls) == 6:
            signal.raise_signal(signal.SIGTERM)
        return real(*arguments, **settings)

    checkpoint = tmp_path / "run.checkpoint"
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as context:
        replace_loss("beta-tc", objective, context)
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint=checkpoint)
    assert read_tensors(checkpoint)[1]["run"]["step"] == 8
    assert signal.getsignal(signal.SIGTERM) is before
    assert same(trained(checkpoint=checkpoint)[0], expected)


def test_weights_alone_are_not_a_checkpoint(tmp_path):
    write_tensors(tmp_path / "run.checkpoint", fresh().state_dict(), {"run": {"fingerprint": "mine"}})
    with pytest.raises(InputError, match="is not a checkpoint of this run"):
        trained(checkpoint=tmp_path / "run.checkpoint", fingerprint="mine")


class Runs:
    def __reduce__(self):
        return print, ("code ran",)


def test_loading_a_checkpoint_never_runs_code(tmp_path, capsys):
    torch.save({"model": Runs()}, tmp_path / "run.checkpoint")
    with pytest.raises(InputError, match="is damaged, or not of vitae"):
        trained(checkpoint=tmp_path / "run.checkpoint")
    assert "code ran" not in capsys.readouterr().out


def test_schedule_by_hand():
    schedule = Schedule(epochs=1, learning_rate=1.0, kl_annealing=0.2, learning_rate_warmup=0.1)
    assert [schedule.kl_weight_at(p) for p in (0, 0.1, 0.2, 0.9)] == pytest.approx([0, 0.5, 1, 1])
    assert [schedule.learning_rate_at(p) for p in (0, 0.1, 0.55)] == pytest.approx([0.04, 1, 0.5])
    assert schedule.learning_rate_at(0.999) < 0.001
    assert Schedule(epochs=1, kl_annealing=0).kl_weight_at(0) == 1


@pytest.mark.parametrize(
    "bad",
    [{"epochs": -1}, {"batch": 0}, {"learning_rate": -0.1}, {"kl_annealing": 1.5}, {"learning_rate_warmup": math.nan}],
)
def test_schedules_that_make_no_sense_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Schedule(**{"epochs": 1, **bad})
