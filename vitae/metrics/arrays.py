"""Input of the scores: validation of codes and factors, classes of factors, split into training and test points.

`checked`, `train_and_test` and `points` build on each other. `points` and `parts` also refuse data for which a
disentanglement score is undefined; kNN probes, which are defined for one code or one factor too, use `train_and_test`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitae.support.errors import InputError, require_number
from vitae.support.randomness import generator

# Training and test points of the full protocol.
FULL = (10_000, 5_000)
# Factors with more distinct values than this are continuous; they are cut into ten equally frequent classes.
_MOST_CLASSES = 100
_CUT = 10
_POINTS_PER_CLASS, _FEWEST_TEST_POINTS = 2, 2
LARGEST = 1e30  # magnitude of a code; trees work in single precision

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Points:
    """Validated codes and factors.

    Attributes:
        codes: float64, `n x d`.
        labels: class of each factor, counted from 0, int64, `n x k`.
        values: the factors before continuous ones are cut into classes, float64, `n x k`.
        classes: for each factor, True if its values are classes, False if it was cut into ten.
        names: of the factors.
    """

    codes: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    classes: tuple[bool, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def rows(self, index: np.ndarray | slice) -> "Points":
        """A subset of the points."""
        return Points(self.codes[index], self.labels[index], self.values[index], self.classes, self.names)


def points(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
) -> Points:
    """Validate codes and factors, and assign classes to factors.

    Args:
        codes: `n x d`, d >= 2, anything that numpy reads as numbers.
        factors: `n x k`, k >= 2.
        classes, names: see `vitae.metrics`.

    Raises:
        InputError: the message says which array is wrong, and where.
    """
    return _labelled(*checked(codes, factors), classes, names, slice(None))


def parts(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[Points, Points]:
    """Training and test points. The training points decide which factors are classes and where others are cut.

    Args: see `vitae.metrics`, and `points` for shapes.

    Raises:
        InputError: the message says which array is wrong, and where.
    """
    (codes, factors), (test_codes, test_factors) = train_and_test(codes, factors, test=test, seed=seed)
    train = np.arange(len(codes))
    both = _labelled(np.vstack([codes, test_codes]), np.vstack([factors, test_factors]), classes, names, train)
    if len(test_codes) < _FEWEST_TEST_POINTS:
        raise InputError(
            f"{len(test_codes)} points to test on are too few: give at least {_FEWEST_TEST_POINTS}, better thousands."
        )
    return both.rows(train), both.rows(slice(len(codes), None))


def pooled(codes: np.ndarray, factors: np.ndarray, test: Arrays | None) -> Arrays:
    """Codes and factors with those of `test` appended, if there are any.

    Raises:
        InputError: the message says which array is wrong, and where.
    """
    if test is None:
        return codes, factors
    train, test = train_and_test(codes, factors, test=test, seed=0)
    return np.vstack([train[0], test[0]]), np.vstack([train[1], test[1]])


def train_and_test(codes: np.ndarray, factors: np.ndarray, *, test: Arrays | None, seed: int) -> tuple[Arrays, Arrays]:
    """Codes and factors to train on, and codes and factors to test on, each float64.

    Args:
        test: codes and factors to test on; None for a random split, without replacement: 10,000 and 5,000 points or, of
            fewer points, two thirds and one third.
        seed: of that split.

    Raises:
        InputError: the message says which array is wrong, and where.
    """
    require_number("seed", seed, 0, whole=True)
    codes, factors = checked(codes, factors)
    if test is None:
        order = torch.randperm(len(codes), generator=generator("cpu", seed, "score split")).numpy()
        train_size = min(FULL[0], len(codes) - len(codes) // 3)
        train, held_out = order[:train_size], order[train_size : train_size + FULL[1]]
        return (codes[train], factors[train]), (codes[held_out], factors[held_out])
    if not isinstance(test, tuple | list) or len(test) != 2:
        raise InputError("test must be a pair: the codes and the factors to test on.")
    test_codes, test_factors = checked(*test, kind="test ")
    for what, train_table, test_table in (("codes", codes, test_codes), ("factors", factors, test_factors)):
        if train_table.shape[1] != test_table.shape[1]:
            raise InputError(
                f"there are {train_table.shape[1]} {what} to train on and {test_table.shape[1]} to test on: both need "
                f"the same columns."
            )
    return (codes, factors), (test_codes, test_factors)


def checked(codes: np.ndarray, factors: np.ndarray, kind: str = "") -> Arrays:
    """Codes and factors as float64 tables of finite numbers with equally many rows.

    Args:
        kind: prefix of their names in error messages, for instance "test ".

    Raises:
        InputError: the message says which array is wrong, and where.
    """
    codes, factors = numbers(f"{kind}codes", codes), numbers(f"{kind}factors", factors)
    if len(codes) != len(factors):
        raise InputError(
            f"there are {len(codes):,} {kind}codes and {len(factors):,} rows of {kind}factors: each point needs both."
        )
    _require_finite(f"{kind}codes", codes)
    _require_finite(f"{kind}factors", factors)
    return codes, factors


def checked_codes(codes: np.ndarray) -> np.ndarray:
    """Codes without factors, checked as `points` does; float64, `n x d`, d >= 2."""
    table = numbers("codes", codes)
    _require_finite("codes", table)
    require_several("codes", table)
    _require_variation(table)
    return table


def classes_of(factors: np.ndarray, classes: Sequence[bool] | None) -> tuple[bool, ...]:
    """For each factor, whether its values are classes.

    Args:
        factors: those of the training points, `n x k`.
        classes: what the caller says; None: factors with at most 100 distinct values are.

    Raises:
        InputError: `classes` is not one boolean per factor.
    """
    k = factors.shape[1]
    if classes is None:
        return tuple(len(np.unique(column)) <= _MOST_CLASSES for column in factors.T)
    entries = tuple(classes) if isinstance(classes, Iterable) else ("not a list",)
    if not all(isinstance(each, bool | np.bool_) for each in entries):
        raise InputError("classes must be a list with True or False for each factor.")
    _require_one_per_factor("classes", entries, k)
    return tuple(map(bool, entries))


def names_of(count: int, names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of `count` factors; "factor 1" and so on by default.

    Raises:
        InputError: the names are not distinct printable text, one per factor.
    """
    if names is None:
        return tuple(f"factor {j + 1}" for j in range(count))
    names = checked_names("names", names)
    _require_one_per_factor("names", names, count)
    return names


