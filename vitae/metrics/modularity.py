r"""Modularity (Ridgeway & Mozer, 2018, section 3): does each code carry information about only one factor?

::

    m_i = 1 - sum_{j != j*} I_ij^2 / (I_ij*^2 (k - 1)),   j* = argmax_j I_ij

averaged over the codes. A code without any information counts as 0. But the estimated information of a noise code is
small, not zero, and unevenly spread over factors, so codes of pure noise have a modularity far above 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics.arrays import Arrays, points
from vitae.metrics.mutual_information import information_matrix
from vitae.metrics.registry import Column, register_score


@dataclass(frozen=True)
class Modularity:
    """`score` in [0, 1], the mean of `per_code`; `information` in nats, `d x k`."""

    score: float
    per_code: np.ndarray
    information: np.ndarray


def modularity_of(information: np.ndarray) -> np.ndarray:
    """The modularity of each code, `d`, from mutual information, `d x k`."""
    squares = information**2
    largest = squares.max(1)
    rest = squares.sum(1) - largest
    return np.where(largest > 0, 1 - rest / np.where(largest > 0, largest * (squares.shape[1] - 1), 1), 0.0)


@register_score(
    "modularity",
    column=Column("modularity", "modularity", asks="does each code inform about one factor only? noise scores high"),
    always=False,
)
def modularity(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> Modularity:
    """Modularity of all points; the original protocol uses 10,000.

    Args: see `vitae.metrics`.

    Raises:
        InputError: as `vitae.metrics.arrays.points`.
    """
    information = information_matrix(points(codes, factors, classes=classes, names=names))
    per_code = modularity_of(information)
    return Modularity(float(per_code.mean()), per_code, information)
