"""Mutual information between codes and factors, estimated from counts; MIG, modularity and total correlation use it.

Why not scikit-learn's `mutual_info_score`: it gives the same numbers to 1e-15, but takes 38 times as long (234 against
6 ms for ten codes, five factors and 10,000 points), since it builds a sparse contingency table for each pair.
"""

import numpy as np
from scipy.special import entr, rel_entr

from vitae.metrics.arrays import Points

# Bins of equal width for each code.
BINS = 20
_SMALL = 1e-100
# Smaller estimates are rounding errors.
_ROUNDING = 1e-12


def binned(codes: np.ndarray) -> np.ndarray:
    """The bin of each code, of 20 of equal width from its smallest to its largest value; int64, `n x d`.

    A value exactly on an edge belongs to the upper bin, so changing the sign of a code with few values can move values
    to other bins.
    """
    columns = []
    for column in codes.T:
        # Start at zero, and scale tiny spreads up, so that edges differ however small the spread is.
        shifted = column - column.min()
        if 0 < shifted.max() < _SMALL:
            shifted = np.ldexp(shifted, 800)
        columns.append(np.searchsorted(np.histogram_bin_edges(shifted, BINS)[:-1], shifted, side="right") - 1)
    return np.stack(columns, 1)


def mutual_information(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Plug-in estimate of the mutual information of each pair of columns, in nats; `columns x columns`.

    It is biased upwards by about (a - 1)(b - 1) / 2n for a and b classes and n points.

    Args:
        first, second: classes counted from 0, `n x columns`.
    """
    information = np.empty((first.shape[1], second.shape[1]))
    for i, a in enumerate(first.T):
        for j, b in enumerate(second.T):
            width = b.max() + 1
            joint = np.bincount(a * width + b, minlength=(a.max() + 1) * width).reshape(-1, width) / len(a)
            information[i, j] = rel_entr(joint, joint.sum(1, keepdims=True) * joint.sum(0)).sum()
    return np.where(information > _ROUNDING, information, 0.0)


def entropies(labels: np.ndarray) -> np.ndarray:
    """Entropy of each column in nats; classes counted from 0, `n x columns`."""
    return np.array([entr(np.bincount(column) / len(column)).sum() for column in labels.T])


def information_matrix(points: Points) -> np.ndarray:
    """Mutual information of each code, cut into 20 bins, and each factor, in nats; `d x k`."""
    return mutual_information(binned(points.codes), points.labels)


def gaps(matrix: np.ndarray) -> np.ndarray:
    """Largest minus second largest entry of each column."""
    ordered = np.sort(matrix, axis=0)
    return ordered[-1] - ordered[-2]
