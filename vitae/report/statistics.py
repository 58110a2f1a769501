"""Numbers of records over seeds: means with intervals, differences of models, and which model is best."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from vitae.experiments.declaration import ROWS

# Of the intervals in tables and figures; two models differ if that of their difference excludes 0.
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """The mean over seeds, or the difference of two such means, with what its 95% t-interval needs.

    Attributes:
        mean: of the numbers, or the difference of the means.
        standard_error: of that; nan for a single seed.
        freedom: degrees of freedom of Student's t; nan for a single seed.
        seeds: how many numbers there are; of a difference, how many the side with fewer has.
        values: the numbers themselves; of a difference, those of the first side.
    """

    mean: float
    standard_error: float
    freedom: float
    seeds: int
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """The interval of one number per seed."""
        n = len(values)
        error = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
        return cls(float(np.mean(values)), error, n - 1 if n > 1 else math.nan, n, tuple(values))

    @classmethod
    def difference(cls, ours: Sequence[float], theirs: Sequence[float]) -> "Interval":
        """The mean of independent runs minus that of others, whose spread may differ (Welch, 1947).

        Not paired by seed: two models share no randomness that would make their scores rise and fall together.
        """
        first, second = cls.of(ours), cls.of(theirs)
        a, b = first.standard_error**2, second.standard_error**2
        denominator = a**2 / first.freedom + b**2 / second.freedom if min(first.seeds, second.seeds) > 1 else math.nan
        freedom = (a + b) ** 2 / denominator if denominator > 0 else first.freedom + second.freedom
        seeds = min(first.seeds, second.seeds)
        return cls(first.mean - second.mean, math.sqrt(a + b), freedom, seeds, first.values)

    @property
    def half_width(self) -> float:
        """Of the 95% t-interval; nan for a single seed."""
        return float(special.stdtrit(self.freedom, (1 + LEVEL) / 2)) * self.standard_error

    def chance_below(self, threshold: float) -> float:
        """p-value of the hypothesis that the true mean is at most `threshold`; nan for a single seed."""
        if math.isnan(self.freedom):
            return math.nan
        if self.standard_error == 0:
            return 0.0 if self.mean > threshold else 1.0
        return float(special.stdtr(self.freedom, (threshold - self.mean) / self.standard_error))

    def chance_above(self, threshold: float) -> float:
        """p-value of the hypothesis that the true mean is at least `threshold`; nan for a single seed."""
        mirrored = Interval(-self.mean, self.standard_error, self.freedom, self.seeds)
        return mirrored.chance_below(-threshold)

    def text(self, digits: int) -> str:
        """Mean and half-width with that many decimals, for instance `-139.2 ± 0.4`."""
        spread = f" ± {self.half_width:.{digits}f}" if math.isfinite(self.half_width) else ""
        return f"{self.mean:.{digits}f}{spread}"


def holm(chances: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm, 1979); nan stays nan and does not count."""
    known = sorted((chance, i) for i, chance in enumerate(chances) if not math.isnan(chance))
    adjusted, largest = [math.nan] * len(chances), 0.0
    for rank, (chance, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * chance))
        adjusted[i] = largest
    return adjusted


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

    For a class it is the test accuracy of the most frequent class, for a number the R^2 of k unrelated neighbours,
    about -1/k: their average has a variance of its own.
    """
    return record["scores"]["guessing"][factor]


def share_gained(record: dict, name: str) -> float:
    """Where a probe lies between guessing, which is 0, and certainty, which is 1; may be a little below 0.

    Args:
        name: `SPACE:FACTOR` or `draws:SPACE:FACTOR`, see `value`.
    """
    chance = guessing(record, name.split(":")[-1])
    return (value(record, name) - chance) / (1 - chance)


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


def difference(
    records: list[dict], model: str, other: str, name: str, others: list[dict] | None = None
) -> Interval | None:
    """A model's number minus another model's, over independent seeds; None if one of them has no record of it.

    Args:
        name: see `value`.
        others: the other model's records, if they are not among `records`.
    """
    ours = by_seed(records, model, lambda record: value(record, name))
    theirs = by_seed(records if others is None else others, other, lambda record: value(record, name))
    return Interval.difference([*ours.values()], [*theirs.values()]) if ours and theirs else None


def leader(records: list[dict], name: str) -> tuple[str, list[str]]:
    """The model with the highest mean of a number, and the models that are not significantly below it.

    A model is significantly below if the 95% interval of the difference is above 0 (Welch's t-test). A single seed has
    no interval, so no model is then significantly below.
    """
    means = {model: interval.mean for model, interval in intervals(records, name).items()}
    best = max(means, key=means.get)
    gaps = {other: difference(records, best, other, name) for other in means if other != best}
    return best, [other for other, gap in gaps.items() if not gap.mean - gap.half_width > 0]


def intervals(records: list[dict], name: str) -> dict[str, Interval]:
    """Model -> interval over its seeds of one number, see `value`; models without that number are left out."""
    by_model: dict[str, list[float]] = {}
    for record in records:
        number = value(record, name)
        if math.isfinite(number):
            by_model.setdefault(record["configuration"]["model"], []).append(number)
    return {model: Interval.of(numbers) for model, numbers in by_model.items()}
