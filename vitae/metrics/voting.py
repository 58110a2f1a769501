"""Groups of points that share the value of one factor, drawn from codes and factors: what two scores vote on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from vitae.metrics.arrays import Points
from vitae.support.randomness import generator

# Of the original studies: votes to learn from and to test on, and points a vote.
VOTES, TEST_VOTES, BATCH = 10_000, 5_000, 64
FAST = 10  # so many times fewer votes in the fast mode
_AT_ONCE = 1_000


@dataclass(frozen=True)
class Votes:
    """Factors that were held still, `votes`, and the codes of points that share their value.

    Attributes:
        factor: int64, `votes`.
        codes: `votes x batch x d`.
    """

    factor: np.ndarray
    codes: np.ndarray


def drawn(points: Points, count: int, batch: int, seed: int, purpose: str) -> Iterator[Votes]:
    """Votes in pieces: a factor, uniformly; its value, as often as that occurs; points of the value, with replacement.

    Where the points are all combinations of the factors, this is a uniform draw of combinations with one factor fixed.
    """
    random = generator("cpu", seed, purpose)
    k = points.labels.shape[1]
    order = np.argsort(points.labels, axis=0, kind="stable")
    sizes = [np.bincount(column) for column in points.labels.T]
    starts = [np.cumsum(size) - size for size in sizes]
    for begin in range(0, count, _AT_ONCE):
        votes = min(_AT_ONCE, count - begin)
        factor = torch.randint(k, (votes,), generator=random).numpy()
        chosen = torch.randint(len(points), (votes,), generator=random).numpy()
        places = torch.rand((votes, batch), generator=random, dtype=torch.float64).numpy()
        label = points.labels[chosen, factor]
        rows = np.empty((votes, batch), np.int64)
        for j in range(k):
            own = factor == j
            size, start = sizes[j][label[own]][:, None], starts[j][label[own]][:, None]
            rows[own] = order[start + (places[own] * size).astype(np.int64), j]
        yield Votes(factor, points.codes[rows])


def counts(fast: bool) -> tuple[int, int]:
    """Votes to learn from and to test on."""
    return (VOTES // FAST, TEST_VOTES // FAST) if fast else (VOTES, TEST_VOTES)


def shortfall(fast: bool) -> str:
    """What votes lack of the full protocol, in words; nothing if nothing."""
    if not fast:
        return ""
    learn, test = counts(fast)
    return f"{learn:,} and {test:,} votes instead of {VOTES:,} and {TEST_VOTES:,}"
