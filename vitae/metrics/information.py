"""Mutual information of codes and factors, by counting: the matrix that MIG, modularity and total correlation read."""

import numpy as np

from vitae.metrics.arrays import Points

# Bins of equal width that each code is cut into.
BINS = 20
_SMALL = 1e-100
# Less information than this is rounding, and no information.
_ROUNDING = 1e-12


def binned(codes: np.ndarray) -> np.ndarray:
    """Each code's bin of 20 between its smallest and its largest value; int64, `n x d`.

    A value exactly on an edge belongs to the upper bin, so codes of few values can fall otherwise with their sign
    changed.
    """
    columns = []
    for column in codes.T:
        # From zero on, and not too small, so that a small spread about any number has bins too.
        shifted = column - column.min()
        if 0 < shifted.max() < _SMALL:
            shifted = np.ldexp(shifted, 800)
        columns.append(np.searchsorted(np.histogram_bin_edges(shifted, BINS)[:-1], shifted, side="right") - 1)
    return np.stack(columns, 1)


def mutual_information(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The plug-in estimate in nats of every column's information on every other; `columns x columns`.

    It is too large by about (a - 1)(b - 1) / 2n for a and b classes in n points.

    Args:
        first, second: classes from 0, `n x columns`.
    """
    found = np.empty((first.shape[1], second.shape[1]))
    for i, a in enumerate(first.T):
        for j, b in enumerate(second.T):
            width = b.max() + 1
            joint = np.bincount(a * width + b, minlength=(a.max() + 1) * width).reshape(-1, width) / len(a)
            product = joint.sum(1, keepdims=True) * joint.sum(0)
            seen = joint > 0
            found[i, j] = (joint[seen] * np.log(joint[seen] / product[seen])).sum()
    return np.where(found > _ROUNDING, found, 0.0)


def entropies(labels: np.ndarray) -> np.ndarray:
    """The entropy of each column in nats."""
    shares = [np.bincount(column) / len(column) for column in labels.T]
    return np.array([-(share[share > 0] * np.log(share[share > 0])).sum() for share in shares])


def information_matrix(points: Points) -> np.ndarray:
    """Information of each code, cut into 20 bins, on each factor, in nats; `d x k`."""
    return mutual_information(binned(points.codes), points.labels)


def gaps(matrix: np.ndarray) -> np.ndarray:
    """For each column the largest entry less the second largest."""
    ordered = np.sort(matrix, axis=0)
    return ordered[-1] - ordered[-2]
