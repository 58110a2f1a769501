"""What JSON that somebody else may have written must look like: one check for records, checkpoints and weights.

A schema is one of the kinds below, such as `TEXT` or `NUMBER`, or is made of others: a dictionary of keys, of which
those marked `Optional` may be absent, and others than those named may be present; `Each`, a list; `Values`, a
dictionary of any keys; `Nullable`. `schema_of` makes one from a dataclass.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vitae.support.errors import CONTROL

# The largest whole number that settings may have; larger ones overflow what computes with them.
_LARGEST = 2**62


@dataclass(frozen=True)
class Kind:
    """A schema of single values: what it accepts, and how to call that."""

    name: str
    accepts: Callable[[Any], bool]


@dataclass(frozen=True)
class _Of:
    """A schema made of another one."""

    inner: Any


class Optional(_Of):
    """The value of a key that may be absent."""


class Nullable(_Of):
    """Null, or something."""


class Each(_Of):
    """A list of these."""


class Values(_Of):
    """A dictionary from any text to these."""


def _is_number(value) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= _LARGEST


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def _is_text(value) -> bool:
    return isinstance(value, str) and not CONTROL.search(value)


TEXT = Kind("printable text", _is_text)
NUMBER = Kind("a finite number", _is_number)
# What is only watched may be infinite or NaN.
WATCHED = Kind("a number", lambda value: isinstance(value, float) or _is_number(value))
COUNT = Kind("a whole number of 0 or more", _is_count)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
ANY = Kind("anything", lambda value: True)
# Where the writer turns numbers that are not finite into null.
MEASURED = Nullable(NUMBER)


def schema_of(declared: type) -> dict:
    """The schema of a dataclass as `dataclasses.asdict` writes it; fields with a default may be absent."""
    hints = typing.get_type_hints(declared)
    found = {}
    for field in dataclasses.fields(declared):
        inner = _schema_of_hint(hints[field.name])
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        found[field.name] = inner if required else Optional(inner)
    return found


_KINDS = {str: TEXT, int: COUNT, float: NUMBER, bool: FLAG, Any: ANY}


def _schema_of_hint(hint):
    if hint in _KINDS:
        return _KINDS[hint]
    if dataclasses.is_dataclass(hint):
        return schema_of(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union) and type(None) in arguments:
        (inner,) = (each for each in arguments if each is not type(None))
        return Nullable(_schema_of_hint(inner))
    if origin in (list, tuple):
        return Each(_schema_of_hint(arguments[0]))
    if origin is dict:
        return Values(_schema_of_hint(arguments[1]))
    raise TypeError(f"no schema for {hint}")


def misfit(value, schema, place: str = "") -> str:
    """How a value differs from a schema, in words that follow the name of its file; empty if it fits.

    Args:
        place: where the value is, for instance `scores.samples`.
    """
    if isinstance(schema, Nullable):
        return "" if value is None else misfit(value, schema.inner, place)
    if isinstance(schema, Kind):
        return "" if schema.accepts(value) else f"has no usable {place}, which must be {schema.name}"
    if isinstance(schema, Each):
        if not isinstance(value, list | tuple):
            return f"has no usable {place}, which must be a list"
        return next(filter(None, (misfit(each, schema.inner, f"{place}[{n}]") for n, each in enumerate(value))), "")
    if not isinstance(value, dict):
        return f"has no usable {place or 'content'}, which must be a dictionary"
    if not all(map(_is_text, value)):
        return f"has a key in {place or 'its content'} that is not printable text"
    if isinstance(schema, Values):
        parts = ((key, schema.inner) for key in value)
    else:
        absent = [key for key, inner in schema.items() if key not in value and not isinstance(inner, Optional)]
        if absent:
            return f"lacks {_within(place, absent[0])}"
        parts = (
            (key, inner.inner if isinstance(inner, Optional) else inner)
            for key, inner in schema.items()
            if key in value
        )
    return next(filter(None, (misfit(value[key], inner, _within(place, key)) for key, inner in parts)), "")


def _within(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def holds_control_characters(value) -> bool:
    """Whether any text in a JSON value, keys included, holds what a terminal would obey."""
    if isinstance(value, dict):
        return any(map(holds_control_characters, value)) or any(map(holds_control_characters, value.values()))
    if isinstance(value, list):
        return any(map(holds_control_characters, value))
    return isinstance(value, str) and CONTROL.search(value) is not None
