r"""Explicitness (Ridgeway & Mozer, 2018, section 3): can every value of every factor be read off linearly?

For each value of each factor a logistic regression on all codes tells that value from the others; the score is the area
under its ROC curve on test points, averaged over values, then over factors. 0.5 is guessing, so codes of noise score
0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from vitae.metrics.arrays import Arrays, of_unit_range, parts, shortfall
from vitae.metrics.linear import logistic_regression
from vitae.metrics.registry import Column, register_score


@dataclass(frozen=True)
class Explicitness:
    """`score`, the mean of `per_factor`, at most 1 with 0.5 for guessing; see `DCI` for `shortfall`."""

    score: float
    per_factor: np.ndarray
    shortfall: str


@register_score(
    "explicitness",
    column=Column("explicitness", "explicitness", asks="can each value be read off linearly? guessing is 0.5"),
    always=False,
)
def explicitness(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> Explicitness:
    """Explicitness: 10,000 points to learn from, 5,000 to test on.

    Args:
        codes, factors, test, classes, names, seed: see `vitae.metrics.arrays.parts`.

    Raises:
        InputError: as `parts`.
    """
    from sklearn.metrics import roc_auc_score

    train, tested = parts(codes, factors, test=test, classes=classes, names=names, seed=seed)
    x, x_test = (of_unit_range(part.codes, train.codes) for part in (train, tested))
    centre, spread = x.mean(0), x.std(0)
    x, x_test = (
        (codes - centre) / np.where(train.codes.min(0) < train.codes.max(0), spread, 1) for codes in (x, x_test)
    )
    per_factor = []
    with tqdm(total=len(train.names), desc="explicitness", unit="factor", disable=None, leave=False, delay=1) as bar:
        for own, own_test in zip(train.labels.T, tested.labels.T, strict=True):
            areas = []
            # A value that only one part has has no curve.
            for value in np.intersect1d(own, own_test):
                if (own_test == value).all() or (own == value).all():
                    continue
                scores = logistic_regression(x, own == value).decision_function(x_test)
                areas.append(roc_auc_score(own_test == value, scores))
            per_factor.append(np.mean(areas) if areas else 0.5)
            bar.update()
    return Explicitness(float(np.mean(per_factor)), np.array(per_factor), shortfall(train, tested))
