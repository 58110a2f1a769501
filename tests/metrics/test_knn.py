import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vitae import InputError
from vitae.metrics import d_score, leak, neighbours, predictability
from vitae.metrics.arrays import equal_frequency_classes
from vitae.metrics.d_score_knn import least_beyond_chance, score_beyond
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
def test_closed_forms(importance, expected):
    assert disentanglement(np.array(importance, float))[0] == pytest.approx(expected)


@settings(deadline=None)
@given(arrays.arrays(float, (4, 3), elements=st.floats(0, 1)))
def test_between_zero_and_one_and_blind_to_order(importance):
    score, per_latent = disentanglement(importance)
    assert -1e-9 <= score <= 1 + 1e-9
    assert disentanglement(importance[::-1, ::-1])[0] == pytest.approx(score)
    assert per_latent.min() >= -1e-9


@pytest.fixture
def factors():
    random = np.random.default_rng(0)
    return np.column_stack([random.integers(0, 10, 3000), random.uniform(-1, 1, 3000), random.uniform(-1, 1, 3000)])


CLASSES = (True, False, False)


def scored(codes, factors):
    return d_score(codes[:2000], factors[:2000], codes[2000:], factors[2000:], CLASSES)


def test_codes_that_are_the_factors_score_nearly_one(factors):
    # A little noise, so that no two codes are equal and neighbours do not hang on the order of ties.
    codes = factors + 1e-3 * np.random.default_rng(1).normal(size=factors.shape)
    result = scored(codes, factors)
    assert result.score > 0.95
    assert np.diag(result.importance).min() > 0.9
    assert scored(-codes[:, ::-1], factors).score == pytest.approx(result.score, abs=1e-6)


def test_codes_that_mix_all_factors_score_low(factors):
    standard = (factors - factors.mean(0)) / factors.std(0)
    mixed = standard @ (np.full((3, 3), 2) - 3 * np.eye(3)) / 3
    assert scored(mixed, factors).score < 0.4


def test_importance_is_the_gain_over_the_majority_rate():
    labels = np.array([0.0] * 75 + [1.0] * 25)
    factors = np.column_stack([labels, np.linspace(0, 1, 100)])
    perfect, useless = labels[:, None], np.zeros((100, 1))
    codes = np.hstack([perfect, useless])
    importance = d_score(codes, factors, codes, factors, (True, False)).importance
    assert importance[0, 0] == pytest.approx(1.0)
    assert importance[1, 0] == 0.0


def test_ten_classes_are_equally_frequent_in_the_training_values():
    values = np.random.default_rng(0).exponential(size=5000)
    classes = equal_frequency_classes(values, values)
    assert np.bincount(classes).tolist() == [500] * 10
    assert equal_frequency_classes(np.array([-1.0, 1e9]), values).tolist() == [0, 9]


def test_predictability_is_accuracy_for_classes_and_r_squared_for_the_others(factors):
    codes = factors[:, :2]
    digit, known, unknown = predictability(codes[:2000], factors[:2000], codes[2000:], factors[2000:], CLASSES)
    assert digit == pytest.approx(1.0, abs=0.01)
    assert known > 0.98
    assert unknown < 0.05


def test_neighbours_on_a_handful_of_codes_use_all_of_them():
    codes = np.arange(4.0)[:, None]
    assert neighbours.r_squared(codes, codes[:, 0], codes, codes[:, 0]) == pytest.approx(0.0)


def test_arrays_that_do_not_belong_together_are_named(factors):
    codes = factors.copy()
    half = len(codes) // 2
    with pytest.raises(InputError, match=r"train codes must be n x d .* got \(1500, 3\) and \(1499, 3\)"):
        d_score(codes[:half], factors[: half - 1], codes[half:], factors[half:], CLASSES)
    with pytest.raises(InputError, match="there are 3 train factors and 2 entries in classes"):
        predictability(codes[:half], factors[:half], codes[half:], factors[half:], CLASSES[:2])
    with pytest.raises(InputError, match="needs two factors or more"):
        d_score(codes[:half], factors[:half, :1], codes[half:], factors[half:, :1], (True,))
    codes[-1, 0] = np.nan
    with pytest.raises(InputError, match="some test codes are not finite"):
        scored(codes, factors)


def test_classes_may_be_named_by_any_numbers(factors):
    """As the scales of sprites are: real numbers on a grid."""
    codes = factors + 0.1 * np.random.default_rng(1).normal(size=factors.shape)
    named = factors.copy()
    named[:, 0] = 0.5 + 0.1 * factors[:, 0]
    assert scored(codes, named).score == scored(codes, factors).score
    classes = {"train_codes": codes[:2000], "test_codes": codes[2000:], "is_class": True}
    known = leak(train_factor=named[:2000, 0], test_factor=named[2000:, 0], **classes)
    assert known == leak(train_factor=factors[:2000, 0], test_factor=factors[2000:, 0], **classes)
    assert known.score == pytest.approx((known.reached - known.guessing) / (1 - known.guessing))
    assert known.reached > 0.95


def test_a_space_that_knows_nothing_leaks_nothing(factors):
    codes = np.random.default_rng(1).normal(size=(3000, 2))
    of_class = leak(codes[:2000], factors[:2000, 0], codes[2000:], factors[2000:, 0], is_class=True)
    assert of_class.guessing == pytest.approx(0.1, abs=0.02)
    assert of_class.score < 0.03
    number = leak(codes[:2000], factors[:2000, 1], codes[2000:], factors[2000:, 1], is_class=False)
    assert (number.guessing, number.score) == (0.0, 0.0)


def test_traces_of_chance_count_until_a_threshold_says_otherwise():
    importance = np.array([[0.5, 0.004], [0.006, 0.3], [0.2, 0.1]])
    assert score_beyond(importance, 0.0) == disentanglement(importance)[0]
    # Two latents of one factor, and one of two, weighted by what they know; the binary entropy of 1/3 in bits.
    entropy = -(np.log2(1 / 3) / 3 + 2 * np.log2(2 / 3) / 3)
    assert score_beyond(importance, 0.01) == pytest.approx((0.5 + 0.3 + 0.3 * (1 - entropy)) / 1.1)
    assert score_beyond(importance, 0.15) == 1.0
    assert score_beyond(importance, 0.6) == 0.0


def test_few_guessers_exceed_what_counts_as_beyond_chance():
    assert least_beyond_chance(10_000) == pytest.approx(0.01)
    hits = np.random.default_rng(0).binomial(2_000, 0.1, 20_000) / 2_000
    gained = (hits - 0.1) / 0.9
    # One in six lies above one standard error, one in 741 above three.
    assert np.mean(gained > least_beyond_chance(2_000, errors=1)) == pytest.approx(0.159, abs=0.015)
    assert 0 < np.mean(gained > least_beyond_chance(2_000)) < 0.003
