import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitae.metrics.separability import auc, separability


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=4, max_size=60))
def test_auc_is_the_fraction_of_pairs_in_the_right_order_with_ties_as_half(pairs):
    scores, positive = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if positive.all() or not positive.any():
        assert math.isnan(auc(scores, positive))
    else:
        difference = scores[positive][:, None] - scores[~positive]
        expected = np.mean((difference > 0) + (difference == 0) / 2)
        assert auc(scores, positive) == pytest.approx(expected, abs=1e-12)


def test_codes_that_encode_a_class_linearly_separate_it_and_noise_does_not():
    random = np.random.RandomState(0)
    codes, noise = random.randn(2000, 3), random.randn(2000, 3)
    positive = codes @ [1.0, -2.0, 0.0] > 1.5
    halves = slice(0, 1000), slice(1000, None)
    train, test = halves
    assert separability(codes[train], positive[train], codes[test], positive[test]) > 0.99
    assert separability(noise[train], positive[train], noise[test], positive[test]) == pytest.approx(0.5, abs=0.06)
    # Units and offsets do not matter.
    scaled = codes * [1e4, 1e-4, 1] + 7
    assert separability(scaled[train], positive[train], scaled[test], positive[test]) > 0.99


def test_separability_is_nan_if_a_part_has_only_one_class():
    codes = np.arange(8.0)[:, None]
    some, none = np.array([True, False] * 4), np.zeros(8, bool)
    assert math.isnan(separability(codes, none, codes, some))
    assert math.isnan(separability(codes, some, codes, none))
