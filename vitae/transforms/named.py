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

# Name -> a function or class that creates the transformation, without arguments.
TRANSFORMS: Registry[Callable[[], Transformation]] = Registry("transformation")


def register_transform(name: str) -> Callable:
    """Decorator: register a subclass of `Transformation`, or a function that returns an instance, under a name.

    Raises:
        InputError: the name is invalid or already registered.
    """

    def register(factory: Callable[[], Transformation]) -> Callable[[], Transformation]:
        TRANSFORMS.add(name, factory, module=factory.__module__)
        return factory

    return register


register_transform("affine")(Affine)
register_transform("cpab")(CPAB)


def transformation_named(name: str) -> Transformation:
    """Create a transformation from its name.

    Args:
        name: a registered name, `cpab-ROWSxCOLUMNS` for a CPAB mesh of that size (`cpab` has 2 x 4 cells), or several
            of these joined by `+` and applied in that order. The suffix `-STEPSsteps` of a CPAB name fixes the number
            of integration steps, as in `cpab-4x4-12steps`.

    Raises:
        InputError: the name is unknown, or its registered function does not return a `Transformation`.
    """
    parts = [_single(part) for part in str(name).split("+")]
    return parts[0] if len(parts) == 1 else Sequential(*parts)


def _single(name: str) -> Transformation:
    if name in TRANSFORMS:
        transformation = TRANSFORMS[name]()
        if not isinstance(transformation, Transformation):
            raise InputError(
                f"the function registered as transformation '{name}' must return a vitae.transforms.Transformation, "
                f"got {type(transformation).__name__}."
            )
        return transformation
    if match := _CPAB.fullmatch(name):
        rows, columns, steps = (int(number) if number else None for number in match.groups())
        return CPAB((rows, columns), steps=steps) if rows else CPAB(steps=steps)
    known = [*TRANSFORMS, "cpab-ROWSxCOLUMNS such as cpab-4x4", "cpab-4x4-12steps", "several joined by '+'"]
    return TRANSFORMS[require_known("transformation", name, known)]()
