r"""FactorVAE score (Kim & Mnih, 2018, section 4): does the code with the least variance tell which factor is fixed?

Each vote fixes one factor at a value, takes 64 points that have that value, and names the code whose variance among
them, relative to its variance among all points, is smallest. A majority vote assigns a factor to each code; the score
is the accuracy of this assignment on other votes. Codes with a standard deviation below 0.05 are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics import voting
from vitae.metrics.arrays import Arrays, Points, points, pooled
from vitae.metrics.registry import Column, register_score
from vitae.support.errors import require_number

_COLLAPSED = 0.05


@dataclass(frozen=True)
class FactorVAEScore:
    """
    Attributes:
        score: accuracy on test votes, in [0, 1].
        train_score: accuracy on the votes that the assignment is from.
        votes: test votes by code named and factor fixed, `d x k`.
        active: which codes take part, `d`.
        shortfall: see `DCI`.
    """

    score: float
    train_score: float
    votes: np.ndarray
    active: np.ndarray
    shortfall: str


@register_score(
    "factor_vae_score",
    column=Column("FactorVAE score", "factor_vae_score", asks="which code varies least when a factor is fixed?"),
    always=False,
)
def factor_vae_score(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> FactorVAEScore:
    """FactorVAE score: 10,000 votes for training, 5,000 for testing, 64 points each; a tenth of the votes if `fast`.

    Args: see `vitae.metrics`. Votes are drawn from the given points, with replacement; ideally these are all
        combinations of the factors.

    Raises:
        InputError: as `vitae.metrics.arrays.points`.
    """
    require_number("seed", seed, 0, whole=True)
    population = points(*pooled(codes, factors, test), classes=classes, names=names)
    variance = population.codes.var(0, ddof=1)
    active = np.sqrt(variance) >= _COLLAPSED
    train_votes, test_votes = (
        _votes(population, variance, active, count, seed, purpose)
        for count, purpose in zip(voting.counts(fast), ("votes", "test votes"), strict=True)
    )
    assigned = train_votes.argmax(1)
    d = np.arange(len(assigned))
    return FactorVAEScore(
        score=float(test_votes[d, assigned].sum() / max(1, test_votes.sum())),
        train_score=float(train_votes[d, assigned].sum() / max(1, train_votes.sum())),
        votes=test_votes,
        active=active,
        shortfall=voting.shortfall(fast),
    )


def _votes(
    population: Points, variance: np.ndarray, active: np.ndarray, count: int, seed: int, purpose: str
) -> np.ndarray:
    """How often each code has the smallest relative variance by fixed factor, `d x k`. Tied codes share a vote."""
    counts = np.zeros((population.codes.shape[1], population.labels.shape[1]))
    if active.any():
        for votes in voting.drawn(population, count, voting.BATCH, seed, purpose):
            relative = votes.codes[..., active].var(1, ddof=1) / variance[active]
            smallest = relative == relative.min(1, keepdims=True)
            shares = smallest / smallest.sum(1, keepdims=True)
            for j in range(counts.shape[1]):
                counts[active, j] += shares[votes.factor == j].sum(0)
    return counts
