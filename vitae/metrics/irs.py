r"""IRS, the interventional robustness score (Suter et al., 2019): how far do codes move that should stand still?

While factor j stands still at one of its values and all others change, code i strays from its mean by at most some
distance; in parts of the farthest that it ever strays, averaged over the values, that is 1 - R_ij. A code belongs to
the factor that holds it best, and the codes count by how far they move::

    IRS = sum_i w_i max_j R_ij,   w_i = max |z_i - mean| / sum of the same

Codes that hardly depend on anything are held by nothing, and so count little; but many rare values of a factor raise
R, since fewer points stray less far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics.arrays import Arrays, points
from vitae.metrics.registry import Column, register_score
from vitae.support.errors import InputError, require_number


@dataclass(frozen=True)
class IRS:
    """`score`, at most 1; `per_code`, nan where a code is constant; `robustness` is R, `d x k`.

    R is negative where a code strays farther from its mean at one value than any does from the mean of all.
    """

    score: float
    per_code: np.ndarray
    robustness: np.ndarray


@register_score("irs", column=Column("IRS", "irs", asks="how far do codes move that should not?"), always=False)
def irs(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
    quantile: float = 0.99,
) -> IRS:
    """IRS, on all points given; the study has 10,000.

    Args:
        codes, factors, classes, names: see `vitae.metrics.arrays.points`.
        quantile: of the distances, for "at most": 0.99 as in the authors' code, 1 as in their paper.

    Raises:
        InputError: as `points`, or a quantile outside of [0, 1].
    """
    require_number("quantile", quantile, 0)
    if quantile > 1:
        raise InputError(f"quantile must be at most 1, got {quantile}.")
    given = points(codes, factors, classes=classes, names=names)
    farthest = np.abs(given.codes - given.codes.mean(0)).max(0)
    strayed = np.empty((given.codes.shape[1], given.labels.shape[1]))
    for j, labels in enumerate(given.labels.T):
        groups = [given.codes[labels == value] for value in np.unique(labels)]
        strayed[:, j] = np.mean([np.quantile(np.abs(own - own.mean(0)), quantile, axis=0) for own in groups], axis=0)
    moves = given.codes.min(0) < given.codes.max(0)
    robustness = np.full(strayed.shape, np.nan)
    robustness[moves] = 1 - strayed[moves] / farthest[moves, None]
    per_code = robustness.max(1)
    return IRS(float(np.average(per_code[moves], weights=farthest[moves])), per_code, robustness)
