"""Intervals, paired differences and the best model against numbers worked out by hand."""

import math

import numpy as np
import pytest
from example_record import example_record

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


def test_differences_are_paired_by_seed():
    """Seeds that only one model has do not count; shifts that both share at a seed cancel."""
    records = [example_record("c-vitae", seed, d=d) for seed, d in ((0, 0.5), (1, 0.9), (2, 0.7), (7, 0.1))]
    records += [example_record("vae", seed, d=d) for seed, d in ((0, 0.4), (1, 0.8), (2, 0.6))]
    gap = statistics.paired(records, "c-vitae", "vae", "d_score")
    assert (gap.mean, gap.half_width, gap.seeds) == (pytest.approx(0.1), pytest.approx(0, abs=1e-12), 3)
    assert statistics.paired(records, "c-vitae", "u-vitae", "d_score") is None


def test_models_are_in_the_order_of_the_tables_and_others_follow_by_name():
    models = ["x-other", "did", "c-vitae", "a-other", "vae", "devae"]
    records = [example_record(model) for model in models]
    assert statistics.models_of(records) == ["vae", "c-vitae", "devae", "did", "a-other", "x-other"]


def test_guessing_is_read_from_the_record():
    assert statistics.guessing(example_record(), "digit") == 0.12


def test_nearest_neighbours_of_noise_reach_minus_one_over_k():
    """So an R² of -0.1 by ten neighbours means no knowledge of a factor, as `guessing` explains."""
    codes, factor = np.random.default_rng(0).normal(size=(2, 4000, 1))
    assert r_squared(codes[:2000], factor[:2000, 0], codes[2000:], factor[2000:, 0]) == pytest.approx(-0.1, abs=0.03)
