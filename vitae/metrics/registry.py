"""The registry of scores: for each score its function, what a record stores, and its columns in tables.

A score is a function of codes and factors, or of a trained model; `register_score` adds one. Reports, records, tables
and the API page read this registry.
"""

import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vitae.support.errors import InputError, require_known
from vitae.support.registry import Registry

NEEDS = ("codes", "model")


@dataclass(frozen=True)
class Column:
    """One column of a table of records, and one row of a report.

    Attributes:
        heading: the printed name.
        name: key of the number in a record's scores, see `vitae.report.statistics.value`.
        digits: decimal places.
        asks: the question that the score answers, in a few words.
    """

    heading: str
    name: str
    digits: int = 3
    asks: str = ""


@dataclass(frozen=True)
class Score:
    """A registered score.

    Attributes:
        name: under which it is registered.
        function: of codes, `(codes, factors, *, test, classes, names, seed, fast) -> result`, where the result is a
            number or a dataclass, see `vitae.metrics`; or of a model, `(trained) -> dict` of record entries, see
            `vitae.evaluation.score.Trained`.
        needs: `codes` or `model`.
        stored: key in a record's scores -> attribute of the result; empty for scores of a model.
        columns: of tables and reports.
        version: of the definition; a record states the versions of its scores.
        always: computed for every experiment and shown in its table; experiments list all other scores that they want.
        declared_classes: records treat factors as classes or numbers as the dataset declares them.
    """

    name: str
    function: Callable[..., Any]
    needs: str
    stored: dict[str, str]
    columns: tuple[Column, ...]
    version: int
    always: bool
    declared_classes: bool

    def record_of(self, result: Any) -> dict:
        """The record entries of a result of a score of codes, as plain values.

        Raises:
            InputError: the result is neither a number nor an object with the attributes in `stored`.
        """
        if isinstance(result, numbers.Real) and len(self.stored) == 1:
            return {key: float(result) for key in self.stored}
        missing = [attribute for attribute in self.stored.values() if not hasattr(result, attribute)]
        if missing:
            raise InputError(
                f"the score {self.name} must return a number or an object with the attribute {missing[0]}, got "
                f"{type(result).__name__}."
            )
        entries = {key: getattr(result, attribute) for key, attribute in self.stored.items()}
        return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in entries.items()}


SCORES: Registry[Score] = Registry("score")


def register_score(
    name: str,
    *,
    column: str | Column | tuple[Column, ...] = (),
    needs: str = "codes",
    stored: Mapping[str, str] | None = None,
    version: int = 1,
    always: bool = True,
    declared_classes: bool = False,
) -> Callable:
    """Decorator: register a function as a score, so that records, tables and reports include it.

    Args:
        name: of the score; also the record key of its number.
        column: heading of its column in tables and of its row in reports, or its columns in full. Without a column, the
            score is stored but not shown.
        needs: `codes` for a function `(codes, factors, *, test, classes, names, seed, fast)` that returns a number or a
            dataclass; `model` for a function `(trained) -> dict`.
        stored: record key -> attribute of the result, if the function returns more than a number.
        version: increase it when the definition changes; `vitae evaluate --write` then recomputes the score.
        always: compute it for every experiment and show it in its table; otherwise only where an experiment lists it.
        declared_classes: in records, pass what the dataset declares as `classes`. By default None is passed: numeric
            factors of a grid have few values and so count as classes, as is usual for these scores.

    Raises:
        InputError: the name is taken, or `needs` is unknown.

    Example::

        @register_score("spread", column=Column("spread", "spread", asks="how far apart are the codes?"))
        def spread(codes, factors, *, test=None, classes=None, names=None, seed=0, fast=False):
            return float(codes.std())
    """
    require_known("needs", needs, NEEDS)
    columns = (
        (Column(column, name),) if isinstance(column, str) else (column,) if isinstance(column, Column) else column
    )
    keys = dict(stored or ({name: "score"} if needs == "codes" else {}))

    def register(function: Callable) -> Callable:
        score = Score(name, function, needs, keys, tuple(columns), version, always, declared_classes)
        SCORES.add(name, score, module=function.__module__)
        return function

    return register
