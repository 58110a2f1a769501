"""Parts of claims from records: numbers over seeds, whether they can be judged, and what they rest on."""

import math
from collections.abc import Callable

from vitae.report import statistics
from vitae.report.statistics import Interval
from vitae.report.verdicts import CANNOT_TELL, TOO_SHORT, Part

# Dataset, or dataset and what was changed -> records.
Records = dict[str, list[dict]]

# D* of codes that know less than this of the factors, on average, says nothing about a model.
LEAST_COVERAGE = 0.2


def basis(runs: list[dict]) -> str:
    """Data, epochs, steps, seeds and network of some runs, in a few words."""
    parts = []
    for record in runs:
        stated, train = record["configuration"], record["data"]["train"]
        schedule = stated["schedule"]
        batch = min(schedule["batch"], train)
        one_space = "z" in record["scores"]["predictability"]
        widths = "-".join(map(str, stated["vae_widths" if one_space else "widths"]))
        parts.append(
            f"{train:,} images, {schedule['epochs']} epochs ({schedule['epochs'] * (train // batch):,} steps of "
            f"{batch}), {stated['network']} {widths}"
        )
    distinct = list(dict.fromkeys(parts))
    return f"{len(runs)} run{'s' * (len(runs) > 1)}: {'; '.join(distinct)}" if runs else ""


def _runs(records: Records, key: str, model: str) -> list[dict]:
    return [record for record in records[key] if record["configuration"]["model"] == model]


def _obstacle(runs: list[dict], name: str) -> str:
    """Why some runs cannot be judged by a number; "" if they can."""
    if not all((record.get("convergence") or {}).get("converged") for record in runs):
        return TOO_SHORT
    if name == "d_star":
        coverage = [statistics.value(record, "d_star_coverage") for record in runs]
        undefined = any(math.isnan(statistics.value(record, name)) for record in runs)
        if undefined or any(each < LEAST_COVERAGE for each in coverage):
            return CANNOT_TELL
    return ""


def part(
    records: Records,
    what: str,
    number: Callable[[dict], float],
    threshold: float,
    key: str,
    model: str = "c-vitae",
    *,
    name: str = "",
    trained: bool = True,
    **how,
) -> Part:
    """A part about one model: a number of each of its records, against a threshold.

    Args:
        key: of the records.
        name: of the number, where a score may not be able to tell.
        trained: whether the number is about a trained model, and not what holds from the first step on.
        how: further arguments of `Part`.
    """
    runs = _runs(records, key, model)
    numbers = [found for found in map(number, runs) if math.isfinite(found)]
    interval = Interval.of(numbers) if numbers else None
    obstacle = _obstacle(runs, name) if trained else ""
    return Part(what, interval, threshold, obstacle=obstacle, basis=basis(runs), **how)


def named_part(
    records: Records, what: str, name: str, threshold: float, key: str, model: str = "c-vitae", **how
) -> Part:
    """A part about a number that records hold by name, see `statistics.value`."""
    return part(records, what, lambda record: statistics.value(record, name), threshold, key, model, name=name, **how)


def gap(
    records: Records,
    what: str,
    name: str,
    ours: tuple[str, str],
    theirs: tuple[str, str],
    threshold: float = 0.0,
    **how,
) -> Part:
    """A part about a difference of two models.

    Args:
        ours, theirs: key of the records, and model.
    """
    (key, model), (other_key, other) = ours, theirs
    interval = statistics.difference(records[key], model, other, name, records[other_key])
    runs = [*_runs(records, key, model), *_runs(records, other_key, other)]
    return Part(what, interval, threshold, obstacle=_obstacle(runs, name), basis=basis(runs), **how)
