import math

import pytest

from vitae import InputError
from vitae.training.schedule import Schedule


def test_schedule_values_match_a_calculation_by_hand():
    schedule = Schedule(epochs=1, learning_rate=1.0, kl_annealing=0.2, learning_rate_warmup=0.1)
    assert [schedule.kl_weight_at(p) for p in (0, 0.1, 0.2, 0.9)] == pytest.approx([0, 0.5, 1, 1])
    assert [schedule.learning_rate_at(p) for p in (0, 0.1, 0.55)] == pytest.approx([0.04, 1, 0.5])
    assert schedule.learning_rate_at(0.999) < 0.001
    assert Schedule(epochs=1, kl_annealing=0).kl_weight_at(0) == 1


def test_the_learning_rate_stays_at_its_peak_until_the_decay():
    schedule = Schedule(epochs=1, learning_rate=1.0, learning_rate_decay=0.3)
    assert [schedule.learning_rate_at(p) for p in (0.1, 0.5, 0.69, 0.85)] == pytest.approx([1, 1, 1, 0.5])
    assert schedule.constant_phase == pytest.approx((0.2, 0.7))
    # Never before the rise is over.
    late = Schedule(epochs=1, learning_rate=1.0, learning_rate_warmup=0.4, learning_rate_decay=0.8)
    assert late.learning_rate_at(0.4) == pytest.approx(1)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": -1},
        {"batch": 0},
        {"learning_rate": -0.1},
        {"kl_annealing": 1.5},
        {"learning_rate_warmup": math.nan},
        {"learning_rate_decay": 2},
    ],
)
def test_invalid_schedules_are_refused(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        Schedule(**{"epochs": 1, **setting})
