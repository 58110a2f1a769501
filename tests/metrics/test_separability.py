import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from vitae.metrics.separability import auc, separability


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=4, max_size=60))
def test_auc_is_scikit_learns_also_with_ties(pairs):
    scores, positive = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if positive.all() or not positive.any():
        assert math.isnan(auc(scores, positive))
    else:
        assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_codes_that_hold_a_class_along_some_direction_separate_it_and_noise_does_not():
    random = np.random.RandomState(0)
    codes, noise = random.randn(2000, 3), random.randn(2000, 3)
    positive = codes @ [1.0, -2.0, 0.0] > 1.5
    halves = slice(0, 1000), slice(1000, None)
    train, test = halves
    assert separability(codes[train], positive[train], codes[test], positive[test]) > 0.99
    assert separability(noise[train], positive[train], noise[test], positive[test]) == pytest.approx(0.5, abs=0.06)
    # Neither units nor offsets matter.
    scaled = codes * [1e4, 1e-4, 1] + 7
    assert separability(scaled[train], positive[train], scaled[test], positive[test]) > 0.99


def test_a_class_that_a_part_lacks_has_no_area():
    codes = np.arange(8.0)[:, None]
    some, none = np.array([True, False] * 4), np.zeros(8, bool)
    assert math.isnan(separability(codes, none, codes, some))
    assert math.isnan(separability(codes, some, codes, none))
