"""How well codes predict factors: k nearest neighbours, on one latent or on a whole space.

A nearest-neighbour predictor assumes nothing of the shape of the relation and has no setting but k, so a latent that
holds a factor in a twisted form still gets credit.
"""

import numpy as np

from vitae.errors import InputError
from vitae.metrics.arrays import numbers

# scikit-learn is imported where it is used: it takes as long to import as torch, and only scoring needs it.

NEIGHBOURS = 10


def check_arrays(train_codes, train_factors, test_codes, test_factors, classes) -> None:
    """Refuse arrays of which no score could be computed, or a wrong one.

    Raises:
        InputError: naming what does not fit.
    """
    for part, codes, factors in (("train", train_codes, train_factors), ("test", test_codes, test_factors)):
        if np.ndim(codes) == 2 == np.ndim(factors):
            numbers(f"{part} codes", codes), numbers(f"{part} factors", factors)
        if np.ndim(codes) != 2 or np.ndim(factors) != 2 or len(codes) != len(factors) or len(codes) == 0:
            raise InputError(
                f"{part} codes must be n x d and {part} factors n x k with the same n above 0, got "
                f"{np.shape(codes)} and {np.shape(factors)}."
            )
        if np.shape(factors)[1] != len(classes):
            raise InputError(f"there are {np.shape(factors)[1]} {part} factors and {len(classes)} entries in classes.")
        if not np.isfinite(codes).all():
            raise InputError(f"some {part} codes are not finite: look at the training of the model they are from.")


def accuracy(train_codes, train_labels, test_codes, test_labels) -> float:
    """Test accuracy of a 10-nearest-neighbour classifier; codes are `n x d`."""
    from sklearn.neighbors import KNeighborsClassifier

    # scikit-learn takes real numbers, such as the scales of sprites, for no classes.
    values, numbers = np.unique(train_labels, return_inverse=True)
    classifier = KNeighborsClassifier(min(NEIGHBOURS, len(train_codes))).fit(train_codes, numbers)
    return float(np.mean(values[classifier.predict(test_codes)] == test_labels))


def r_squared(train_codes, train_values, test_codes, test_values) -> float:
    """Test R^2 of a 10-nearest-neighbour regression; codes are `n x d`. At or below 0: knows nothing."""
    from sklearn.neighbors import KNeighborsRegressor

    regressor = KNeighborsRegressor(min(NEIGHBOURS, len(train_codes)))
    return float(regressor.fit(train_codes, train_values).score(test_codes, test_values))


def majority_rate(train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """The test accuracy of naming the most frequent training class every time."""
    values, counts = np.unique(train_labels, return_counts=True)
    return float(np.mean(test_labels == values[counts.argmax()]))
