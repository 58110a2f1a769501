"""Gradient-boosted trees as DCI is defined by them, an order of magnitude faster than where it took them from.

The trees are those of scikit-learn's `GradientBoostingClassifier` with its own settings: 100 stages of a tree a class
(one for two classes), three levels, a rate of 0.1, every split the best of all. Codes are sorted once instead of in
every node.

Where several codes part a node's points in the same best way, scikit-learn credits one of them at random; here all of
them share the credit, which is what its choice comes to on average. For that, ties must be seen: residuals are rounded
to multiples of a power of two so small that sums of them are exact whatever their order. So importances depend on no
random number and on neither the order nor the signs of the codes. Which class a test point gets can still hang on
them, where several codes part the training points alike and the test points not.

As in scikit-learn, codes are compared in single precision and parted only if they are 1e-7 apart: codes that are much
smaller than 1, or lie close together far from 0, are to be scaled before.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from vitae.support.jit import compiled
from vitae.support.randomness import generator

_RATE = 0.1
_LEVELS = 3
# Nodes are numbered from 1, the children of h are 2h and 2h + 1.
_NODES = 2 ** (_LEVELS + 1)
# scikit-learn's: codes as near as this are not parted, nodes as pure as this are not split.
_GAP = 1e-7
_PURE = np.finfo(np.float64).eps
# A smaller part of a node's squared error than this was not gained, but rounded.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Boosted:
    """Trees that were boosted to tell the classes of one factor.

    Attributes:
        importance: each code's part of all that splits gained in squared error, `d`; zeros if nothing was split.
        train: the class that each point gets.
        test: the same of points that were not learned from.
    """

    importance: np.ndarray
    train: np.ndarray
    test: np.ndarray


@compiled
def _signature(order, node, marks, which, end):
    """A number of how the points of a node are parted, the same for the same two sides."""
    low, high = np.uint64(0), np.uint64(0)
    for position in range(len(order)):
        i = order[position]
        if node[i] == which:
            if position < end:
                low += marks[i]
            else:
                high += marks[i]
    return min(low, high)


@compiled
def _grow(codes, order, ascending, exact, marks, inverse, node, feature, threshold, gains):
    """One tree on the residuals `exact`: fills `node`, `feature` and `threshold`, adds to `gains`."""
    d, n = codes.shape
    total, square, count = np.empty(_NODES), np.empty(_NODES), np.empty(_NODES, np.int64)
    best, best_threshold = np.empty(_NODES), np.empty(_NODES)
    best_code, best_end = np.empty(_NODES, np.int64), np.empty(_NODES, np.int64)
    signature, signed = np.zeros(_NODES, np.uint64), np.empty(_NODES, np.bool_)
    shares = np.empty((_NODES, d), np.bool_)
    low, below, last = np.empty(_NODES), np.empty(_NODES, np.int64), np.empty(_NODES)
    feature[:] = -1
    node[:] = 1
    for level in range(_LEVELS):
        first = 1 << level
        total[:] = 0
        square[:] = 0
        count[:] = 0
        for i in range(n):
            h = node[i]
            total[h] += exact[i]
            square[h] += exact[i] * exact[i]
            count[h] += 1
        splits = np.zeros(_NODES, np.bool_)
        for h in range(first, 2 * first):
            splits[h] = count[h] >= 2 and square[h] / count[h] - (total[h] / count[h]) ** 2 > _PURE
        if not splits.any():
            break
        best[:] = -np.inf
        signed[:] = False
        shares[:] = False
        for f in range(d):
            low[:] = 0
            below[:] = 0
            last[:] = 0
            for position in range(n):
                i = order[f, position]
                h = node[i]
                if not splits[h]:
                    continue
                value, left, left_count = ascending[f, position], low[h], below[h]
                if left_count > 0 and value - last[h] > _GAP:
                    right = total[h] - left
                    gain = left * left * inverse[left_count] + right * right * inverse[count[h] - left_count]
                    if gain >= best[h]:
                        better, mine = gain > best[h], np.uint64(0)
                        if not better:
                            if not signed[h]:
                                signature[h] = _signature(order[best_code[h]], node, marks, h, best_end[h])
                                signed[h] = True
                            mine = _signature(order[f], node, marks, h, position)
                            if mine == signature[h]:
                                shares[h, f] = True
                            # Of different ways that gain the same, the one that does not hang on the codes' order.
                            better = mine < signature[h]
                        if better:
                            signed[h] = gain == best[h]
                            signature[h] = mine
                            best[h], best_code[h], best_end[h] = gain, f, position
                            middle = last[h] / 2 + value / 2
                            best_threshold[h] = last[h] if middle == value else middle
                            shares[h] = False
                            shares[h, f] = True
                low[h] = left + exact[i]
                below[h] = left_count + 1
                last[h] = value
        for h in range(first, 2 * first):
            if best[h] > -np.inf:
                feature[h], threshold[h] = best_code[h], best_threshold[h]
                gain = best[h] - total[h] * total[h] * inverse[count[h]]
                if gain > _ROUNDING * square[h]:
                    for f in range(d):
                        if shares[h, f]:
                            gains[f] += gain / shares[h].sum()
        for i in range(n):
            h = node[i]
            if h >= first and feature[h] >= 0:
                node[i] = 2 * h + (0 if codes[feature[h], i] <= threshold[h] else 1)


@compiled
def _boost(codes, order, ascending, labels, prior, tested, stages, marks, quantum, gains, raw, raw_tested):
    """All stages: fills the classes' scores `raw` and `raw_tested`, `columns x points`, adds to `gains`."""
    n = codes.shape[1]
    columns = len(raw)
    several = columns > 1
    # Friedman's (K - 1) / K, which scikit-learn keeps.
    scale = (columns - 1) / columns if several else 1.0
    probability = np.empty((columns, n))
    residual, exact = np.empty(n), np.empty(n)
    node = np.empty(n, np.uint8)
    feature, threshold, leaf = np.empty(_NODES, np.int64), np.empty(_NODES), np.empty(_NODES)
    slope, curvature = np.empty(_NODES), np.empty(_NODES)
    inverse = np.empty(n + 1)
    inverse[0] = 0
    for i in range(1, n + 1):
        inverse[i] = 1 / i
    for column in range(columns):
        raw[column] = prior[column]
        raw_tested[column] = prior[column]
    for _ in range(stages):
        for i in range(n):
            if several:
                highest = raw[0, i]
                for column in range(1, columns):
                    highest = max(highest, raw[column, i])
                whole = 0.0
                for column in range(columns):
                    probability[column, i] = np.exp(raw[column, i] - highest)
                    whole += probability[column, i]
                for column in range(columns):
                    probability[column, i] /= whole
            else:
                probability[0, i] = 1 / (1 + np.exp(-raw[0, i]))
        for column in range(columns):
            wanted = column if several else 1
            for i in range(n):
                residual[i] = (1.0 if labels[i] == wanted else 0.0) - probability[column, i]
                exact[i] = np.round(residual[i] / quantum) * quantum
            _grow(codes, order, ascending, exact, marks, inverse, node, feature, threshold, gains)
            # One Newton step in each leaf.
            slope[:] = 0
            curvature[:] = 0
            for i in range(n):
                slope[node[i]] += residual[i]
                curvature[node[i]] += probability[column, i] * (1 - probability[column, i])
            for h in range(_NODES):
                leaf[h] = scale * slope[h] / curvature[h] if curvature[h] > 1e-150 else 0.0
            for i in range(n):
                raw[column, i] += _RATE * leaf[node[i]]
            for i in range(tested.shape[1]):
                h = 1
                while h < _NODES // 2 and feature[h] >= 0:
                    h = 2 * h + (0 if tested[feature[h], i] <= threshold[h] else 1)
                raw_tested[column, i] += _RATE * leaf[h]


