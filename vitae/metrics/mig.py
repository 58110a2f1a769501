r"""MIG, the mutual information gap (Chen et al., 2018, section 4.1): is there one code that knows each factor?

::

    MIG = 1/k sum_j (I(z_(1); y_j) - I(z_(2); y_j)) / H(y_j)

with the two codes that know most of factor j, each cut into 20 bins of equal width, and counted frequencies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics.arrays import Arrays, points
from vitae.metrics.information import entropies, gaps, information_matrix
from vitae.metrics.registry import Column, register_score


@dataclass(frozen=True)
class MIG:
    """`score` in [0, 1]; each factor's gap as a part of its entropy; `information` in nats, `d x k`."""

    score: float
    per_factor: np.ndarray
    information: np.ndarray


@register_score(
    "mig", column=Column("MIG", "mig", asks="how far is one code ahead in knowing each factor?"), always=False
)
def mig(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> MIG:
    """The mutual information gap, on all points given.

    Args:
        codes, factors, classes, names: see `vitae.metrics.arrays.points`.

    Raises:
        InputError: as `points`.
    """
    given = points(codes, factors, classes=classes, names=names)
    information = information_matrix(given)
    per_factor = gaps(information) / entropies(given.labels)
    return MIG(float(per_factor.mean()), per_factor, information)
