r"""IRS, the interventional robustness score (Suter et al., 2019): how little do codes move when other factors change?

Fix factor j at one of its values and let all others vary: code i then deviates from its mean by at most some distance.
That distance, relative to the code's largest deviation over all points and averaged over the values of the factor, is
1 - R_ij. Each code is assigned to the factor with the largest R, and codes are weighted by their range::

    IRS = sum_i w_i max_j R_ij,   w_i = max |z_i - mean|, divided by the sum over codes

Codes that depend on hardly anything have small R and so count little; but a factor with many rare values raises R,
since fewer points deviate less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics.arrays import Arrays, points
from vitae.metrics.registry import Column, register_score
from vitae.support.errors import InputError, require_number


@dataclass(frozen=True)
class IRS:
    """
    Attributes:
        score: at most 1.
        per_code: max_j R_ij, `d`; nan for constant codes.
        robustness: R, `d x k`. Negative where a code deviates more from its mean at one value of the factor than any
            point deviates from the overall mean.
    """

    score: float
    per_code: np.ndarray
    robustness: np.ndarray


@register_score("irs", column=Column("IRS", "irs", asks="how little do codes follow other factors?"), always=False)
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
    """IRS of all points; the original study uses 10,000.

    Args: see `vitae.metrics`.
        quantile: of the deviations, for "at most": 0.99 as in the authors' code, 1 as in their paper.

    Raises:
        InputError: as `vitae.metrics.arrays.points`, or `quantile` is outside [0, 1].
    """
    require_number("quantile", quantile, 0)
    if quantile > 1:
        raise InputError(f"quantile must be at most 1, got {quantile}.")
    population = points(codes, factors, classes=classes, names=names)
    largest = np.abs(population.codes - population.codes.mean(0)).max(0)
    deviation = np.empty((population.codes.shape[1], population.labels.shape[1]))
    for j, labels in enumerate(population.labels.T):
        groups = [population.codes[labels == value] for value in np.unique(labels)]
        deviation[:, j] = np.mean(
            [np.quantile(np.abs(group - group.mean(0)), quantile, axis=0) for group in groups], axis=0
        )
    varies = population.codes.min(0) < population.codes.max(0)
    robustness = np.full(deviation.shape, np.nan)
    robustness[varies] = 1 - deviation[varies] / largest[varies, None]
    per_code = robustness.max(1)
    return IRS(float(np.average(per_code[varies], weights=largest[varies])), per_code, robustness)
