r"""beta-VAE score (Higgins et al., 2017, section 3): can a linear classifier tell which factor pairs of points share?

Each vote fixes one factor at a value and draws 64 pairs of points that have that value. The mean of abs(z - z') over
the pairs, `d` numbers, is the input of a logistic regression that predicts the fixed factor; the score is its accuracy
on other votes.

The score saturates easily: the classifier sees all codes at once, so spreading a factor over several codes costs
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics import voting
from vitae.metrics.arrays import Arrays, Points, points, pooled
from vitae.metrics.linear_models import logistic_regression
from vitae.metrics.registry import Column, register_score
from vitae.support.errors import require_number


@dataclass(frozen=True)
class BetaVAEScore:
    """
    Attributes:
        score: test accuracy, in [0, 1].
        train_score: accuracy on the votes that the classifier was fitted to.
        distances: mean of abs(z - z') of each code by fixed factor, `d x k`; nan for a factor that was never fixed.
        shortfall: see `DCI`.
    """

    score: float
    train_score: float
    distances: np.ndarray
    shortfall: str


@register_score(
    "beta_vae_score",
    column=Column("β-VAE score", "beta_vae_score", asks="do distances show linearly which factor is fixed?"),
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
    """beta-VAE score: 10,000 votes for training, 5,000 for testing, 64 pairs each; a tenth of the votes if `fast`.

    Args: see `vitae.metrics`, and `factor_vae_score`.

    Raises:
        InputError: as `vitae.metrics.arrays.points`.
    """
    require_number("seed", seed, 0, whole=True)
    population = points(*pooled(codes, factors, test), classes=classes, names=names)
    (x, y), (x_test, y_test) = (
        _distances(population, count, seed, purpose)
        for count, purpose in zip(voting.counts(fast), ("pairs", "test pairs"), strict=True)
    )
    classifier = logistic_regression(x, y)
    by_factor = [x[y == j] for j in range(population.labels.shape[1])]
    return BetaVAEScore(
        score=float(classifier.score(x_test, y_test)),
        train_score=float(classifier.score(x, y)),
        distances=np.stack([rows.mean(0) if len(rows) else np.full(x.shape[1], np.nan) for rows in by_factor], 1),
        shortfall=voting.shortfall(fast),
    )


def _distances(population: Points, count: int, seed: int, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance of the pairs of each vote in each code, `votes x d`, and the fixed factor, `votes`."""
    distances, fixed = [], []
    for votes in voting.drawn(population, count, 2 * voting.BATCH, seed, purpose):
        first, second = np.split(votes.codes, 2, axis=1)
        distances.append(np.abs(first - second).mean(1))
        fixed.append(votes.factor)
    return np.concatenate(distances), np.concatenate(fixed)
