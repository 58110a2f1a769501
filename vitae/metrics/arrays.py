"""Codes and factors as scores want them: checked, factors in classes, points in a training and a test part."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitae.support.errors import InputError, require_number
from vitae.support.randomness import generator

# Points of the full protocol of scores that learn something: so many to learn from, and to test on.
FULL = (10_000, 5_000)
# Factors of more values than these are cut into classes, of which each holds as many points as any other.
_MOST_CLASSES = 100
_CUT = 10
_POINTS_A_CLASS, _FEWEST_TESTED = 2, 2
LARGEST = 1e30  # of a code; trees work in single precision

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Points:
    """What a score is computed from.

    Attributes:
        codes: float64, `n x d`.
        labels: each factor's class from 0, int64, `n x k`.
        values: the factors as they were given, float64, `n x k`.
        classes: for each factor whether its values are classes, or were cut into ten equally frequent ones.
        names: of the factors.
    """

    codes: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    classes: tuple[bool, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def rows(self, which: np.ndarray | slice) -> "Points":
        """Some of the points."""
        return Points(self.codes[which], self.labels[which], self.values[which], self.classes, self.names)


def points(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
) -> Points:
    """Codes and factors, checked.

    Args:
        codes: `n x d`, d >= 2, anything that numpy reads as numbers.
        factors: `n x k`, k >= 2; a factor of at most 100 values is taken for classes, any other for continuous.
        classes: for each factor whether its values are classes, if that rule is not to decide.
        names: of the factors.

    Raises:
        InputError: naming what does not fit, and where.
    """
    return _points(codes, factors, classes, names, slice(None))


def parts(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[Points, Points]:
    """A training and a test part of codes and factors, checked, both in the classes of the training part.

    Args:
        codes, factors, classes, names: see `points`.
        test: codes and factors to test on. None: 10,000 and 5,000 points drawn from those given, without replacement;
            of fewer, two thirds and one third.
        seed: of that draw.

    Raises:
        InputError: as `points`.
    """
    require_number("seed", seed, 0, whole=True)
    codes, factors = numbers("codes", codes), numbers("factors", factors)
    if test is None:
        order = torch.randperm(len(codes), generator=generator("cpu", seed, "score split")).numpy()
        train_size = min(FULL[0], len(codes) - len(codes) // 3)
        kept = order[:train_size]
        found = _points(codes, factors, classes, names, kept)
        return _both_large_enough(found.rows(kept), found.rows(order[train_size : train_size + FULL[1]]))
    if not isinstance(test, tuple | list) or len(test) != 2:
        raise InputError("test must be a pair, the codes and the factors to test on.")
    test_codes, test_factors = numbers("test codes", test[0]), numbers("test factors", test[1])
    for kind, here, there in (("codes", codes, test_codes), ("factors", factors, test_factors)):
        if here.shape[1] != there.shape[1]:
            raise InputError(f"there are {here.shape[1]} {kind} to train and {there.shape[1]} to test on.")
        _refuse(f"test {kind}", there)
    if len(test_codes) != len(test_factors):
        raise InputError(f"there are {len(test_codes):,} test codes and {len(test_factors):,} test factors.")
    if len(codes) != len(factors):
        raise InputError(_LENGTHS.format(len(codes), len(factors)))
    train = np.arange(len(codes))
    both = _points(np.vstack([codes, test_codes]), np.vstack([factors, test_factors]), classes, names, train)
    return _both_large_enough(both.rows(train), both.rows(slice(len(codes), None)))


def _both_large_enough(train: Points, test: Points) -> tuple[Points, Points]:
    if len(test) < _FEWEST_TESTED:
        raise InputError(f"{len(test)} points to test on are too few: give {_FEWEST_TESTED} at least, or many more.")
    return train, test


_LENGTHS = "there are {:,} codes and {:,} rows of factors: each point needs one of both."


def shortfall(train: Points, test: Points) -> str:
    """What these parts lack of the full protocol, in words; nothing if nothing."""
    if len(train) >= FULL[0] and len(test) >= FULL[1]:
        return ""
    return f"{len(train):,} and {len(test):,} points instead of {FULL[0]:,} and {FULL[1]:,}"


def numbers(what: str, given) -> np.ndarray:
    """What was given as a table of real numbers, float64, a row a point.

    Raises:
        InputError: it is none; `what` says of what it should be one.
    """
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu()
    if np.ma.is_masked(given):
        raise InputError(f"{what} have masked cells: leave out the rows that hold them.")
    try:
        found = np.asarray(given)
        if found.dtype.kind == "O":
            found = found.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{what} cannot be read as an array of numbers{_hint(what)}.") from None
    if found.dtype.kind in "US":
        raise InputError(f"{what} hold text and must be numbers{_hint(what)}.")
    if found.dtype.kind not in "biuf":
        raise InputError(f"{what} must be real numbers, got {found.dtype}.")
    if found.ndim != 2:
        raise InputError(f"{what} must be a table, a row a point and a column each, got the shape {found.shape}.")
    if found.dtype.kind in "iu" and found.size and max(found.max(), -int(found.min())) > _EXACT:
        raise InputError(f"{what} hold integers beyond 2^53, which are not told apart: number them from 0.")
    with np.errstate(over="ignore"):
        return found.astype(np.float64)


def stacked(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two tables of numbers, one below the other; raises `InputError` if their columns do not fit."""
    first, second = numbers("codes", first), numbers("codes", second)
    if first.shape[1] != second.shape[1]:
        raise InputError(f"there are {first.shape[1]} columns to train and {second.shape[1]} to test on.")
    return np.vstack([first, second])


