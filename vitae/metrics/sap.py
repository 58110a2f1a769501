r"""SAP, separated attribute predictability (Kumar et al., 2018, section 3): is one code ahead in predicting a factor?

::

    SAP = 1/k sum_j (S_(1)j - S_(2)j)

where S_ij says how well code i alone predicts factor j: for classes the test accuracy of a linear support vector
machine (C = 0.01, classes of the same weight), for continuous factors the squared correlation. The machine sees one
number only and so can name few of many classes: S of perfect codes is far below 1, and it depends on the scale of the
codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from vitae.metrics.arrays import Arrays, Points, parts, shortfall
from vitae.metrics.information import gaps
from vitae.metrics.linear import support_vectors
from vitae.metrics.registry import Column, register_score


@dataclass(frozen=True)
class SAP:
    """`score`, the mean gap; `per_factor` gaps; `predictability` is S, `d x k`; see `DCI` for `shortfall`."""

    score: float
    per_factor: np.ndarray
    predictability: np.ndarray
    shortfall: str


@register_score(
    "sap",
    column=Column("SAP", "sap", asks="how far is one code ahead in predicting each factor linearly?"),
    always=False,
)
def sap(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> SAP:
    """SAP by the full protocol: 10,000 points to learn from, 5,000 to test on.

    Args:
        codes, factors, test, classes, names, seed: see `vitae.metrics.arrays.parts`. With `classes=[False] * k` all
            factors are continuous.

    Raises:
        InputError: as `parts`.
    """
    train, tested = parts(codes, factors, test=test, classes=classes, names=names, seed=seed)
    found = np.zeros((train.codes.shape[1], len(train.names)))
    with tqdm(total=found.size, desc="SAP", disable=None, leave=False, delay=1) as bar:
        for i, j in np.ndindex(found.shape):
            found[i, j] = _accuracy(train, tested, i, j) if train.classes[j] else _squared_correlation(train, i, j)
            bar.update()
    per_factor = gaps(found)
    return SAP(float(per_factor.mean()), per_factor, found, shortfall(train, tested))


def _accuracy(train: Points, tested: Points, i: int, j: int) -> float:
    machine = support_vectors(train.codes[:, i : i + 1], train.labels[:, j])
    return float(machine.score(tested.codes[:, i : i + 1], tested.labels[:, j]))


def _squared_correlation(train: Points, i: int, j: int) -> float:
    covariance = np.cov(train.codes[:, i], train.values[:, j])
    variances = covariance[0, 0] * covariance[1, 1]
    return float(covariance[0, 1] ** 2 / variances) if variances > 0 else 0.0
