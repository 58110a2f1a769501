r"""The FactorVAE score (Kim & Mnih, 2018, section 4): which code stands still when one factor does?

A vote holds one factor at a value, looks at 64 points that share it, and names the code whose variance among them is
the smallest part of its variance among all points. Each code is then taken for the factor that it was named for most
often; the score is how often that is right in other votes. Codes with a standard deviation below 0.05 do not take part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics import voting
from vitae.metrics.arrays import Arrays, Points, points, stacked
from vitae.metrics.registry import Column, register_score
from vitae.support.errors import require_number

_COLLAPSED = 0.05


@dataclass(frozen=True)
class FactorVAEScore:
    """`score` and `train_score` in [0, 1]; `votes` of test, `d x k`; `active` codes, `d`; see `DCI` for `shortfall`."""

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
    """The FactorVAE score by the full protocol: 10,000 votes to learn from, 5,000 to test on, 64 points each.

    Args:
        codes, factors: at best of all combinations of the factors; votes are drawn from these points, with replacement.
        classes, names: see `vitae.metrics.arrays.points`.
        seed: of the votes.
        fast: a tenth of the votes, which the result says.

    Raises:
        InputError: as `points`.
    """
    require_number("seed", seed, 0, whole=True)
    if test is not None:
        codes, factors = stacked(codes, test[0]), stacked(factors, test[1])
    given = points(codes, factors, classes=classes, names=names)
    variance = given.codes.var(0, ddof=1)
    active = np.sqrt(variance) >= _COLLAPSED
    learn, test = (
        _votes(given, variance, active, count, seed, purpose)
        for count, purpose in zip(voting.counts(fast), ("votes", "test votes"), strict=True)
    )
    named = learn.argmax(1)
    d = np.arange(len(named))
    return FactorVAEScore(
        score=float(test[d, named].sum() / max(1, test.sum())),
        train_score=float(learn[d, named].sum() / max(1, learn.sum())),
        votes=test,
        active=active,
        shortfall=voting.shortfall(fast),
    )


def _votes(given: Points, variance: np.ndarray, active: np.ndarray, count: int, seed: int, purpose: str) -> np.ndarray:
    """How often each code stood stillest when each factor did; `d x k`. Codes that stand equally still share a vote."""
    found = np.zeros((given.codes.shape[1], given.labels.shape[1]))
    if active.any():
        for votes in voting.drawn(given, count, voting.BATCH, seed, purpose):
            still = votes.codes[..., active].var(1, ddof=1) / variance[active]
            stillest = still == still.min(1, keepdims=True)
            shares = stillest / stillest.sum(1, keepdims=True)
            for j in range(found.shape[1]):
                found[active, j] += shares[votes.factor == j].sum(0)
    return found
