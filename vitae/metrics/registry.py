"""Every score by name: what computes it, what a record stores of it, and the columns that tables show.

A score is a function of codes and factors, or of a trained model; `register_score` adds one. Reports, records, tables
and the API page read this registry.
"""

import dataclasses
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vitae.support.errors import InputError, require_known
from vitae.support.registry import Registry

NEEDS = ("codes", "model")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        heading: as it is printed.
        name: the number's key in a record's scores; see `vitae.report.statistics.value`.
        digits: decimals.
        asks: what the score asks of the codes, in a few words.
    """

    heading: str
    name: str
    digits: int = 3
    asks: str = ""


@dataclass(frozen=True)
class Score:
    """A registered score.

    Attributes:
        function: of codes, `(codes, factors, *, test, classes, names, seed, fast) -> result`, where the result is a
            number or a dataclass; or of a model, `(trained) -> dict` of what a record stores, see
            `vitae.evaluation.score.Trained`.
        needs: `codes` or `model`.
        stored: key in a record's scores -> attribute of the result; empty for scores of a model.
        columns: of tables and reports.
        version: raised when the numbers change. A record says which versions its scores have.
        always: computed for every experiment, and shown in its table; other scores are listed by an experiment.
    """

    function: Callable[..., Any]
    needs: str
    stored: dict[str, str]
    columns: tuple[Column, ...]
    version: int
    always: bool

    def record_of(self, result: Any) -> dict:
        """What a record stores of a result of a score of codes, as plain values.

        Raises:
            InputError: the function returned neither a number nor an object with the attributes in `stored`.
        """
        name = self.function.__name__
        if isinstance(result, numbers.Real):
            (key,) = self.stored
            return {key: float(result)}
        absent = [attribute for attribute in self.stored.values() if not hasattr(result, attribute)]
        if absent:
            raise InputError(
                f"the score {name} must return a number or an object with {absent[0]}, got {type(result).__name__}."
            )
        found = {key: getattr(result, attribute) for key, attribute in self.stored.items()}
        return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in found.items()}


SCORES: Registry[Score] = Registry("score")


def register_score(
    name: str,
    *,
    column: str | Column | tuple[Column, ...] = (),
    needs: str = "codes",
    stored: Mapping[str, str] | None = None,
    version: int = 1,
    always: bool = True,
) -> Callable:
    """Decorator: register a function as a score, so that records, tables and reports have it.

    Args:
        name: of the score, and of its number in a record.
        column: its heading in tables, or the columns in full.
        needs: `codes` for `(codes, factors, *, test, classes, names, seed, fast) -> float`; `model` for
            `(trained) -> dict`.
        stored: key in a record -> attribute of the result, where the function returns more than a number.
        version: raise it when the numbers change; `vitae evaluate --write` then computes them again.
        always: compute it for every experiment and show it in its table, or only where an experiment lists it.

    Raises:
        InputError: the name is taken.

    Example::

        @register_score("spread", column="spread of codes")
        def spread(codes, factors, *, test=None, classes=None, names=None, seed=0, fast=False):
            return float(codes.std())
    """
    require_known("needs", needs, NEEDS)
    columns = (
        (Column(column, name),) if isinstance(column, str) else (column,) if isinstance(column, Column) else column
    )

    def registered(function: Callable) -> Callable:
        kept = dict(stored or ({name: "score"} if needs == "codes" else {}))
        score = Score(function, needs, kept, tuple(columns), version, always)
        SCORES.add(name, score, module=function.__module__)
        return function

    return registered


def plain(value: Any) -> Any:
    """A dataclass, or a dictionary of them, as plain values."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
