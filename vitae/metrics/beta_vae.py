r"""The beta-VAE score (Higgins et al., 2017, section 3): does a linear classifier see which factor two images share?

A vote holds one factor at a value and takes 64 pairs of points that share it. From the mean of abs(z - z') over the
pairs, `d` numbers, a logistic regression has to tell the factor; the score is its accuracy in other votes.

Easy to reach 1: the classifier may use all codes at once, so a factor spread over several of them costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics import voting
from vitae.metrics.arrays import Arrays, Points, points, stacked
from vitae.metrics.linear import logistic_regression
from vitae.metrics.registry import Column, register_score
from vitae.support.errors import require_number


@dataclass(frozen=True)
class BetaVAEScore:
    """`score` and `train_score` in [0, 1]; mean `distances` by the factor held, `d x k`; see `DCI` for `shortfall`."""

    score: float
    train_score: float
    distances: np.ndarray
    shortfall: str


@register_score(
    "beta_vae_score",
    column=Column("β-VAE score", "beta_vae_score", asks="is a shared factor seen linearly in distances?"),
    always=False,
)
def beta_vae_score(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> BetaVAEScore:
    """The beta-VAE score by the full protocol: 10,000 votes to learn from, 5,000 to test on, 64 pairs each.

    Args:
        codes, factors, classes, names, seed, fast: see `factor_vae_score`.

    Raises:
        InputError: as `points`.
    """
    require_number("seed", seed, 0, whole=True)
    if test is not None:
        codes, factors = stacked(codes, test[0]), stacked(factors, test[1])
    given = points(codes, factors, classes=classes, names=names)
    (x, y), (x_test, y_test) = (
        _differences(given, count, seed, purpose)
        for count, purpose in zip(voting.counts(fast), ("pairs", "test pairs"), strict=True)
    )
    classifier = logistic_regression(x, y)
    held = [x[y == j] for j in range(given.labels.shape[1])]
    return BetaVAEScore(
        score=float(classifier.score(x_test, y_test)),
        train_score=float(classifier.score(x, y)),
        distances=np.stack([own.mean(0) if len(own) else np.full(x.shape[1], np.nan) for own in held], 1),
        shortfall=voting.shortfall(fast),
    )


def _differences(given: Points, count: int, seed: int, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean distance of pairs in each code, `votes x d`, and the factor that they share, `votes`."""
    distances, shared = [], []
    for votes in voting.drawn(given, count, 2 * voting.BATCH, seed, purpose):
        one, other = np.split(votes.codes, 2, axis=1)
        distances.append(np.abs(one - other).mean(1))
        shared.append(votes.factor)
    return np.concatenate(distances), np.concatenate(shared)
