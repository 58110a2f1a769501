r"""SAP, separated attribute predictability (Kumar et al., 2018, section 3): is each factor predicted by a single code?

::

    SAP = 1/k sum_j (S_(1)j - S_(2)j)

where S_ij is how well code i alone predicts factor j: for class factors the test accuracy of a linear support vector
machine (C = 0.01, balanced classes), for continuous factors the squared correlation. A linear classifier on one number
can separate only a few of many classes, so S of perfect codes is far below 1. S also depends on the codes' scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from vitae.metrics.arrays import Arrays, Points, parts, shortfall
from vitae.metrics.linear_models import linear_svm
from vitae.metrics.mutual_information import gaps
from vitae.metrics.registry import Column, register_score


@dataclass(frozen=True)
class SAP:
    """`score`, the mean of `per_factor`, the gaps; `predictability` is S, `d x k`; see `DCI` for `shortfall`."""

    score: float
    per_factor: np.ndarray
    predictability: np.ndarray
    shortfall: str


@register_score(
    "sap",
    column=Column("SAP", "sap", asks="does one code predict far better, linearly, than the next?"),
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
    """SAP; the full protocol has 10,000 training and 5,000 test points.

    Args: see `vitae.metrics`. With `classes=[False] * k` all factors are continuous.

    Raises:
        InputError: as `vitae.metrics.arrays.parts`.
    """
    train, held_out = parts(codes, factors, test=test, classes=classes, names=names, seed=seed)
    scores = np.zeros((train.codes.shape[1], len(train.names)))
    with tqdm(total=scores.size, desc="SAP", disable=None, leave=False, delay=1) as bar:
        for i, j in np.ndindex(scores.shape):
            scores[i, j] = _accuracy(train, held_out, i, j) if train.classes[j] else _squared_correlation(train, i, j)
            bar.update()
    per_factor = gaps(scores)
    return SAP(float(per_factor.mean()), per_factor, scores, shortfall(train, held_out))


def _accuracy(train: Points, held_out: Points, i: int, j: int) -> float:
    classifier = linear_svm(train.codes[:, i : i + 1], train.labels[:, j])
    return float(classifier.score(held_out.codes[:, i : i + 1], held_out.labels[:, j]))


def _squared_correlation(train: Points, i: int, j: int) -> float:
    covariance = np.cov(train.codes[:, i], train.values[:, j])
    variances = covariance[0, 0] * covariance[1, 1]
    return float(covariance[0, 1] ** 2 / variances) if variances > 0 else 0.0