def boosted(
    codes: np.ndarray,
    labels: Sequence[np.ndarray],
    test_codes: np.ndarray,
    *,
    stages: int,
    done: Callable[[], object] = lambda: None,
) -> list[Boosted]:
    """Trees for each factor, the factors shared out among as many threads as torch may use.

    Args:
        codes, test_codes: float64, `n x d`; rounded to single precision, as scikit-learn does.
        labels: for each factor the training points' classes, any integers, `n`.
        stages: trees a class.
        done: called after each factor.
    """
    columns, tested = (
        np.ascontiguousarray(table.T.astype(np.float32), dtype=np.float64) for table in (codes, test_codes)
    )
    order = np.argsort(columns, axis=1, kind="stable").astype(np.int32)
    ascending = np.take_along_axis(columns, order, axis=1)
    n = len(codes)
    marks = torch.randint(2**62, (n,), generator=generator("cpu", 0, "parts of a node")).numpy().astype(np.uint64)
    # Multiples of this, at most 1 and n of them, sum up exactly in double precision.
    quantum = 2.0 ** (n.bit_length() - 52)

    def of_one(factor: int) -> Boosted:
        classes, own = np.unique(labels[factor], return_inverse=True)
        if len(classes) < 2:
            done()
            return Boosted(np.zeros(len(columns)), *(np.full(len(table), classes[0]) for table in (codes, test_codes)))
        shares = np.bincount(own) / n
        prior = np.log(shares) if len(classes) > 2 else np.log(shares[1:] / shares[0])
        gains, raw, raw_tested = (
            np.zeros(len(columns)),
            np.empty((len(prior), n)),
            np.empty((len(prior), len(test_codes))),
        )
        _boost(columns, order, ascending, own, prior, tested, stages, marks, quantum, gains, raw, raw_tested)
        done()
        chosen = [
            scores.argmax(0) if len(classes) > 2 else (scores[0] > 0).astype(np.int64) for scores in (raw, raw_tested)
        ]
        total = gains.sum()
        return Boosted(gains / total if total > 0 else gains, *(classes[numbers] for numbers in chosen))

    # The longest first, so that no thread is left with one when the others are done.
    longest_first = sorted(range(len(labels)), key=lambda factor: -len(np.unique(labels[factor])))
    found: dict[int, Boosted] = {}
    with ThreadPoolExecutor(max(1, min(torch.get_num_threads(), len(labels)))) as threads:
        for factor, result in zip(longest_first, threads.map(of_one, longest_first), strict=True):
            found[factor] = result
    return [found[factor] for factor in range(len(labels))]
