import math

import pytest
import torch

from vitae.experiments.build import build
from vitae.experiments.configuration import configure
from vitae.support.randomness import generator
from vitae.training import convergence as module
from vitae.training.convergence import checks, convergence
from vitae.training.loop import train_together
from vitae.training.schedule import Schedule
from vitae.training.step import Run

SHAPE = (1, 28, 28)
# Constant from 20% to 70% of the steps.
SCHEDULE = Schedule(epochs=1, learning_rate_decay=0.3)
STEPS = 4_000


def curve(elbo_at):
    """The held-out ELBO at every check, from a function of the fraction of all steps."""
    return [elbo_at(step / STEPS) for step in checks(STEPS)]


def test_checks_are_evenly_spaced_and_end_with_the_last_step():
    assert checks(STEPS) == [100 * (i + 1) for i in range(40)]
    assert checks(120) == [60, 120]
    assert checks(7_001)[-1] == 7_001
    assert checks(49) == checks(0) == []


def test_the_gain_is_what_the_second_half_of_the_constant_phase_added():
    # A straight line gains its slope times half of the constant phase's end, 0.7 / 2, whatever the windows are.
    judged = convergence(curve(lambda progress: -200 + 20 * progress), STEPS, SCHEDULE)
    assert judged.gain == pytest.approx(20 * 0.35)
    assert judged.tolerance == 1
    assert not judged.converged


@pytest.mark.parametrize(
    ("level", "gain", "converged"), [(-100, 0.9, True), (-100, 1.1, False), (-8_000, 39, True), (-8_000, 41, False)]
)
def test_the_tolerance_is_one_nat_or_half_a_percent(level, gain, converged):
    stepped = convergence(curve(lambda progress: level + gain * (progress > 0.5)), STEPS, SCHEDULE)
    assert stepped.gain == pytest.approx(gain)
    assert stepped.converged is converged


def test_an_overfitting_model_has_a_negative_gain_and_what_follows_the_constant_phase_does_not_count():
    falls_then_jumps = convergence(curve(lambda p: -100 - 10 * p + 500 * (p > 0.71)), STEPS, SCHEDULE)
    assert falls_then_jumps.gain == pytest.approx(-3.5)
    assert falls_then_jumps.converged


@pytest.mark.parametrize(
    "schedule",
    [Schedule(epochs=1), Schedule(epochs=1, learning_rate_decay=0.5), Schedule(epochs=1, kl_annealing=1.0)],
    ids=["one cycle", "short", "all annealing"],
)
def test_without_a_long_phase_of_constant_rates_there_is_no_judgement(schedule):
    assert convergence(curve(lambda progress: -100.0), STEPS, schedule) is None


def test_an_unfinished_or_unwatched_training_is_not_judged():
    assert convergence([-100.0] * 39, STEPS, SCHEDULE) is None
    assert convergence([], 20, SCHEDULE) is None


class Images:
    """Twenty random images."""

    def __init__(self):
        self.images = torch.randint(0, 256, (20, *SHAPE), generator=generator("cpu", 0, "images"), dtype=torch.uint8)

    def __len__(self):
        return len(self.images)

    def epoch(self, seed, number):
        return self.images


def trained(held_out_elbo, checkpoint=None):
    """A run after six steps."""
    configuration = configure("mnist", "u-vitae", "smoke", batch=10, epochs=3)
    run = Run("run", build(configuration, SHAPE), 0, configuration.schedule)
    train_together([run], Images(), "elbo", checkpoint=checkpoint, held_out_elbo=held_out_elbo)
    return run


def sum_of_weights(model):
    model.eval()
    return float(sum(parameter.detach().sum() for parameter in model.parameters()))


def test_measuring_changes_nothing_and_sees_the_model_of_its_step(monkeypatch):
    monkeypatch.setattr(module, "_STEPS_BETWEEN_CHECKS", 2)
    watched, plain = trained(sum_of_weights), trained(None)
    assert len(watched.progress.held_out) == 3
    assert watched.progress.held_out[-1] == sum_of_weights(watched.model) == sum_of_weights(plain.model)
    assert len(set(watched.progress.held_out)) == 3
    assert plain.progress.held_out == []


def test_a_resumed_training_measures_nothing_twice(
    monkeypatch, tmp_path, checkpoint_at_every_collection, killed_before_step
):
    monkeypatch.setattr(module, "_STEPS_BETWEEN_CHECKS", 2)
    monkeypatch.setattr("vitae.training.loop._STEPS_BETWEEN_COLLECTIONS_ON_CPU", 3)
    expected = trained(sum_of_weights).progress.held_out
    with killed_before_step(5):
        trained(sum_of_weights, tmp_path / "run.checkpoint")
    assert trained(sum_of_weights, tmp_path / "run.checkpoint").progress.held_out == expected
    assert all(map(math.isfinite, expected))
