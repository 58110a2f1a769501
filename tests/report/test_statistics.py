"""Intervals, differences and the best model against numbers worked out by hand."""

import math

import numpy as np
import pytest
from example_record import example_record
from scipy import stats

from vitae.metrics.knn import r_squared
from vitae.report import statistics


def test_an_interval_is_students_t():
    interval = statistics.Interval.of([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.302653 from a table; standard deviation 1.
    assert (interval.mean, interval.half_width) == (2.0, pytest.approx(4.302653 / math.sqrt(3), abs=1e-5))
    assert interval.text(1) == "2.0 ± 2.5"
    assert statistics.Interval.of([1.234]).text(1) == "1.2"


def test_null_scores_are_left_out_of_the_mean():
    missing = example_record("vae", 1)
    missing["scores"]["test_elbo"]["mean"] = None
    assert statistics.intervals([example_record("vae", 0, elbo=-100.0), missing], "test_elbo")["vae"].mean == -100.0


def test_differences_are_welchs():
    """Against scipy's own test; seeds are not paired, and one side may have more of them."""
    ours, theirs = [0.5, 0.9, 0.7, 0.1], [0.4, 0.45, 0.5]
    records = [example_record("c-vitae", seed, d=d) for seed, d in enumerate(ours)]
    records += [example_record("vae", seed + 5, d=d) for seed, d in enumerate(theirs)]
    gap = statistics.difference(records, "c-vitae", "vae", "d_score")
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert (gap.mean - gap.half_width, gap.mean + gap.half_width) == pytest.approx((low, high))
    assert (gap.freedom, gap.seeds) == (pytest.approx(expected.df), 3)
    assert gap.chance_below(0) == pytest.approx(
        stats.ttest_ind(ours, theirs, equal_var=False, alternative="greater").pvalue
    )
    assert gap.chance_above(0) == pytest.approx(1 - gap.chance_below(0))
    assert statistics.difference(records, "c-vitae", "u-vitae", "d_score") is None


def test_a_difference_from_a_single_run_has_no_interval():
    gap = statistics.Interval.difference([1.0, 2.0], [0.5])
    assert gap.mean == 1.0
    assert math.isnan(gap.half_width)
    assert math.isnan(gap.chance_below(0))


def test_holms_method_by_hand():
    # Sorted: .01 * 4, .02 * 3, .03 * 2 (not below the one before), .5 * 1; an unknown one does not count.
    adjusted = statistics.holm([0.02, math.nan, 0.01, 0.5, 0.03])
    assert adjusted == pytest.approx([0.06, math.nan, 0.04, 0.5, 0.06], nan_ok=True)
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]


def test_models_are_in_the_order_of_the_tables_and_others_follow_by_name():
    models = ["x-other", "did", "c-vitae", "a-other", "vae", "devae"]
    records = [example_record(model) for model in models]
    assert statistics.models_of(records) == ["vae", "c-vitae", "devae", "did", "a-other", "x-other"]


def test_guessing_is_read_from_the_record():
    assert statistics.guessing(example_record(), "digit") == 0.12


def test_nearest_neighbours_of_noise_reach_minus_one_over_k():
    """So an R² of -1/11 by eleven neighbours means no knowledge of a factor, as `guessing` explains."""
    codes, factor = np.random.default_rng(0).normal(size=(2, 4000, 1))
    assert r_squared(codes[:2000], factor[:2000, 0], codes[2000:], factor[2000:, 0]) == pytest.approx(-1 / 11, abs=0.02)


def test_shares_lie_between_guessing_and_certainty():
    record = example_record(digit=0.56)
    # Guessing is right in 0.12, so 0.56 is half of the way to 1.
    assert statistics.share_gained(record, "z:digit") == pytest.approx(0.5)
