r"""Explicitness (Ridgeway & Mozer, 2018, section 3): can every value of every factor be decoded linearly?

For each value of each factor, a logistic regression on all codes separates that value from the others. The score is
its test AUC, averaged over values, then over factors. Guessing, and so codes of noise, scores 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from vitae.metrics.arrays import Arrays, parts, shortfall, to_unit_range
from vitae.metrics.linear_models import logistic_regression
from vitae.metrics.registry import Column, register_score
from vitae.metrics.separability import auc


@dataclass(frozen=True)
class Explicitness:
    """`score`, the mean of `per_factor`, at most 1, 0.5 for guessing; see `DCI` for `shortfall`."""

    score: float
    per_factor: np.ndarray
    shortfall: str


@register_score(
    "explicitness",
    column=Column("explicitness", "explicitness", asks="can each value be decoded linearly? guessing is 0.5"),
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
    """Explicitness; the full protocol has 10,000 training and 5,000 test points.

    Args: see `vitae.metrics`.

    Raises:
        InputError: as `vitae.metrics.arrays.parts`.
    """
    train, held_out = parts(codes, factors, test=test, classes=classes, names=names, seed=seed)
    x, x_test = (to_unit_range(part.codes, train.codes) for part in (train, held_out))
    centre, spread = x.mean(0), x.std(0)
    x, x_test = (
        (codes - centre) / np.where(train.codes.min(0) < train.codes.max(0), spread, 1) for codes in (x, x_test)
    )
    per_factor = []
    with tqdm(total=len(train.names), desc="explicitness", unit="factor", disable=None, leave=False, delay=1) as bar:
        for labels, test_labels in zip(train.labels.T, held_out.labels.T, strict=True):
            areas = []
            # There is no ROC curve for a value that is missing from one part.
            for value in np.intersect1d(labels, test_labels):
                if (test_labels == value).all() or (labels == value).all():
                    continue
                scores = logistic_regression(x, labels == value).decision_function(x_test)
                areas.append(auc(scores, test_labels == value))
            per_factor.append(np.mean(areas) if areas else 0.5)
            bar.update()
    return Explicitness(float(np.mean(per_factor)), np.array(per_factor), shortfall(train, held_out))
