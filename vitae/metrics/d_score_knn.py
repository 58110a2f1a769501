r"""D (kNN): disentanglement as in Eastwood & Williams (2018), with kNN importances of single latents.

The poster prints a D_score and cites that paper, which leaves open how to get importances for class factors. Our
reading: the importance of latent i for factor j is the test accuracy that an 11-nearest-neighbour classifier on that
latent alone gains over guessing::

    r_ij = max(0, (accuracy - majority rate) / (1 - majority rate)),

where continuous factors are cut into ten equally frequent classes. Then::

    D = sum_i rho_i (1 - H(r_i / sum_j r_ij)),   rho_i = sum_j r_ij / sum_ij r_ij,

with the entropy H in base k, the number of factors: 1 if every latent predicts only one factor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics import knn
from vitae.metrics.arrays import Arrays, classes_of, equal_frequency_classes, require_several, train_and_test
from vitae.metrics.dci import disentanglement
from vitae.metrics.registry import Column, register_score


@dataclass(frozen=True)
class DScore:
    """`score` in [0, 1]; `importance` is r, `latents x factors`; `per_latent` is 1 - H of each latent."""

    score: float
    importance: np.ndarray
    per_latent: np.ndarray


@register_score(
    "d_score",
    column=Column("D (kNN, means)", "d_score", asks="does each code predict only one factor, by nearest neighbours?"),
    stored={"d_score": "score", "importance": "importance"},
    declared_classes=True,
)
def d_score(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> DScore:
    """D (kNN) of posterior means or draws. Unlike other scores, it accepts collapsed latents and constant factors.

    Args: see `vitae.metrics`; one code is enough.

    Raises:
        InputError: fewer than two factors, or as `vitae.metrics.arrays.train_and_test`.
    """
    (codes, factors), (test_codes, test_factors) = train_and_test(codes, factors, test=test, seed=seed)
    require_several("factors", factors)
    importance = np.zeros((codes.shape[1], factors.shape[1]))
    for j, is_class in enumerate(classes_of(factors, classes)):
        labels, test_labels = factors[:, j], test_factors[:, j]
        if not is_class:
            test_labels = equal_frequency_classes(test_labels, labels)
            labels = equal_frequency_classes(labels, labels)
        majority = knn.majority_rate(labels, test_labels)
        for i in range(codes.shape[1]):
            accuracy = knn.accuracy(codes[:, i : i + 1], labels, test_codes[:, i : i + 1], test_labels)
            importance[i, j] = max(0.0, (accuracy - majority) / (1 - majority)) if majority < 1 else 0.0
    score, per_latent = disentanglement(importance)
    return DScore(score, importance, per_latent)
