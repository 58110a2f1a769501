"""Separability: how well codes tell a class from all others, as the area under the ROC curve.

Of attributes that few images have, accuracy says little: who always says no is mostly right. The area is the chance
that an image that has the attribute is ranked above one that has not, 0.5 for guessing, whatever the proportion.
"""

import numpy as np

from vitae.metrics.arrays import numbers


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve of a ranking, ties counted as half; nan if one of the two kinds is missing.

    Args:
        scores: larger is more likely positive, `n`.
        positive: which are, bool, `n`.
    """
    from scipy.stats import rankdata

    ranks, count = rankdata(scores), int(np.sum(positive))
    others = len(positive) - count
    if count == 0 or others == 0:
        return float("nan")
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def separability(
    train_codes: np.ndarray, train_positive: np.ndarray, test_codes: np.ndarray, test_positive: np.ndarray
) -> float:
    """Test area under the ROC curve of a logistic regression on standardised codes.

    nan if a part lacks one of the two kinds.

    Args:
        train_codes, test_codes: posterior means of a latent space, `n x d`.
        train_positive, test_positive: which images have the attribute, bool, `n`.

    Raises:
        InputError: codes that are no numbers.
    """
    from sklearn.linear_model import LogisticRegression

    train_codes, test_codes = numbers("train codes", train_codes), numbers("test codes", test_codes)
    if len(np.unique(train_positive)) < 2:
        return float("nan")
    centre, spread = train_codes.mean(0), np.maximum(train_codes.std(0), 1e-12)
    model = LogisticRegression(max_iter=1_000).fit((train_codes - centre) / spread, train_positive)
    return auc(model.decision_function((test_codes - centre) / spread), test_positive)
