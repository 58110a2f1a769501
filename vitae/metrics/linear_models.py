"""The linear classifiers that define some scores: scikit-learn's, with the settings of the original studies."""

import warnings

import numpy as np

# scikit-learn is imported where it is used: it takes as long to import as torch, and only scoring needs it.


def logistic_regression(x: np.ndarray, y: np.ndarray):
    """A fitted logistic regression with L2 penalty, C = 1; x is `n x d`, y the classes, `n`."""
    from sklearn.linear_model import LogisticRegression

    return _fitted(LogisticRegression(max_iter=1_000), x, y)


def linear_svm(x: np.ndarray, y: np.ndarray):
    """A fitted linear support vector machine with C = 0.01 and balanced classes; x is `n x d`, y the classes, `n`."""
    from sklearn.svm import LinearSVC

    return _fitted(LinearSVC(C=0.01, class_weight="balanced"), x, y)


def _fitted(classifier, x: np.ndarray, y: np.ndarray):
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Full convergence is not needed here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(x, y)
