"""Batches of points that share the value of one factor: the votes of the FactorVAE and beta-VAE scores."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from vitae.metrics.arrays import Points
from vitae.support.randomness import generator

# As in the original studies: training votes, test votes, and points in each vote.
VOTES, TEST_VOTES, BATCH = 10_000, 5_000, 64
FAST = 10  # the fast mode has this many times fewer votes
_VOTES_AT_ONCE = 1_000


@dataclass(frozen=True)
class Votes:
    """A block of votes.

    Attributes:
        factor: the fixed factor of each vote, int64, `votes`.
        codes: of points that share that factor's value, `votes x batch x d`.
    """

    factor: np.ndarray
    codes: np.ndarray


def drawn(points: Points, count: int, batch: int, seed: int, purpose: str) -> Iterator[Votes]:
    """Draw votes, in blocks.

    The factor is uniform; its value is as frequent as among the points; the points with that value are drawn with
    replacement. If the points are all combinations of the factors, this amounts to uniform combinations with one factor
    fixed.
    """
    random = generator("cpu", seed, purpose)
    k = points.labels.shape[1]
    order = np.argsort(points.labels, axis=0, kind="stable")
    sizes = [np.bincount(column) for column in points.labels.T]
    starts = [np.cumsum(size) - size for size in sizes]
    for begin in range(0, count, _VOTES_AT_ONCE):
        votes = min(_VOTES_AT_ONCE, count - begin)
        factor = torch.randint(k, (votes,), generator=random).numpy()
        chosen = torch.randint(len(points), (votes,), generator=random).numpy()
        positions = torch.rand((votes, batch), generator=random, dtype=torch.float64).numpy()
        label = points.labels[chosen, factor]
        rows = np.empty((votes, batch), np.int64)
        for j in range(k):
            fixed = factor == j
            size, start = sizes[j][label[fixed]][:, None], starts[j][label[fixed]][:, None]
            rows[fixed] = order[start + (positions[fixed] * size).astype(np.int64), j]
        yield Votes(factor, points.codes[rows])


def counts(fast: bool) -> tuple[int, int]:
    """The numbers of training and test votes."""
    return (VOTES // FAST, TEST_VOTES // FAST) if fast else (VOTES, TEST_VOTES)


def shortfall(fast: bool) -> str:
    """How the votes fall short of the full protocol; empty if they do not."""
    if not fast:
        return ""
    train, test = counts(fast)
    return f"{train:,} and {test:,} votes instead of {VOTES:,} and {TEST_VOTES:,}"