def checked_names(what: str, names: Iterable) -> tuple[str, ...]:
    """Names as text.

    Args:
        what: the argument that holds them, for error messages.

    Raises:
        InputError: the names are not a list of distinct, printable names.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputError(f"{what} must be a list of names, got {names!r}.")
    as_text = tuple(each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in names)
    for name in as_text:
        if not name.strip() or not name.isprintable():
            raise InputError(f"{what} must be printable text, got {name!r}.")
        if as_text.count(name) > 1:
            raise InputError(f"{what} must be distinct, but {name} occurs more than once.")
    return as_text


def shortfall(train: Points, test: Points) -> str:
    """How these points fall short of the full protocol; empty if they do not."""
    if len(train) >= FULL[0] and len(test) >= FULL[1]:
        return ""
    return f"{len(train):,} and {len(test):,} points instead of {FULL[0]:,} and {FULL[1]:,}"


def numbers(what: str, values) -> np.ndarray:
    """A float64 table of real numbers, one row per point.

    Args:
        what: the name of the array, for error messages.

    Raises:
        InputError: the values are not such a table.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
    if np.ma.is_masked(values):
        raise InputError(f"{what} have masked cells: leave out the rows that hold them.")
    try:
        table = np.asarray(values)
        if table.dtype.kind == "O":
            table = table.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{what} cannot be read as an array of numbers{_hint(what)}.") from None
    if table.dtype.kind in "US":
        raise InputError(f"{what} hold text and must be numbers{_hint(what)}.")
    if table.dtype.kind not in "biuf":
        raise InputError(f"{what} must be real numbers, got {table.dtype}.")
    if table.ndim != 2:
        raise InputError(f"{what} must be a table with one row per point, got the shape {table.shape}.")
    if table.dtype.kind in "iu" and table.size and max(table.max(), -int(table.min())) > _EXACT:
        raise InputError(f"{what} hold integers beyond 2^53, which double precision cannot represent: renumber from 0.")
    with np.errstate(over="ignore"):
        return table.astype(np.float64)


