"""k-nearest-neighbour (kNN) probes: how well codes, single latents or whole spaces, predict one factor.

A kNN probe makes no assumption about the shape of the relation, and k is its only setting, so a latent that encodes a
factor nonlinearly still counts.

Two properties to know when reading its numbers:

- k is odd, so votes for two classes never tie. Among more classes scikit-learn predicts the smallest of those that tie.
- R^2 of codes that are independent of a factor is about -1/k, not 0: the mean of k neighbours varies around the overall
  mean and adds 1/k of the factor's variance to the error. `GUESSED_R_SQUARED` is that floor, to be subtracted.
"""

import numpy as np
import torch

from vitae.support.randomness import generator

# scikit-learn is imported where it is used: it takes as long to import as torch, and only scoring needs it.

NEIGHBOURS = 11
GUESSED_R_SQUARED = -1 / NEIGHBOURS
# Equal codes, such as a grid's, have no nearest neighbours: a little noise, relative to the spread, chooses among them.
_JITTER = 1e-6


def accuracy(train_codes, train_labels, test_codes, test_labels) -> float:
    """Test accuracy of an 11-nearest-neighbour classifier.

    Args:
        train_codes, test_codes: `n x d`.
        train_labels, test_labels: classes, any numbers, `n`.
    """
    from sklearn.neighbors import KNeighborsClassifier

    # scikit-learn refuses real-valued labels, such as the scales of dSprites.
    values, labels = np.unique(train_labels, return_inverse=True)
    classifier = KNeighborsClassifier(min(NEIGHBOURS, len(train_codes))).fit(train_codes, labels)
    return float(np.mean(values[classifier.predict(test_codes)] == test_labels))


def r_squared(train_codes, train_values, test_codes, test_values) -> float:
    """Test R^2 of an 11-nearest-neighbour regression; about -1/11 for uninformative codes, see above.

    Args:
        train_codes, test_codes: `n x d`.
        train_values, test_values: `n`.
    """
    from sklearn.neighbors import KNeighborsRegressor

    regressor = KNeighborsRegressor(min(NEIGHBOURS, len(train_codes)))
    return float(regressor.fit(train_codes, train_values).score(test_codes, test_values))


def majority_rate(train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """Test accuracy of always predicting the most frequent training class; labels are `n`."""
    values, counts = np.unique(train_labels, return_counts=True)
    return float(np.mean(test_labels == values[counts.argmax()]))


def jittered(codes: np.ndarray, reference: np.ndarray, seed: int, part: str) -> np.ndarray:
    """Codes with a little noise where the reference has equal values, so that chance chooses among them.

    The noise is relative to the spread of the reference, and the same for all codes of a point: their order plays no
    part. Codes without equal values are left as they are, so that their signs play none either.
    """
    noise = torch.randn(len(codes), 1, generator=generator("cpu", seed, f"jitter of {part}"), dtype=torch.float64)
    tied = np.array([len(np.unique(column)) < len(column) for column in reference.T])
    spread = reference.std(0)
    return codes + _JITTER * np.where(spread > 0, spread, 1.0) * tied * noise.numpy()
