r"""Total correlation of codes: how far they are from independent, without a look at any factor.

The total correlation is the divergence of the joint distribution from the product of its marginals. For a Gaussian of
the codes' covariance it has a closed form::

    TC = -1/2 ln det R,   R the matrix of correlations,

which is exact for Gaussian codes only. Beside it stands the mutual information of two codes, averaged over all pairs,
which sees relations that are not linear, two at a time. Independent codes need not be disentangled, nor the other way
round.
"""

from dataclasses import dataclass

import numpy as np

from vitae.metrics.arrays import checked_codes, of_unit_range
from vitae.metrics.information import binned, mutual_information


@dataclass(frozen=True)
class TotalCorrelation:
    """
    Attributes:
        gaussian: in nats, 0 if nothing correlates; inf if a code is a sum of others.
        pairwise: mean mutual information of two codes in nats, 20 bins each; nan with fewer than two that move.
    """

    gaussian: float
    pairwise: float


def total_correlation(codes: np.ndarray) -> TotalCorrelation:
    """Total correlation of codes, on all points given; constant codes are left out.

    Args:
        codes: `n x d`.

    Raises:
        InputError: codes that are no table of finite numbers, or are all constant.
    """
    own = checked_codes(codes)
    moving = own[:, own.min(0) < own.max(0)]
    d = moving.shape[1]
    if d < 2:
        return TotalCorrelation(0.0, float("nan"))
    spectrum = np.linalg.eigvalsh(np.corrcoef(of_unit_range(moving, moving), rowvar=False))
    dependent = spectrum[0] <= d * np.finfo(float).eps * spectrum[-1]
    information = mutual_information(binned(moving), binned(moving))
    pairs = information[~np.eye(d, dtype=bool)]
    return TotalCorrelation(float("inf") if dependent else float(-0.5 * np.log(spectrum).sum()), float(pairs.mean()))