def _hint(what: str) -> str:
    return ": np.unique(labels, return_inverse=True)[1] turns labels into numbers" if "factors" in what else ""


_EXACT = 2**53  # double precision rounds larger integers


def to_unit_range(codes: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Codes shifted and scaled so that each spans 0 to 1 in the reference; 0 for codes that are constant there."""
    low, high = reference.min(0), reference.max(0)
    return np.where(high > low, (codes - low) / np.where(high > low, high - low, 1), 0.0)


def equal_frequency_classes(values: np.ndarray, reference: np.ndarray, count: int = _CUT) -> np.ndarray:
    """Cut continuous values into `count` classes that are equally frequent in `reference`; `n` integers."""
    edges = np.quantile(reference, np.linspace(0, 1, count + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")


def require_several(kind: str, table: np.ndarray) -> None:
    """Refuse a table with fewer than two columns.

    Raises:
        InputError: naming the kind of columns.
    """
    if table.shape[1] < 2:
        raise InputError(f"disentanglement needs at least two {kind}, got {table.shape[1]}.")


def _require_finite(kind: str, table: np.ndarray) -> None:
    if table.size == 0:
        raise InputError(f"there are no {kind}.")
    bad = np.argwhere(~(np.abs(table) <= LARGEST))
    if len(bad):
        raise InputError(
            f"{len(bad):,} of the {kind} are not finite or exceed {LARGEST:g}, the first in row {bad[0, 0]:,}, "
            f"column {bad[0, 1]} (counted from 0): check the model that computed them."
        )


def _require_variation(codes: np.ndarray) -> None:
    if (codes == codes[:1]).all():
        raise InputError("all codes are constant: every point has the same code, so there is nothing to score.")


def _require_one_per_factor(what: str, entries: Sequence, count: int) -> None:
    if len(entries) != count:
        raise InputError(f"there are {count} factors and {len(entries)} entries in {what}.")


def _labelled(codes, factors, classes, names, reference: np.ndarray | slice) -> Points:
    """Points whose continuous factors are cut at the quantiles of the reference rows."""
    require_several("codes", codes)
    require_several("factors", factors)
    names = names_of(factors.shape[1], names)
    classes = classes_of(factors[reference], classes)
    _require_variation(codes[reference])
    labels = np.empty(factors.shape, np.int64)
    for j, (name, column, is_class) in enumerate(zip(names, factors.T, classes, strict=True)):
        training = column[reference]
        values = np.unique(training)
        if len(values) < 2:
            raise InputError(f"{name} has only one value, {training[0]:g}: leave it out, there is nothing to predict.")
        if is_class:
            labels[:, j] = np.searchsorted(np.unique(column), column)
        else:
            labels[:, j] = equal_frequency_classes(column, training, _CUT)
            if len(np.unique(labels[reference, j])) < 2:
                raise InputError(
                    f"most values of {name} are equal, so it cannot be cut into equally frequent classes: mark it as a "
                    f"class factor in classes."
                )
        count = len(values) if is_class else _CUT
        if len(training) < _POINTS_PER_CLASS * count:
            remedy = ", or mark it as continuous in classes" if is_class else ""
            raise InputError(
                f"{name} has {count} classes and there are only {len(training):,} training points: give at least "
                f"{_POINTS_PER_CLASS * count:,}{remedy}."
            )
    return Points(codes, labels, factors, classes, names)
