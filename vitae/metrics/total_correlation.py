r"""Total correlation of codes: how far they are from independent. The only score that does not use factors.

Total correlation is the KL divergence of the joint distribution from the product of its marginals. For a Gaussian with
the covariance of the codes it has a closed form::

    TC = -1/2 ln det R,   R the correlation matrix,

which is exact for Gaussian codes only. The mean mutual information of two codes, over all pairs, also detects nonlinear
dependence, but only between two codes at a time. Independent codes need not be disentangled, and disentangled codes
need not be independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics.arrays import Arrays, checked_codes, to_unit_range
from vitae.metrics.mutual_information import binned, mutual_information
from vitae.metrics.registry import Column, register_score


@dataclass(frozen=True)
class TotalCorrelation:
    """
    Attributes:
        gaussian: in nats; 0 if the codes are uncorrelated, inf if one is a linear combination of others.
        pairwise: mean mutual information of two codes in nats, 20 bins each; nan if fewer than two codes vary.
    """

    gaussian: float
    pairwise: float


@register_score(
    "total_correlation",
    column=(
        Column("total correlation", "total_correlation", asks="nats, if Gaussian: how dependent are the codes?"),
        Column("pairwise information", "pairwise_information", asks="nats: the same, two codes at a time"),
    ),
    stored={"total_correlation": "gaussian", "pairwise_information": "pairwise"},
    always=False,
)
def total_correlation(
    codes: np.ndarray,
    factors: np.ndarray | None = None,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> TotalCorrelation:
    """Total correlation of all points. Constant codes are left out.

    Args: see `vitae.metrics`; the factors can be left out.

    Raises:
        InputError: the codes are not a table of finite numbers, or all are constant.
    """
    codes = checked_codes(codes)
    varying = codes[:, codes.min(0) < codes.max(0)]
    d = varying.shape[1]
    if d < 2:
        return TotalCorrelation(0.0, float("nan"))
    spectrum = np.linalg.eigvalsh(np.corrcoef(to_unit_range(varying, varying), rowvar=False))
    dependent = spectrum[0] <= d * np.finfo(float).eps * spectrum[-1]
    information = mutual_information(binned(varying), binned(varying))
    pairs = information[~np.eye(d, dtype=bool)]
    return TotalCorrelation(float("inf") if dependent else float(-0.5 * np.log(spectrum).sum()), float(pairs.mean()))
