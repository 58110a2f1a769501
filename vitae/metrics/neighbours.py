"""How well codes predict factors: k nearest neighbours, on one latent or on a whole space.

A nearest-neighbour predictor assumes nothing of the shape of the relation and has no setting but k, so a latent that
holds a factor in a twisted form still gets credit.
"""

import numpy as np

# scikit-learn is imported where it is used: it takes as long to import as torch, and only scoring needs it.

NEIGHBOURS = 10


def equal_frequency_classes(values: np.ndarray, reference: np.ndarray, count: int = 10) -> np.ndarray:
    """Cut continuous values into `count` classes that are equally frequent in `reference`; `n` integers."""
    edges = np.quantile(reference, np.linspace(0, 1, count + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")


def accuracy(train_codes, train_labels, test_codes, test_labels) -> float:
    """Test accuracy of a 10-nearest-neighbour classifier; codes are `n x d`."""
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(min(NEIGHBOURS, len(train_codes)))
    return float(classifier.fit(train_codes, train_labels).score(test_codes, test_labels))


def r_squared(train_codes, train_values, test_codes, test_values) -> float:
    """Test R^2 of a 10-nearest-neighbour regression; codes are `n x d`. At or below 0: knows nothing."""
    from sklearn.neighbors import KNeighborsRegressor

    regressor = KNeighborsRegressor(min(NEIGHBOURS, len(train_codes)))
    return float(regressor.fit(train_codes, train_values).score(test_codes, test_values))
