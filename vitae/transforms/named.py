"""Transformations by name, for experiments and the command line."""

import re

from vitae.errors import InputError
from vitae.transforms.affine import Affine
from vitae.transforms.base import Sequential, Transformation
from vitae.transforms.cpab import CPAB

_CPAB = re.compile(r"cpab(?:-([1-9][0-9]{0,2})x([1-9][0-9]{0,2}))?(?:-([1-9][0-9]{0,3})steps)?")


def transformation_named(name: str) -> Transformation:
    """`affine`, `cpab` (2 x 4 cells), `cpab-ROWSxCOLUMNS`, or several of them joined by `+`, applied in that order.

    `-STEPSsteps` at the end of a cpab fixes the integrator's steps, and with them the time that a steep field takes.

    Raises:
        InputError: no such name.
    """
    parts: list[Transformation] = []
    for part in str(name).split("+"):
        if part == "affine":
            parts.append(Affine())
        elif found := _CPAB.fullmatch(part):
            rows, columns, steps = (int(number) if number else None for number in found.groups())
            parts.append(CPAB((rows, columns), steps=steps) if rows else CPAB(steps=steps))
        else:
            raise InputError(
                f"unknown transformation '{part}'. Known: affine, cpab, cpab-ROWSxCOLUMNS such as cpab-4x4, "
                f"cpab-4x4-12steps, and several joined by '+' such as affine+cpab."
            )
    return parts[0] if len(parts) == 1 else Sequential(*parts)
