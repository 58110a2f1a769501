r"""MIG, the mutual information gap (Chen et al., 2018, section 4.1): is each factor captured by a single code?

::

    MIG = 1/k sum_j (I(z_(1); y_j) - I(z_(2); y_j)) / H(y_j)

where z_(1) and z_(2) are the two codes with most information about factor j. Each code is cut into 20 bins of equal
width, and mutual information is estimated from counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics.arrays import Arrays, points
from vitae.metrics.mutual_information import entropies, gaps, information_matrix
from vitae.metrics.registry import Column, register_score


@dataclass(frozen=True)
class MIG:
    """`score` in [0, 1]; `per_factor`, each gap relative to the factor's entropy; `information` in nats, `d x k`."""

    score: float
    per_factor: np.ndarray
    information: np.ndarray


@register_score(
    "mig", column=Column("MIG", "mig", asks="does one code have far more information than the next?"), always=False
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
    """Mutual information gap of all points; the original protocol uses 10,000.

    Args: see `vitae.metrics`.

    Raises:
        InputError: as `vitae.metrics.arrays.points`.
    """
    population = points(codes, factors, classes=classes, names=names)
    information = information_matrix(population)
    per_factor = gaps(information) / entropies(population.labels)
    return MIG(float(per_factor.mean()), per_factor, information)
