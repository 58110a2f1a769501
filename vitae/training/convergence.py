"""Whether a training was long enough: what a doubling of its steps gained.

The ELBO of held-out images is measured at equal distances over the training. While the learning rate and the weight of
the KL are constant, the training does not know how long it will be, so the model in the middle of this phase's steps is
the model of a training with half the budget. If the second half gains less than the tolerance, the larger of 1 nat and
0.5% of the ELBO, the training has converged: a further doubling would gain less still, as a rule. When the learning
rate falls at the end, the ELBO rises once more for every model; that rise says nothing about the budget.
"""

from dataclasses import dataclass

import numpy as np

from vitae.training.schedule import Schedule

# At most so many checks in a training, and at least so many steps between them.
_CHECKS, _STEPS_BETWEEN_CHECKS = 40, 50
# The width of the windows over which checks are averaged, as a fraction of all steps.
_WINDOW = 0.1
_LEAST_NATS, _LEAST_FRACTION = 1.0, 0.005


def checks(steps: int) -> list[int]:
    """After which of `steps` steps the held-out ELBO is measured: at most 40 times, and at most every 50 steps."""
    count = min(_CHECKS, steps // _STEPS_BETWEEN_CHECKS)
    return [-(-(i + 1) * steps // count) for i in range(count)]


@dataclass(frozen=True)
class Convergence:
    """What the second half of the steps gained.

    Attributes:
        gain: held-out ELBO at the end of the constant phase minus that after half as many steps, in nats; negative if
            the model overfits.
        tolerance: the largest gain of a converged training, in nats.
        converged: whether the gain is at most the tolerance.
    """

    gain: float
    tolerance: float
    converged: bool


def convergence(held_out: list[float], steps: int, schedule: Schedule) -> Convergence | None:
    """Judge a finished training; None if it has no phase of constant rates that is long enough, or too few checks.

    Args:
        held_out: ELBO in nats at each of `checks(steps)`.
        steps: of the whole training.
    """
    start, end = schedule.constant_phase
    if end / 2 - _WINDOW < start or len(held_out) < len(checks(steps)):
        return None
    # Half a step earlier, so that rounding moves no check into or out of a window.
    at = (np.array(checks(steps)) - 0.5) / max(steps, 1)
    early, late = (np.array(held_out)[(at > last - _WINDOW) & (at < last)] for last in (end / 2, end))
    if not len(early) or not len(late):
        return None
    gain = float(late.mean() - early.mean())
    tolerance = float(max(_LEAST_NATS, _LEAST_FRACTION * abs(late.mean())))
    return Convergence(gain, tolerance, bool(gain <= tolerance))
