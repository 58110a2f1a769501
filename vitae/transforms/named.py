"""Transformations by name, for experiments and the command line."""

import re
from collections.abc import Callable

from vitae.support.errors import InputError, require_known
from vitae.support.registry import Registry
from vitae.transforms.affine import Affine
from vitae.transforms.base import Transformation
from vitae.transforms.cpab import CPAB
from vitae.transforms.sequential import Sequential

_CPAB = re.compile(r"cpab(?:-([1-9][0-9]{0,2})x([1-9][0-9]{0,2}))?(?:-([1-9][0-9]{0,3})steps)?")

# Name -> what makes one, without arguments.
TRANSFORMS: Registry[Callable[[], Transformation]] = Registry("transformation")


def register_transform(name: str) -> Callable:
    """Decorator: register a subclass of `Transformation`, or a function that returns one, under a name.

    Raises:
        InputError: the name is taken.
    """

    def registered(make: Callable[[], Transformation]) -> Callable[[], Transformation]:
        TRANSFORMS.add(name, make, module=make.__module__)
        return make

    return registered


register_transform("affine")(Affine)
register_transform("cpab")(CPAB)


def transformation_named(name: str) -> Transformation:
    """A registered transformation, `cpab-ROWSxCOLUMNS`, or several of them joined by `+`, applied in that order.

    `cpab` alone has 2 x 4 cells. `-STEPSsteps` at its end fixes the number of integration steps.

    Raises:
        InputError: there is no such name.
    """
    parts = [_single(part) for part in str(name).split("+")]
    return parts[0] if len(parts) == 1 else Sequential(*parts)


def _single(name: str) -> Transformation:
    if name in TRANSFORMS:
        made = TRANSFORMS[name]()
        if not isinstance(made, Transformation):
            raise InputError(f"the transformation {name} must be a vitae.transforms.Transformation.")
        return made
    if found := _CPAB.fullmatch(name):
        rows, columns, steps = (int(number) if number else None for number in found.groups())
        return CPAB((rows, columns), steps=steps) if rows else CPAB(steps=steps)
    known = [*TRANSFORMS, "cpab-ROWSxCOLUMNS such as cpab-4x4", "cpab-4x4-12steps", "several joined by '+'"]
    return TRANSFORMS[require_known("transformation", name, known)]()
