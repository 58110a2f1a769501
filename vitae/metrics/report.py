"""All registered scores of one set of codes, computed from the same points, as a table and as JSON."""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from vitae.metrics.arrays import Arrays, Points, checked_names, parts
from vitae.metrics.probes import Probe, predictability
from vitae.metrics.registry import SCORES
from vitae.support.errors import InputError, require_number


@dataclass(frozen=True)
class Report:
    """All scores of one set of codes. `report.mig` is short for `report.results["mig"]`, and so for every score.

    Attributes:
        factors: their names.
        codes: their names.
        train: number of training points.
        test: number of test points.
        seed: of split and votes.
        results: name of a registered score -> what its function returned.
        spaces: latent space -> factor -> kNN probe; empty if no spaces were given.
        seconds: spent on each score.
    """

    factors: tuple[str, ...]
    codes: tuple[str, ...]
    train: int
    test: int
    seed: int
    results: dict[str, Any]
    spaces: dict[str, dict[str, Probe]]
    seconds: dict[str, float]

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling look attributes up before there are any results.
        results = self.__dict__.get("results", {})
        if name in results:
            return results[name]
        raise AttributeError(f"a report has no attribute and no score named '{name}'; scores: {', '.join(results)}")

    @property
    def shortfall(self) -> str:
        """How the scores fall short of the full protocol; empty if they do not."""
        reasons = [each for result in self.results.values() for each in getattr(result, "shortfall", "").split("; ")]
        return "; ".join(filter(None, dict.fromkeys(reasons)))

    def values(self) -> dict[str, float]:
        """The numbers of all scores by column heading."""
        return {heading: value for heading, value, _ in self._cells()}

    def rows(self) -> list[list[str]]:
        """A table with one row per number: score, value, and what it asks. The first row is the heading."""
        rows = [["score", "value", "asks"]]
        rows += [[heading, f"{value:.3f}", asks] for heading, value, asks in self._cells()]
        for space, probes in self.spaces.items():
            for factor, probe in probes.items():
                reached = f"reached {probe.reached:.3f}, guessing {probe.guessing:.3f}"
                rows.append([f"{factor} from {space}", f"{probe.score:.3f}", f"gain over guessing: {reached}"])
        return rows

    def _cells(self) -> list[tuple[str, float, str]]:
        cells = []
        for name, result in self.results.items():
            entries = SCORES[name].record_of(result)
            cells += [(column.heading, entries[column.name], column.asks) for column in SCORES[name].columns]
        return cells

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, *_ in rows)
        lines = [f"{name:<{width}}  {value:>6}  {asks}" for name, value, asks in rows]
        return "\n".join([*lines, self.caption()])

    def caption(self) -> str:
        """Protocol and seed of the numbers, for a reader of the table."""
        caption = f"{self.train:,} training points, {self.test:,} test points, seed {self.seed}."
        if self.shortfall:
            caption += f" NOT the full protocol: {self.shortfall}. Do not compare these numbers with full ones."
        return caption

    def as_json(self) -> dict:
        """All numbers and matrices as plain values, with the results by name beside the other attributes.

        nan and infinity become null.
        """
        entries = dataclasses.asdict(self)
        return plain({**entries.pop("results"), **entries, "shortfall": self.shortfall})


def plain(value):
    """Numbers and arrays as JSON values; nan and infinity become null."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def report(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    spaces: Mapping[str, int] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> Report:
    """Compute every registered score of codes from the same training and test points.

    Args: see `vitae.metrics`. The full protocol needs 15,000 points; with fewer, the report says so.
        spaces: sizes of the latent spaces in the order of the codes, for instance `{"z_A": 2, "z_P": 3}`; the report
            then also has a kNN probe of each space for each factor.

    Raises:
        InputError: the message says which argument is wrong, and where; see `vitae.metrics.arrays.parts`.
    """
    train, held_out = parts(codes, factors, test=test, classes=classes, names=names, seed=seed)
    d = train.codes.shape[1]
    sizes = _checked_spaces(spaces, d)
    arguments = {
        "test": (held_out.codes, held_out.values),
        "classes": train.classes,
        "names": train.names,
        "seed": seed,
    }
    results, seconds = {}, {}
    scores = [score for score in SCORES.values() if score.needs == "codes"]
    with tqdm(scores, unit="score", disable=None, delay=1) as bar:
        for score in bar:
            bar.set_description(score.name)
            started = time.perf_counter()
            results[score.name] = score.function(train.codes, train.values, **arguments, fast=fast)
            seconds[score.name] = round(time.perf_counter() - started, 3)
    started = time.perf_counter()
    probes = _probes(train, arguments, sizes)
    seconds["spaces"] = round(time.perf_counter() - started, 3)
    return Report(
        factors=train.names,
        codes=tuple(f"{name}, {i + 1}" for name, size in sizes.items() for i in range(size))
        or tuple(f"code {i + 1}" for i in range(d)),
        train=len(train),
        test=len(held_out),
        seed=seed,
        results=results,
        spaces=probes,
        seconds=seconds,
    )


def _checked_spaces(spaces: Mapping[str, int] | None, d: int) -> dict[str, int]:
    if spaces is None:
        return {}
    if not isinstance(spaces, Mapping):
        raise InputError("spaces must map the names of latent spaces to their sizes.")
    sizes = dict(zip(checked_names("spaces", spaces), spaces.values(), strict=True))
    for name, size in sizes.items():
        require_number(f"the size of {name}", size, 1, whole=True)
    if sizes and sum(sizes.values()) != d:
        raise InputError(f"the sizes of spaces add up to {sum(sizes.values())}, but there are {d} codes.")
    return sizes


def _probes(train: Points, arguments: dict, sizes: Mapping[str, int]) -> dict[str, dict[str, Probe]]:
    probes, start = {}, 0
    test_codes, test_factors = arguments["test"]
    for space, size in sizes.items():
        columns = slice(start, start + size)
        start += size
        of_space = {**arguments, "test": (test_codes[:, columns], test_factors)}
        probes[space] = predictability(train.codes[:, columns], train.values, **of_space).by_factor
    return probes
