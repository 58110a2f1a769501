"""kNN probes: D (kNN) of single latents, and the predictability of factors from whole spaces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vitae import InputError
from vitae.metrics import d_score, knn, predictability
from vitae.metrics.arrays import equal_frequency_classes
from vitae.metrics.dci import disentanglement


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        (np.eye(4), 1.0),
        (np.ones((3, 4)), 0.0),
        ([[1, 1, 0, 0], [0, 0, 1, 0]], (2 / 3) * (1 - np.log(2) / np.log(4)) + 1 / 3),
        ([[0.5, 0, 0, 0], [0, 0, 0, 0]], 1.0),
        (np.zeros((2, 4)), 0.0),
    ],
)
def test_disentanglement_has_closed_forms(importance, expected):
    assert disentanglement(np.array(importance, float))[0] == pytest.approx(expected)


@given(arrays.arrays(float, (4, 3), elements=st.floats(0, 1)))
def test_disentanglement_is_between_0_and_1_and_invariant_to_order(importance):
    score, per_latent = disentanglement(importance)
    assert -1e-9 <= score <= 1 + 1e-9
    assert disentanglement(importance[::-1, ::-1])[0] == pytest.approx(score)
    assert per_latent.min() >= -1e-9


def test_the_order_of_points_tells_nothing_about_equal_codes():
    """Sorted by the factor, the first of equally near points would all have the smallest values."""
    values = np.linspace(-1, 1, 2000)
    codes = np.ones((2000, 1))
    found = predictability(codes, values[:, None], test=(codes, values[:, None]), classes=[False], names=["x"])
    assert found.by_factor["x"].reached == pytest.approx(-1 / knn.NEIGHBOURS, abs=0.05)


@pytest.fixture
def factors():
    random = np.random.default_rng(0)
    return np.column_stack([random.integers(0, 10, 3000), random.uniform(-1, 1, 3000), random.uniform(-1, 1, 3000)])


CLASSES = (True, False, False)
TRAIN, TEST = slice(2000), slice(2000, None)


def of_parts(score, codes, factors, classes=CLASSES):
    return score(codes[TRAIN], factors[TRAIN], test=(codes[TEST], factors[TEST]), classes=classes)


def test_codes_that_are_the_factors_score_nearly_one(factors):
    # A little noise, so that no two codes are equal and the order of ties does not matter.
    codes = factors + 1e-3 * np.random.default_rng(1).normal(size=factors.shape)
    result = of_parts(d_score, codes, factors)
    # Importances of a hundredth, which are chance, cost this score several hundredths; D* counts them as nothing.
    assert result.score > 0.92
    assert np.diag(result.importance).min() > 0.9
    assert of_parts(d_score, -codes[:, ::-1], factors).score == pytest.approx(result.score, abs=1e-6)


def test_codes_that_mix_all_factors_score_low(factors):
    standard = (factors - factors.mean(0)) / factors.std(0)
    mixed = standard @ (np.full((3, 3), 2) - 3 * np.eye(3)) / 3
    assert of_parts(d_score, mixed, factors).score < 0.4


def test_importance_is_the_gain_over_the_majority_rate():
    labels = np.array([0.0] * 75 + [1.0] * 25)
    factors = np.column_stack([labels, np.linspace(0, 1, 100)])
    perfect, useless = labels[:, None], np.zeros((100, 1))
    codes = np.hstack([perfect, useless])
    importance = d_score(codes, factors, test=(codes, factors), classes=(True, False)).importance
    assert importance[0, 0] == pytest.approx(1.0)
    assert importance[1, 0] == 0.0


def test_collapsed_latents_and_constant_factors_are_accepted(factors):
    """The importance of a collapsed latent is chance, which is not always 0 as the neighbours are arbitrary."""
    constant = np.column_stack([factors[:, :2], np.full(len(factors), 3.0)])
    result = of_parts(d_score, np.zeros((3000, 1)), constant, (True, False, True))
    assert result.importance.max() < 0.03
    assert result.importance[0, 2] == 0.0


def test_ten_classes_are_equally_frequent_in_the_training_values():
    values = np.random.default_rng(0).exponential(size=5000)
    classes = equal_frequency_classes(values, values)
    assert np.bincount(classes).tolist() == [500] * 10
    assert equal_frequency_classes(np.array([-1.0, 1e9]), values).tolist() == [0, 9]


def test_predictability_is_accuracy_for_classes_and_r_squared_for_continuous_factors(factors):
    probes = of_parts(predictability, factors[:, :2], factors).by_factor
    digit, encoded, other = (probe.reached for probe in probes.values())
    assert list(probes) == ["factor 1", "factor 2", "factor 3"]
    assert digit == pytest.approx(1.0, abs=0.01)
    assert encoded > 0.98
    assert other < 0.05


def test_knn_with_fewer_points_than_neighbours_uses_all_points():
    codes = np.arange(4.0)[:, None]
    assert knn.r_squared(codes, codes[:, 0], codes, codes[:, 0]) == pytest.approx(0.0)


def test_r_squared_of_independent_codes_is_minus_one_over_k():
    random = np.random.default_rng(0)
    codes, values = random.normal(size=(20_000, 2)), random.normal(size=20_000)
    found = knn.r_squared(codes[:10_000], values[:10_000], codes[10_000:], values[10_000:])
    assert found == pytest.approx(-1 / knn.NEIGHBOURS, abs=0.02)


def test_arrays_that_do_not_fit_each_other_are_refused(factors):
    codes = factors.copy()
    with pytest.raises(InputError, match=r"there are 2,000 codes and 1,999 rows of factors"):
        d_score(codes[TRAIN], factors[:1999], test=(codes[TEST], factors[TEST]), classes=CLASSES)
    with pytest.raises(InputError, match="there are 3 factors and 2 entries in classes"):
        of_parts(predictability, codes, factors, CLASSES[:2])
    with pytest.raises(InputError, match="needs at least two factors, got 1"):
        of_parts(d_score, codes, factors[:, :1], (True,))
    with pytest.raises(InputError, match="there are 3 codes to train on and 2 to test on"):
        predictability(codes[TRAIN], factors[TRAIN], test=(codes[TEST, :2], factors[TEST]))
    with pytest.raises(InputError, match="there are no codes"):
        predictability(codes[:0], factors[:0], test=(codes[TEST], factors[TEST]))
    codes[-1, 0] = np.nan
    with pytest.raises(InputError, match="1 of the test codes are not finite"):
        of_parts(d_score, codes, factors)


def test_class_labels_are_any_numbers(factors):
    """For instance the scales of dSprites, real numbers on a grid."""
    codes = factors + 0.1 * np.random.default_rng(1).normal(size=factors.shape)
    relabelled = factors.copy()
    relabelled[:, 0] = 0.5 + 0.1 * factors[:, 0]
    assert of_parts(d_score, codes, relabelled).score == of_parts(d_score, codes, factors).score
    probe = of_parts(predictability, codes, relabelled).by_factor["factor 1"]
    assert probe == of_parts(predictability, codes, factors).by_factor["factor 1"]
    assert probe.score == pytest.approx((probe.reached - probe.guessing) / (1 - probe.guessing))
    assert probe.reached > 0.95


def test_an_uninformative_space_leaks_nothing(factors):
    codes = np.random.default_rng(1).normal(size=(3000, 2))
    of_class, of_number, _ = of_parts(predictability, codes, factors).by_factor.values()
    assert of_class.guessing == pytest.approx(0.1, abs=0.02)
    assert of_class.score < 0.03
    # Eleven unrelated neighbours; the rest is chance.
    assert of_number.guessing == -1 / 11
    assert of_number.score < 0.03
