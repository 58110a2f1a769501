"""How well codes predict factors: k nearest neighbours, on one latent or on a whole space.

A nearest-neighbour predictor assumes nothing of the shape of the relation and has no setting but k, so a latent that
holds a factor in a twisted form still gets credit.
"""

import numpy as np

from vitae.metrics.arrays import LARGEST, numbers
from vitae.support.errors import InputError

# scikit-learn is imported where it is used: it takes as long to import as torch, and only scoring needs it.

NEIGHBOURS = 10


def checked_arrays(train_codes, train_factors, test_codes, test_factors, classes) -> list[np.ndarray]:
    """The four tables as float64, refused if no score could be computed of them, or a wrong one.

    Raises:
        InputError: naming what does not fit.
    """
    found = []
    for part, codes, factors in (("train", train_codes, train_factors), ("test", test_codes, test_factors)):
        codes, factors = numbers(f"{part} codes", codes), numbers(f"{part} factors", factors)
        if len(codes) != len(factors) or len(codes) == 0 or codes.shape[1] == 0:
            raise InputError(
                f"{part} codes must be n x d and {part} factors n x k with the same n above 0, got "
                f"{codes.shape} and {factors.shape}."
            )
        if factors.shape[1] != len(classes):
            raise InputError(f"there are {factors.shape[1]} {part} factors and {len(classes)} entries in classes.")
        for what, table in (("codes", codes), ("factors", factors)):
            if not (np.abs(table) <= LARGEST).all():
                raise InputError(f"some {part} {what} are not finite: look at the training of the model they are from.")
        found += [codes, factors]
    if found[0].shape[1] != found[2].shape[1]:
        raise InputError(f"there are {found[0].shape[1]} train codes and {found[2].shape[1]} test codes a point.")
    return found


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
