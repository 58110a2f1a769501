"""The rule by which settings are chosen, the same for every row of a table.

Each row gets equally many tries on a validation split of the training images. Of those whose ELBO is close to the best
of the row's tries, the one with the highest D* of posterior draws is chosen. A try whose D* is undefined comes last.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Mapping

from vitae.experiments.declaration import ROWS
from vitae.report.statistics import value

# The ELBO may be this many nats below the row's best: a third of the distance between the best and the worst row of the
# poster's table of MNIST. A model that gives up more likelihood for disentanglement is another trade, not a better
# setting.
NATS = 10.0

# What the tries of one table share and the rows of the table do not need to.
SHARED = ("epochs", "samples", "validation", "precision")


def tries_by_row(trials: list[dict], rows: Collection[str]) -> dict[str, list[dict]]:
    """Row -> its tries, of those that belong to the equal tuning: watched trainings of some rows, those of a table."""
    found = defaultdict(list)
    for trial in trials:
        model = trial["configuration"]["model"]
        if model in rows and "d_star" in trial["scores"]:
            found[model].append(trial)
    return {row: found[row] for row in ROWS if row in found}


def changes(trial: dict) -> dict:
    """What a try changed, beside what all tries share."""
    return {name: v for name, v in trial["configuration"]["overrides"].items() if name not in SHARED}


def varied(trial: dict, trials: list[dict]) -> dict:
    """What some try of a row changed, with this try's own values: those that it took from the profile too."""
    stated = trial["configuration"]
    names = sorted({name for other in trials for name in changes(other)})
    return {name: stated["strengths"].get(name, stated.get(name)) for name in names}


def eligible(trials: list[dict]) -> list[dict]:
    """The tries whose validation ELBO is within `NATS` of the best."""
    best = max(value(trial, "test_elbo") for trial in trials)
    return [trial for trial in trials if value(trial, "test_elbo") >= best - NATS]


def chosen(trials: list[dict]) -> dict:
    """The try that the rule chooses from those of one row; of equal ones that with the highest ELBO."""

    def quality(trial: dict) -> tuple[float, float]:
        d_star = value(trial, "d_star")
        return (-1.0 if math.isnan(d_star) else d_star), value(trial, "test_elbo")

    return max(eligible(trials), key=quality)


# The gain of one more template, as a fraction of the mean gain of those so far, below which it only refines.
_NEW = 0.2


def elbow(elbos: Mapping[int, float]) -> int:
    """The number of templates that the rule takes: one more gains less than a fifth of the mean gain of those so far.

    Where numbers of templates were left out, the gain between two is shared by those between them. If every template
    gains more than that, the largest number is taken.

    Args:
        elbos: number of templates -> ELBO in nats, from one template on.
    """
    counts = sorted(elbos)
    first = counts[0]
    for count, following in itertools.pairwise(counts):
        gain = (elbos[following] - elbos[count]) / (following - count)
        if count > first and gain < _NEW * (elbos[count] - elbos[first]) / (count - first):
            return count
    return counts[-1]
