"""Numbers of records over seeds: means with intervals, paired differences, and which model is best."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special

from vitae.experiments.declaration import ROWS


@dataclass(frozen=True)
class Interval:
    """The mean over seeds with the half-width of its 95% t-interval; `half_width` is nan for a single seed."""

    mean: float
    half_width: float
    seeds: int

    @classmethod
    def of(cls, values: list[float]) -> "Interval":
        """The interval of one number per seed."""
        n = len(values)
        if n == 1:
            return cls(values[0], math.nan, 1)
        half_width = special.stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(n)
        return cls(float(np.mean(values)), float(half_width), n)

    def text(self, digits: int) -> str:
        """Mean and half-width with that many decimals, for instance `-139.2 ± 0.4`."""
        spread = f" ± {self.half_width:.{digits}f}" if math.isfinite(self.half_width) else ""
        return f"{self.mean:.{digits}f}{spread}"


def value(record: dict, name: str) -> float:
    """One number of a record; nan if the record does not have it.

    Args:
        name: a score's key; or `SPACE:FACTOR`, how well nearest neighbours predict a factor from the posterior means
            of a space; or `draws:SPACE:FACTOR`, the same from posterior draws.
    """
    scores = record["scores"]
    if ":" in name:
        *draws, space, factor = name.split(":")
        kind = "predictability_of_draws" if draws else "predictability"
        number = scores.get(kind, {}).get(space, {}).get(factor)
    else:
        number = scores.get(name)
        number = number["mean"] if isinstance(number, dict) else number
    return math.nan if number is None else number


def guessing(record: dict, factor: str) -> float:
    """What a predictor without any information about a factor reaches on the images of a record.

    For a class it is the test accuracy of the most frequent class, for a number the R^2 of the mean, 0. Nearest
    neighbours do worse than the mean: the average of k unrelated neighbours has a variance of its own, so on codes that
    do not depend on a factor they reach an R^2 of about -1/k.
    """
    return record["scores"]["guessing"][factor]


def in_table_order(models: Iterable[str]) -> list[str]:
    """Models in the order of the rows of all tables, see `vitae.experiments.declaration.ROWS`, then others by name."""
    present = set(models)
    return [name for name in ROWS if name in present] + sorted(present - set(ROWS))


def models_of(records: list[dict]) -> list[str]:
    """The models of some records, in the order of the tables."""
    return in_table_order(record["configuration"]["model"] for record in records)


def by_seed(records: list[dict], model: str, number: Callable[[dict], float]) -> dict[int, float]:
    """Seed -> a number of each of a model's records, without those for which it is not finite."""
    numbers = {r["configuration"]["seed"]: number(r) for r in records if r["configuration"]["model"] == model}
    return {seed: found for seed, found in numbers.items() if math.isfinite(found)}


def paired(records: list[dict], model: str, other: str, name: str, others: list[dict] | None = None) -> Interval | None:
    """A model's number minus another model's, paired by seed; None if they share no seed.

    Args:
        name: see `value`.
        others: the other model's records, if they are not among `records`.
    """
    ours = by_seed(records, model, lambda record: value(record, name))
    theirs = by_seed(records if others is None else others, other, lambda record: value(record, name))
    shared = sorted(ours.keys() & theirs.keys())
    return Interval.of([ours[seed] - theirs[seed] for seed in shared]) if shared else None


def leader(records: list[dict], name: str) -> tuple[str, list[str]]:
    """The model with the highest mean of a number, and the models that are not significantly below it.

    A model is significantly below if the 95% t-interval of the differences, paired by seed, is above 0. A single seed
    has no interval, so no model is then significantly below.
    """
    means = {model: interval.mean for model, interval in intervals(records, name).items()}
    best = max(means, key=means.get)
    gaps = {other: paired(records, best, other, name) for other in means if other != best}
    return best, [other for other, gap in gaps.items() if gap is None or not gap.mean - gap.half_width > 0]


def intervals(records: list[dict], name: str) -> dict[str, Interval]:
    """Model -> interval over its seeds of one number, see `value`; models without that number are left out."""
    by_model: dict[str, list[float]] = {}
    for record in records:
        number = value(record, name)
        if math.isfinite(number):
            by_model.setdefault(record["configuration"]["model"], []).append(number)
    return {model: Interval.of(numbers) for model, numbers in by_model.items()}
