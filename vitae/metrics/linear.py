"""The linear classifiers that scores are defined by: scikit-learn's, with the settings of the original studies."""

import warnings

import numpy as np

# scikit-learn is imported where it is used: it takes as long to import as torch, and only scoring needs it.


def logistic_regression(x: np.ndarray, y: np.ndarray):
    """A fitted logistic regression, with an L2 penalty of C = 1; x is `n x d`."""
    from sklearn.linear_model import LogisticRegression

    return _fitted(LogisticRegression(max_iter=1_000), x, y)


def support_vectors(x: np.ndarray, y: np.ndarray):
    """A fitted linear support vector machine, C = 0.01, every class of the same weight; x is `n x d`."""
    from sklearn.svm import LinearSVC

    return _fitted(LinearSVC(C=0.01, class_weight="balanced"), x, y)


def _fitted(classifier, x: np.ndarray, y: np.ndarray):
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # That it stopped before its last digit is no news to those who read a score.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(x, y)
