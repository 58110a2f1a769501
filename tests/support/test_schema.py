import re
from dataclasses import dataclass, field

import pytest

from vitae.support.schema import (
    COUNT,
    FLAG,
    MEASURED,
    NUMBER,
    TEXT,
    Each,
    Nullable,
    Optional,
    Values,
    misfit,
    schema_of,
)


@dataclass
class Inner:
    size: int


@dataclass
class Outer:
    name: str
    inner: Inner
    rate: float = 0.5
    widths: tuple[int, ...] = ()
    limit: float | None = None
    strengths: dict[str, float] = field(default_factory=dict)


def test_the_schema_of_a_dataclass_is_that_of_its_fields():
    assert schema_of(Outer) == {
        "name": TEXT,
        "inner": {"size": COUNT},
        "rate": Optional(NUMBER),
        "widths": Optional(Each(COUNT)),
        "limit": Optional(Nullable(NUMBER)),
        "strengths": Optional(Values(NUMBER)),
    }


@pytest.mark.parametrize(
    ("value", "schema", "complaint"),
    [
        ({"name": "x", "inner": {"size": 3}, "unknown": 1}, schema_of(Outer), ""),
        ({"name": "x"}, schema_of(Outer), "lacks inner"),
        ({"name": "x", "inner": {"size": True}}, schema_of(Outer), "has no usable inner.size, which must be a whole"),
        ({"name": "x", "inner": {"size": 10**30}}, schema_of(Outer), "has no usable inner.size"),
        ({"name": "\x1b", "inner": {"size": 1}}, schema_of(Outer), "has no usable name, which must be printable text"),
        ({"name": ["x"], "inner": {"size": 1}}, schema_of(Outer), "has no usable name"),
        ([0.5, float("nan")], Each(NUMBER), r"has no usable \[1\], which must be a finite number"),
        ([0.5, 10**400], Each(NUMBER), r"has no usable \[1\]"),
        ([0.5, None], Each(MEASURED), ""),
        ("text", Each(NUMBER), "must be a list"),
        ([], Values(NUMBER), "must be a dictionary"),
        ({"a\x07": 1}, Values(NUMBER), "not printable text"),
        (1, FLAG, "must be true or false"),
    ],
)
def test_the_first_misfit_is_named(value, schema, complaint):
    found = misfit(value, schema)
    assert bool(found) == bool(complaint)
    assert re.search(complaint, found)