def _hint(what: str) -> str:
    return ": np.unique(labels, return_inverse=True)[1] makes numbers of labels" if "factors" in what else ""


_EXACT = 2**53  # integers beyond this are rounded as double precision


def of_unit_range(codes: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Codes moved and scaled so that each runs from 0 to 1 in the reference; 0 where it is constant there."""
    low, high = reference.min(0), reference.max(0)
    return np.where(high > low, (codes - low) / np.where(high > low, high - low, 1), 0.0)


def checked_codes(codes: np.ndarray) -> np.ndarray:
    """Codes alone, checked as `points` does; float64, `n x d`."""
    found = numbers("codes", codes)
    _refuse("codes", found)
    _refuse_constant(found)
    return found


def checked_names(what: str, names: Iterable) -> tuple[str, ...]:
    """Names as text.

    Raises:
        InputError: they are no list of different names that can be printed.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputError(f"{what} must be a list of names, got {names!r}.")
    found = tuple(each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in names)
    for name in found:
        if not name.strip() or not name.isprintable():
            raise InputError(f"{what} must be text that can be printed, got {name!r}.")
        if found.count(name) > 1:
            raise InputError(f"{what} must differ, and {name} occurs twice.")
    return found


def _refuse(kind: str, table: np.ndarray) -> None:
    if table.shape[1] < 2:
        raise InputError(
            f"there must be two {kind} or more, got {table.shape[1]}: nothing can be disentangled from nothing else."
        )
    if len(table) == 0:
        raise InputError(f"there are no {kind}.")
    bad = np.argwhere(~(np.abs(table) <= LARGEST))
    if len(bad):
        raise InputError(
            f"{len(bad):,} of the {kind} are not finite, or beyond {LARGEST:g}, the first in row {bad[0, 0]:,}, "
            f"column {bad[0, 1]} (counted from 0): look at what computed them."
        )


def _refuse_constant(codes: np.ndarray) -> None:
    if (codes == codes[:1]).all():
        raise InputError("all codes are constant, every point has the same: there is nothing to score.")


def _points(codes, factors, classes, names, reference: np.ndarray | slice) -> Points:
    """Points whose continuous factors are cut where those of the reference rows are equally frequent."""
    codes, factors = numbers("codes", codes), numbers("factors", factors)
    if len(codes) != len(factors):
        raise InputError(_LENGTHS.format(len(codes), len(factors)))
    for kind, table in (("codes", codes), ("factors", factors)):
        _refuse(kind, table)
    k = factors.shape[1]
    names = tuple(f"factor {j + 1}" for j in range(k)) if names is None else checked_names("names", names)
    if classes is not None:
        if not isinstance(classes, Iterable) or not all(isinstance(each, bool | np.bool_) for each in (*classes,)):
            raise InputError("classes must be a list, True or False for each factor.")
        classes = [bool(each) for each in classes]
    for what, given in (("names", names), ("classes", classes)):
        if given is not None and len(given) != k:
            raise InputError(f"there are {k} factors and {len(given)} entries in {what}.")
    _refuse_constant(codes[reference])
    labels, kinds = np.empty(factors.shape, np.int64), []
    for j, (name, column) in enumerate(zip(names, factors.T, strict=True)):
        known = column[reference]
        values = np.unique(known)
        is_classes = len(values) <= _MOST_CLASSES if classes is None else classes[j]
        if len(values) < 2:
            raise InputError(f"{name} has one value only, {known[0]:g}: nothing can be known of it, leave it out.")
        if is_classes:
            labels[:, j] = np.searchsorted(np.unique(column), column)
        else:
            labels[:, j] = equal_frequency_classes(column, known, _CUT)
            if len(np.unique(labels[reference, j])) < 2:
                raise InputError(
                    f"most values of {name} are equal, so it cannot be cut into equally frequent classes: say that its "
                    f"values are classes."
                )
        count = len(values) if is_classes else _CUT
        if len(known) < _POINTS_A_CLASS * count:
            remedy = ", or say that it is continuous" if is_classes else ""
            raise InputError(
                f"{name} has {count} classes and there are {len(known):,} points to learn from: give more points, "
                f"{_POINTS_A_CLASS * count:,} or many more{remedy}."
            )
        kinds.append(is_classes)
    return Points(codes, labels, factors, tuple(kinds), names)


def equal_frequency_classes(values: np.ndarray, reference: np.ndarray, count: int = _CUT) -> np.ndarray:
    """Cut continuous values into `count` classes that are equally frequent in `reference`; `n` integers."""
    edges = np.quantile(reference, np.linspace(0, 1, count + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")
