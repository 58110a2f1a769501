r"""D*: disentanglement of groups of codes, with importances that are measured against chance.

The importance of a group g of codes (one latent, or a latent space) for factor j is what nearest neighbours gain over
chance::

    r_gj = (s - s0) / (1 - s0)   if s lies more than z standard deviations above s0, else 0.

s is the test score of a probe with k = 11 nearest neighbours: its accuracy for classes, its R^2 for numbers. s0 and the
standard deviation are those of the same probe under random permutations of the training factors. Then, as in Eastwood &
Williams (2018)::

    D* = sum_g rho_g (1 - H(r_g) / ln k),   rho_g = sum_j r_gj / sum_gj r_gj,

with k factors: 1 if every group that knows anything knows one factor only. D* says nothing about how much is known, so
it always comes with its coverage, the mean over the factors of max_g r_gj. Where no group knows anything, D* is
undefined: nan at coverage 0.

What is new against D (kNN), see `vitae.metrics.d_score_knn`: chance is subtracted, and what may be chance counts as
nothing. There, codes of pure noise get a high score, since their importances are small but equal to nothing exactly.

Codes should be draws from the posteriors: a posterior mean has no noise, so a neighbour reads from it what is far below
the noise of the posterior and never reaches the decoder. Scores of several draws are averaged before importances are
computed (`averaged`).

Factors can be taken together too, for instance all that describe the perspective: the importance of a group of codes
for a group of factors is its mean importance for the factors in it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree

from vitae.metrics.arrays import Arrays, classes_of, require_several, train_and_test
from vitae.metrics.dci import disentanglement
from vitae.metrics.knn import NEIGHBOURS, jittered
from vitae.metrics.registry import Column, register_score
from vitae.support.errors import InputError, require_number
from vitae.support.randomness import generator

PERMUTATIONS = 100
DEVIATIONS = 3.5
# There are 2^(d - 1) - 1 ways to split d latents into two groups.
_MOST_SPLIT = 10
# Points on which these ways are compared: some to train on, and half as many to test on.
_SPLIT_POINTS, _SPLIT_PERMUTATIONS = 2_000, 20

Groups = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Probed:
    """How well nearest neighbours predict each factor from each group of codes; all arrays are `groups x factors`.

    Attributes:
        reached: test accuracy of classes, test R^2 of numbers.
        chance: mean of the same over permutations of the training factors.
        spread: standard deviation over the permutations.
    """

    reached: np.ndarray
    chance: np.ndarray
    spread: np.ndarray

    def importance(self, deviations: float = DEVIATIONS) -> np.ndarray:
        """r, `groups x factors`, in [0, 1]; 0 where the probe is not that many standard deviations above chance."""
        above = self.reached - self.chance
        gained = np.divide(above, 1 - self.chance, out=np.zeros_like(above), where=self.chance < 1)
        return np.where(above > deviations * self.spread, np.maximum(gained, 0.0), 0.0)


@dataclass(frozen=True)
class DStar:
    """
    Attributes:
        score: D*, in [0, 1]; nan if no group knows anything.
        coverage: mean over the factors of the largest importance, in [0, 1].
        importance: r, `groups x factors`.
    """

    score: float
    coverage: float
    importance: np.ndarray


def averaged(probed: Sequence[Probed]) -> Probed:
    """The mean of several probes, for instance of several posterior draws."""
    return Probed(*(np.mean([getattr(each, name) for each in probed], 0) for name in ("reached", "chance", "spread")))


def score_of(probed: Probed, *, factor_groups: Groups | None = None, deviations: float = DEVIATIONS) -> DStar:
    """D* from probes.

    Args:
        factor_groups: columns of the factors that count as one; by default each counts for itself.
        deviations: z.
    """
    importance = probed.importance(deviations)
    together = importance
    if factor_groups is not None:
        together = np.stack([importance[:, list(group)].mean(1) for group in factor_groups], 1)
    score = disentanglement(together)[0] if together.any() else float("nan")
    return DStar(score, float(importance.max(0).mean()), importance)


@register_score(
    "d_star",
    column=(
        Column("D*", "d_star_of_codes", asks="does each code know only one factor, beyond chance?"),
        Column("coverage of D*", "d_star_coverage_of_codes", asks="how much of each factor does some code know?"),
    ),
    stored={"d_star_of_codes": "score", "d_star_coverage_of_codes": "coverage"},
    always=False,
)
def d_star(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
    groups: Groups | None = None,
    factor_groups: Groups | None = None,
    neighbours: int = NEIGHBOURS,
    permutations: int = PERMUTATIONS,
    deviations: float = DEVIATIONS,
) -> DStar:
    """D* of one set of codes, better posterior draws than means.

    Args: see `vitae.metrics`; `names` and `fast` change nothing.
        groups: columns of the codes that belong together, such as those of a latent space; by default each alone.
        factor_groups: columns of the factors that count as one; by default each alone.
        neighbours: k of the probe, best odd.
        permutations: from which chance is estimated.
        deviations: z.

    Raises:
        InputError: fewer than two factors, a group names no column, or as `vitae.metrics.arrays.train_and_test`.
    """
    probed = probe(
        codes,
        factors,
        test=test,
        classes=classes,
        seed=seed,
        groups=groups,
        neighbours=neighbours,
        permutations=permutations,
    )
    return score_of(probed, factor_groups=factor_groups, deviations=deviations)


def probe(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    seed: int = 0,
    groups: Groups | None = None,
    neighbours: int = NEIGHBOURS,
    permutations: int = PERMUTATIONS,
) -> Probed:
    """The probes of D*; arguments and errors as `d_star`."""
    for name, value in (("neighbours", neighbours), ("permutations", permutations)):
        require_number(name, value, 1 if name == "neighbours" else 2, whole=True)
    (codes, factors), (test_codes, test_factors) = train_and_test(codes, factors, test=test, seed=seed)
    require_several("factors", factors)
    groups = [[i] for i in range(codes.shape[1])] if groups is None else [list(group) for group in groups]
    if any(not group or not set(group) <= set(range(codes.shape[1])) for group in groups):
        raise InputError(f"each group must name some of the {codes.shape[1]} codes by number, counted from 0.")
    predictor = _Predictor(factors, test_factors, classes_of(factors, classes), permutations, seed)
    codes, test_codes = (
        jittered(codes, codes, seed, "training codes"),
        jittered(test_codes, codes, seed, "test codes"),
    )
    count = min(neighbours, len(codes))
    nearest = (cKDTree(codes[:, group]).query(test_codes[:, group], range(1, count + 1))[1] for group in groups)
    return Probed(*np.stack([predictor.summary(each) for each in nearest], 1))


def best_split(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    classes: Sequence[bool] | None = None,
    seed: int = 0,
    factor_groups: Groups | None = None,
) -> list[list[int]] | None:
    """The division of the codes into two groups with the highest D*: what a model with one latent space could claim.

    All divisions are compared, on 2,000 of the given points to train on and 1,000 to test on. None if there are more
    than 10 codes, which have too many divisions, or just one.

    Args: as `d_star`.

    Raises:
        InputError: as `d_star`.
    """
    d = codes.shape[1]
    if not 2 <= d <= _MOST_SPLIT:
        return None
    points = _permutation(len(codes), generator("cpu", seed, "points of the split"))[: _SPLIT_POINTS * 3 // 2]
    held_out, train = np.split(points, [len(points) // 3])
    predictor = _Predictor(factors[train], factors[held_out], classes_of(factors, classes), _SPLIT_PERMUTATIONS, seed)
    moved = jittered(codes, codes, seed, "divided codes").astype(np.float32)
    squared = [(moved[held_out, i, None] - moved[None, train, i]) ** 2 for i in range(d)]
    count = min(NEIGHBOURS, len(train))

    def summary(group: tuple[int, ...]) -> np.ndarray:
        return predictor.summary(np.argpartition(sum(squared[i] for i in group), count - 1, axis=1)[:, :count])

    def score(first: tuple[int, ...], second: tuple[int, ...]) -> float:
        probed = Probed(*np.stack([summaries[first], summaries[second]], 1))
        # A division in which nothing is known is the last choice.
        return np.nan_to_num(score_of(probed, factor_groups=factor_groups).score, nan=-1.0)

    every = [group for size in range(1, d) for group in itertools.combinations(range(d), size)]
    summaries = {group: summary(group) for group in every}
    # A group and the rest; each division once, by the group that holds the first code.
    divisions = [(group, tuple(i for i in range(d) if i not in group)) for group in every if 0 in group]
    return [list(group) for group in max(divisions, key=lambda division: score(*division))]


class _Predictor:
    """What nearest neighbours say of every factor, after training on the true factors and on permuted ones."""

    def __init__(
        self,
        factors: np.ndarray,
        test_factors: np.ndarray,
        classes: Sequence[bool],
        permutations: int,
        seed: int,
    ):
        random = generator("cpu", seed, "permutations")
        self._orders = [np.arange(len(factors)), *(_permutation(len(factors), random) for _ in range(permutations))]
        self._factors = []
        for column, truth, is_class in zip(factors.T, test_factors.T, classes, strict=True):
            if is_class:
                values, column = np.unique(column, return_inverse=True)
                # A class that no training point has is never predicted.
                truth = np.where(np.isin(truth, values), np.searchsorted(values, truth), -1)
            self._factors.append((column, truth, len(values) if is_class else 0))

    def summary(self, nearest: np.ndarray) -> np.ndarray:
        """Score, mean and standard deviation of the permuted scores of each factor, `3 x factors`.

        Args:
            nearest: the training points nearest to each test point, `test points x neighbours`.
        """
        rows = []
        for column, truth, classes in self._factors:
            of = self._accuracy if classes else self._r_squared
            scores = np.array([of(column[order][nearest], truth, classes) for order in self._orders])
            rows.append((scores[0], scores[1:].mean(), scores[1:].std()))
        return np.array(rows).T

    @staticmethod
    def _accuracy(votes: np.ndarray, truth: np.ndarray, classes: int) -> float:
        points = len(votes)
        cells = votes + classes * np.arange(points)[:, None]
        counts = np.bincount(cells.ravel(), minlength=points * classes).reshape(points, classes)
        return float(np.mean(counts.argmax(1) == truth))

    @staticmethod
    def _r_squared(values: np.ndarray, truth: np.ndarray, classes: int) -> float:
        total = np.square(truth - truth.mean()).sum()
        return float(1 - np.square(values.mean(1) - truth).sum() / total) if total else 0.0


def _permutation(count: int, random: torch.Generator) -> np.ndarray:
    return torch.randperm(count, generator=random).numpy()
