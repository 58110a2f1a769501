r"""D_score: the disentanglement of Eastwood & Williams (2018), with importances from single latents.

The poster cites the score and gives no recipe for factors that are classes. Our reading: the importance of latent i
for factor j is what a 10-nearest-neighbour classifier on that latent alone gains over guessing::

    r_ij = max(0, (accuracy - majority rate) / (1 - majority rate)),

with continuous factors cut into ten equally frequent classes, posterior means as codes, and accuracy on test data.
Then::

    D = sum_i rho_i (1 - H(r_i / sum_j r_ij)),   rho_i = sum_j r_ij / sum_ij r_ij,

with the entropy H in base k, the number of factors: 1 when every latent knows one factor only.
"""

from dataclasses import dataclass

import numpy as np

from vitae.metrics import neighbours
from vitae.metrics.arrays import equal_frequency_classes
from vitae.metrics.dci import disentanglement
from vitae.support.errors import InputError


@dataclass(frozen=True)
class DScore:
    """`score` in [0, 1]; `importance` is r, `latents x factors`; `per_latent` is 1 - H for each latent."""

    score: float
    importance: np.ndarray
    per_latent: np.ndarray


def d_score(
    train_codes: np.ndarray,
    train_factors: np.ndarray,
    test_codes: np.ndarray,
    test_factors: np.ndarray,
    classes: tuple[bool, ...],
) -> DScore:
    """D_score of posterior means.

    Args:
        train_codes, test_codes: all latents side by side, `n x d`.
        train_factors, test_factors: `n x k`, k >= 2.
        classes: for each factor whether its values are classes (else they are cut into ten).

    Raises:
        InputError: arrays that do not belong together, fewer than two factors, or codes that are not finite.
    """
    train_codes, train_factors, test_codes, test_factors = neighbours.checked_arrays(
        train_codes, train_factors, test_codes, test_factors, classes
    )
    if len(classes) < 2:
        raise InputError("a D_score needs two factors or more: with one there is nothing to be entangled with.")
    importance = np.zeros((train_codes.shape[1], len(classes)))
    for j, is_class in enumerate(classes):
        train_labels, test_labels = train_factors[:, j], test_factors[:, j]
        if not is_class:
            test_labels = equal_frequency_classes(test_labels, train_labels)
            train_labels = equal_frequency_classes(train_labels, train_labels)
        majority = neighbours.majority_rate(train_labels, test_labels)
        for i in range(train_codes.shape[1]):
            hit = neighbours.accuracy(train_codes[:, i : i + 1], train_labels, test_codes[:, i : i + 1], test_labels)
            importance[i, j] = max(0.0, (hit - majority) / (1 - majority)) if majority < 1 else 0.0
    score, per_latent = disentanglement(importance)
    return DScore(score, importance, per_latent)


def least_beyond_chance(images: int, errors: float = 3.0) -> float:
    """The importance that a latent without knowledge exceeds only by great luck, for a factor of ten classes.

    An accuracy over `images` of a guesser who is right in a tenth of cases has the standard error sqrt(0.09 / images);
    this is `errors` of them, on the scale of importances.
    """
    return errors * np.sqrt(0.1 * 0.9 / images) / 0.9


def score_beyond(importance: np.ndarray, least: float) -> float:
    """D of an importance matrix, `latents x factors`, in which what is below `least` counts as nothing."""
    return disentanglement(np.where(importance < least, 0.0, importance))[0]
