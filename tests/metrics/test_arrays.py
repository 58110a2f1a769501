"""Input of the scores: error messages, classes of factors, and the split into training and test points."""

import numpy as np
import pytest
import torch

from vitae import InputError
from vitae.metrics import dci, factor_vae_score, irs, mig, report, sap, total_correlation
from vitae.metrics.arrays import parts, points

RANDOM = np.random.default_rng(0)
CODES = RANDOM.normal(size=(90, 3))
FACTORS = np.column_stack([np.arange(90) % 3, np.arange(90) % 2])


def with_entry(table, value):
    changed = np.array(table, float)
    changed[4, 1] = value
    return changed


BAD = [
    (np.ones((90, 3)), FACTORS, "all codes are constant: every point has the same code"),
    (CODES[:, :1], FACTORS, "disentanglement needs at least two codes, got 1"),
    (CODES, FACTORS[:, :1], "disentanglement needs at least two factors, got 1"),
    (CODES[:89], FACTORS, "there are 89 codes and 90 rows of factors"),
    (
        CODES[:4],
        FACTORS[:4],
        "factor 1 has [23] classes and there are only [34] training points: give at least",
    ),
    (with_entry(CODES, np.nan), FACTORS, r"1 of the codes are not finite or .* in row 4, column 1 \(counted from 0\)"),
    (with_entry(CODES, -np.inf), FACTORS, "1 of the codes are not finite"),
    (with_entry(CODES, 1e200), FACTORS, "1 of the codes are not finite or exceed 1e.30"),
    (CODES, with_entry(FACTORS, np.nan), "1 of the factors are not finite"),
    (CODES, np.column_stack([FACTORS[:, 0], np.full(90, 7)]), "factor 2 has only one value, 7: leave it out"),
    (CODES, FACTORS.astype(str), r"factors hold text and must be numbers: np.unique\(labels, return_inverse=True\)"),
    (CODES, [["a", {}]] * 90, r"factors cannot be read as an array of numbers: np.unique\(labels"),
    (CODES, np.ma.masked_less(FACTORS, 1), "factors have masked cells: leave out the rows"),
    (CODES, FACTORS.astype(np.int64) + 2**60, "factors hold integers beyond 2.53, which double precision cannot"),
    (CODES + 1j, FACTORS, "codes must be real numbers, got complex128"),
    (CODES, FACTORS[:, 0], r"factors must be a table with one row per point, got the shape \(90,\)"),
    ([[1, 2], [3]], FACTORS, "codes cannot be read as an array of numbers"),
    (np.empty((0, 3)), np.empty((0, 2)), "there are no codes"),
    (None, FACTORS, r"codes must be a table with one row per point, got the shape \(\)"),
]


@pytest.mark.parametrize(("codes", "factors", "complaint"), BAD)
@pytest.mark.parametrize("score", [mig, irs, dci, sap, factor_vae_score, report], ids=lambda score: score.__name__)
def test_bad_input_is_refused_in_one_line(score, codes, factors, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        score(codes, factors)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"names": ["a"]}, "there are 2 factors and 1 entries in names"),
        ({"classes": [True] * 3}, "there are 2 factors and 3 entries in classes"),
        ({"seed": -1}, "seed must be a whole number of 0 or more"),
        ({"test": CODES}, "test must be a pair"),
        ({"test": (CODES[:, :2], FACTORS)}, "there are 3 codes to train on and 2 to test on"),
        ({"test": (CODES[:5], FACTORS)}, "there are 5 test codes and 90 rows of test factors"),
        ({"test": (CODES[:1], FACTORS[:1])}, "1 points to test on are too few"),
        ({"test": (with_entry(CODES, np.nan), FACTORS)}, "1 of the test codes are not finite or .* in row 4, column 1"),
        ({"names": ["a", "a"]}, "names must be distinct, but a occurs more than once"),
        ({"names": ["a", ""]}, "names must be printable text, got ''"),
        ({"names": ["a", "\udcff"]}, "names must be printable text"),
        ({"names": "ab"}, "names must be a list of names, got 'ab'"),
        ({"classes": True}, "classes must be a list with True or False for each factor"),
        ({"classes": ["True", "no"]}, "classes must be a list with True or False for each factor"),
        ({"spaces": ["z"]}, "spaces must map the names of latent spaces to their sizes"),
        ({"test": (CODES, FACTORS.astype(str))}, "test factors hold text"),
        ({"spaces": {"z": 2}}, "the sizes of spaces add up to 2, but there are 3 codes"),
        ({"spaces": {"z": 0}}, "the size of z must be a whole number of 1 or more"),
    ],
)
def test_bad_settings_are_refused(settings, complaint):
    with pytest.raises(InputError, match=complaint):
        report(CODES, FACTORS, **settings)


