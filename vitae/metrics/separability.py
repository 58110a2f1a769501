"""Separability: how well codes separate one class from all others, as the area under the ROC curve (AUC).

For rare attributes, accuracy says little: always predicting "absent" is mostly right. The AUC is the probability that
an image with the attribute is ranked above one without it, 0.5 for guessing at any class frequency.
"""

import numpy as np

from vitae.metrics.arrays import numbers

# scikit-learn is imported where it is used: it takes as long to import as torch, and only scoring needs it.


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve; ties count half; nan if all or none are positive.

    Args:
        scores: larger means more likely positive, `n`.
        positive: the true classes, bool, `n`.
    """
    from sklearn.metrics import roc_auc_score

    if np.all(positive) or not np.any(positive):
        return float("nan")
    return float(roc_auc_score(positive, scores))


def separability(
    train_codes: np.ndarray, train_positive: np.ndarray, test_codes: np.ndarray, test_positive: np.ndarray
) -> float:
    """Test AUC of a logistic regression on standardised codes; nan if one part has only one class.

    Args:
        train_codes, test_codes: posterior means of a latent space, `n x d`.
        train_positive, test_positive: which images have the attribute, bool, `n`.

    Raises:
        InputError: the codes are not numbers.
    """
    from sklearn.linear_model import LogisticRegression

    train_codes, test_codes = numbers("train codes", train_codes), numbers("test codes", test_codes)
    if len(np.unique(train_positive)) < 2:
        return float("nan")
    centre, spread = train_codes.mean(0), np.maximum(train_codes.std(0), 1e-12)
    model = LogisticRegression(max_iter=1_000).fit((train_codes - centre) / spread, train_positive)
    return auc(model.decision_function((test_codes - centre) / spread), test_positive)
