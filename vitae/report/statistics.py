"""Numbers of records over seeds: intervals, differences and who leads."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Interval:
    """The mean over seeds with the half width of its 95% t-interval; `half_width` is nan for a single seed."""

    mean: float
    half_width: float
    seeds: int

    @classmethod
    def of(cls, values: list[float]) -> "Interval":
        n = len(values)
        if n == 1:
            return cls(values[0], math.nan, 1)
        half_width = special.stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(n)
        return cls(float(np.mean(values)), float(half_width), n)

    def text(self, digits: int) -> str:
        """For instance `-139.2 ± 0.4`."""
        spread = f" ± {self.half_width:.{digits}f}" if math.isfinite(self.half_width) else ""
        return f"{self.mean:.{digits}f}{spread}"


def value(record: dict, name: str) -> float:
    """One number of a record: a score by name, `space:factor` for a predictability, `draws:space:factor` of draws."""
    scores = record["scores"]
    if ":" in name:
        *of, space, factor = name.split(":")
        kind = "predictability_of_draws" if of else "predictability"
        found = scores.get(kind, {}).get(space, {}).get(factor)
    else:
        found = scores.get(name)
        found = found["mean"] if isinstance(found, dict) else found
    return math.nan if found is None else found


def by_seed(records: list[dict], model: str, number: Callable[[dict], float]) -> dict[int, float]:
    """A number of each of a model's records that has it, by seed."""
    own = {r["configuration"]["seed"]: number(r) for r in records if r["configuration"]["model"] == model}
    return {seed: found for seed, found in own.items() if math.isfinite(found)}


def paired(records: list[dict], model: str, other: str, name: str, others: list[dict] | None = None) -> Interval | None:
    """By how much a model's number is above another's, paired by seed; None if they share no seed.

    Args:
        others: the records that the other's number is taken from, if they are not the same.
    """
    ours = by_seed(records, model, lambda record: value(record, name))
    theirs = by_seed(records if others is None else others, other, lambda record: value(record, name))
    shared = sorted(ours.keys() & theirs.keys())
    return Interval.of([ours[seed] - theirs[seed] for seed in shared]) if shared else None


def leader(records: list[dict], name: str) -> tuple[str, list[str]]:
    """The model with the highest mean of a number, and those that it is not shown to be above.

    It is shown to be above another if the 95% t-interval of their differences, paired by seed, is above 0; with one
    seed nothing is shown.
    """
    means = {model: interval.mean for model, interval in intervals(records, name).items()}
    best = max(means, key=means.get)
    above = {other: paired(records, best, other, name) for other in means if other != best}
    return best, [other for other, gap in above.items() if gap is None or not gap.mean - gap.half_width > 0]


def intervals(records: list[dict], name: str) -> dict[str, Interval]:
    """Each model's interval over its seeds of one number, models without that number left out."""
    by_model: dict[str, list[float]] = {}
    for record in records:
        number = value(record, name)
        if math.isfinite(number):
            by_model.setdefault(record["configuration"]["model"], []).append(number)
    return {model: Interval.of(numbers) for model, numbers in by_model.items()}