def test_total_correlation_refuses_the_same_codes():
    with pytest.raises(InputError, match="all codes are constant"):
        total_correlation(np.ones((5, 2)))
    with pytest.raises(InputError, match="codes hold text"):
        total_correlation(np.array([["a", "b"]]))


def test_a_constant_code_among_others_is_uninformative_and_not_an_error():
    found = report(np.column_stack([CODES, np.ones(90)]), FACTORS, fast=True)
    for matrix in (found.dci.importance, found.mig.information, found.d_score.importance):
        assert matrix[3].tolist() == [0, 0]
    assert found.modularity.per_code[3] == 0
    assert np.isfinite(found.irs.score)


def test_factors_with_few_values_are_classes_and_others_are_cut_into_ten():
    factors = np.column_stack([np.arange(200) % 5 / 10, np.linspace(0, 1, 200) ** 3])
    population = points(RANDOM.normal(size=(200, 2)), factors)
    assert population.classes == (True, False)
    assert np.unique(population.labels[:, 0]).tolist() == [0, 1, 2, 3, 4]
    assert np.bincount(population.labels[:, 1]).tolist() == [20] * 10
    assert points(RANDOM.normal(size=(200, 2)), factors, classes=[False, False]).classes == (False, False)


def test_continuous_factors_are_cut_into_classes_that_are_equally_frequent_in_training():
    codes, factors = RANDOM.normal(size=(300, 2)), RANDOM.exponential(size=(300, 2))
    train, _ = parts(codes, factors, seed=1)
    for column in train.labels.T:
        assert np.bincount(column).tolist() == [20] * 10
    again, held_out = parts(codes[:200], factors[:200], test=(codes[200:], factors[200:] * 1e6))
    assert np.bincount(again.labels[:, 0]).tolist() == [20] * 10
    assert (held_out.labels[:, 0] == 9).all()


def test_a_nearly_constant_factor_cannot_be_cut():
    mostly = np.where(np.arange(300) % 20 == 0, np.linspace(1, 2, 300), 0.0)
    with pytest.raises(InputError, match="most values of b are equal, so it cannot be cut"):
        mig(
            RANDOM.normal(size=(300, 2)),
            np.column_stack([np.arange(300) % 3, mostly]),
            names=["a", "b"],
            classes=[True, False],
        )


def test_test_points_do_not_decide_which_factors_are_classes():
    codes, factors = RANDOM.normal(size=(150, 2)), np.column_stack([np.arange(150) % 3, np.arange(150) % 2])
    other = np.column_stack([np.linspace(0, 2, 150), np.arange(150) % 2])
    train, _ = parts(codes, factors, test=(codes, other))
    assert train.classes == (True, True)
    assert len(np.unique(train.labels[:, 0])) == 3


def test_few_points_are_split_into_two_thirds_and_one_third_without_overlap():
    codes = np.arange(90 * 2).reshape(90, 2)
    train, test = parts(codes, FACTORS, seed=2)
    assert (len(train), len(test)) == (60, 30)
    assert set(train.codes[:, 0]) | set(test.codes[:, 0]) == set(codes[:, 0])
    assert not np.array_equal(train.codes, parts(codes, FACTORS, seed=3)[0].codes)


def test_many_points_are_split_into_10_000_and_5_000():
    codes, factors = RANDOM.normal(size=(40_000, 2)), RANDOM.integers(0, 3, (40_000, 2))
    train, test = parts(codes, factors)
    assert (len(train), len(test)) == (10_000, 5_000)
    assert not set(train.codes[:, 0]) & set(test.codes[:, 0])


def test_tensors_lists_and_other_types_are_accepted():
    expected = mig(CODES, FACTORS).score
    tensor = torch.tensor(CODES, requires_grad=True)
    assert mig(tensor, FACTORS.tolist()).score == expected
    assert mig(CODES.astype(object), FACTORS).score == expected
    assert mig(CODES.astype(np.float32), FACTORS.astype(bool) | FACTORS.astype(np.int8)).score == pytest.approx(
        mig(CODES, FACTORS).score, abs=1e-6
    )
