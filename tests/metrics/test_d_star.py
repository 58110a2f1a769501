"""D*: hand-made cases in closed form, an independent computation, and what may not change it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from vitae import InputError, data
from vitae.metrics import d_star
from vitae.metrics.d_star import Probed, averaged, best_split, probe, score_of
from vitae.metrics.examples import SIZES, drawn_factors, standardised

CLASSES = (True, False, False)
TRAIN, TEST = 3_000, 1_500


def drawn(count, seed):
    """A class of four, and two numbers; independent."""
    random = np.random.default_rng(seed)
    return np.column_stack([random.integers(4, size=count), random.uniform(-1, 1, (count, 2))])


FACTORS, TEST_FACTORS = drawn(TRAIN, 0), drawn(TEST, 1)
NOISE, TEST_NOISE = (np.random.default_rng(seed).standard_normal((n, 4)) for seed, n in ((2, TRAIN), (3, TEST)))


def scored(codes, test_codes, **settings):
    settings = {"classes": CLASSES, "permutations": 30, **settings}
    return d_star(codes, FACTORS, test=(test_codes, TEST_FACTORS), **settings)


def probed(reached, chance=0.0, spread=0.0):
    reached = np.array(reached, float)
    return Probed(reached, np.full_like(reached, chance), np.full_like(reached, spread))


def test_importances_are_the_share_of_the_way_from_chance_to_certainty():
    importance = probed([[1.0, 0.4, 0.25], [0.2, 0.7, 0.1]], chance=0.2, spread=0.02).importance(3.5)
    # 0.25 is 2.5 deviations above chance, and 0.1 is below it.
    assert importance == pytest.approx(np.array([[1.0, 0.25, 0.0], [0.0, 0.625, 0.0]]))


def test_a_probe_that_chance_makes_perfect_has_no_importance():
    assert probed([[1.0]], chance=1.0).importance() == 0


@pytest.mark.parametrize(
    ("importance", "score", "coverage"),
    [
        ([[1, 0], [0, 1]], 1.0, 1.0),
        ([[0.5, 0.5], [0.5, 0.5]], 0.0, 0.5),
        ([[1, 0], [0, 0]], 1.0, 0.5),
        # Two thirds of the importance is pure, and a row of equal halves has the largest entropy.
        ([[1, 0], [0, 1], [0.5, 0.5]], 2 / 3, 1.0),
        # H(1/4, 3/4) in bits.
        ([[0.25, 0.75]], 1 - (0.25 * 2 + 0.75 * np.log2(4 / 3)), 0.5),
        ([[0, 0], [0, 0]], np.nan, 0.0),
    ],
)
def test_d_star_of_importances_has_a_closed_form(importance, score, coverage):
    found = score_of(probed(importance))
    assert found.score == pytest.approx(score, nan_ok=True)
    assert found.coverage == pytest.approx(coverage)


def test_factors_that_count_as_one_are_averaged():
    importance = [[0.9, 0.0, 0.0], [0.0, 0.6, 0.8]]
    assert score_of(probed(importance)).score < 0.8
    found = score_of(probed(importance), factor_groups=[[0], [1, 2]])
    assert found.score == 1
    assert found.coverage == pytest.approx((0.9 + 0.6 + 0.8) / 3)


def test_noise_is_undefined():
    found = scored(NOISE, TEST_NOISE)
    assert np.isnan(found.score)
    assert found.coverage == 0


@pytest.mark.parametrize("dataset", ["mnist", "dsprites", "smpl", "shapes3d"])
def test_perfect_codes_score_one_on_the_factors_of_every_dataset(dataset):
    if dataset in SIZES:
        factors, test_factors = (drawn_factors(SIZES[dataset], n, seed) for seed, n in ((0, 10_000), (1, 2_000)))
        codes, test_codes = (standardised(each, SIZES[dataset]) for each in (factors, test_factors))
        about = data.DATASETS[dataset].load("train", size=4).about
        classes = [factor.kind == "class" for factor in about]
    else:
        random = np.random.default_rng(0)
        spans = {"mnist": (10, 20.0, 3.0, 3.0), "smpl": (1.0, 4)}[dataset]
        classes = [isinstance(span, int) for span in spans]

        def draw(n):
            each = [random.integers(s, size=n) if isinstance(s, int) else random.uniform(-s, s, n) for s in spans]
            return np.column_stack(each)

        factors, test_factors = draw(10_000), draw(2_000)
        codes, test_codes = ((each - factors.mean(0)) / factors.std(0) for each in (factors, test_factors))
    found = d_star(codes, factors, test=(test_codes, test_factors), classes=classes, permutations=20)
    assert found.score >= 0.98
    assert found.coverage >= 0.98


def test_rotated_codes_fall_and_noisy_ones_lose_coverage_only():
    (y, t), angle = (FACTORS, TEST_FACTORS), np.pi / 5
    turn = np.eye(3)
    turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    rotated = scored(y @ turn, t @ turn)
    assert rotated.score < 0.8
    noisy = scored(y + 0.2 * NOISE[:, :3], t + 0.2 * TEST_NOISE[:, :3])
    assert noisy.score > 0.98
    assert 0.5 < noisy.coverage < 0.95


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([-2.0, -1.0, 0.5, 3.0])] * 3))
def test_order_sign_and_scale_of_single_codes_change_nothing(order, factors):
    codes, test_codes = FACTORS + 0.3 * NOISE[:, :3], TEST_FACTORS + 0.3 * TEST_NOISE[:, :3]
    first, second = scored(codes, test_codes), scored(codes[:, order] * factors, test_codes[:, order] * factors)
    # Jitter of other columns moves a few ties only.
    assert second.score == pytest.approx(first.score, abs=0.01)
    assert second.importance == pytest.approx(first.importance[list(order)], abs=0.01)


def test_a_duplicated_code_and_a_code_of_noise_change_nothing():
    perfect = scored(FACTORS, TEST_FACTORS)
    for extra, test_extra in ((FACTORS[:, :1], TEST_FACTORS[:, :1]), (NOISE, TEST_NOISE)):
        found = scored(np.hstack([FACTORS, extra]), np.hstack([TEST_FACTORS, test_extra]))
        assert found.score == pytest.approx(perfect.score, abs=1e-3)
        assert found.coverage == pytest.approx(perfect.coverage, abs=1e-3)


def test_a_code_that_knows_two_factors_lowers_the_score_in_closed_form():
    """One code per factor, and a fourth that is the class and, between its values, a number."""

    def both(factors):
        return 4 * factors[:, :1] + factors[:, 1:2]

    found = scored(np.hstack([FACTORS, both(FACTORS)]), np.hstack([TEST_FACTORS, both(TEST_FACTORS)]))
    share = found.importance[3] / found.importance[3].sum()
    purity = 1 + (share[:2] * np.log(share[:2])).sum() / np.log(3)
    assert found.score == pytest.approx((3 + found.importance[3].sum() * purity) / found.importance.sum(), abs=0.01)


def test_scikit_learn_gives_the_same_scores():
    """The second computation: other neighbours code, a loop over refitted predictors, other permutations."""
    codes, test_codes = FACTORS @ np.ones((3, 2)) + NOISE[:, :2], TEST_FACTORS @ np.ones((3, 2)) + TEST_NOISE[:, :2]
    found = probe(codes, FACTORS, test=(test_codes, TEST_FACTORS), classes=CLASSES, groups=[[0], [0, 1]])
    random = np.random.default_rng(5)
    for row, group in enumerate([[0], [0, 1]]):
        for j, is_class in enumerate(CLASSES):
            estimator = (KNeighborsClassifier if is_class else KNeighborsRegressor)(11)
            labels, truth = FACTORS[:, j], TEST_FACTORS[:, j]
            reached = estimator.fit(codes[:, group], labels).score(test_codes[:, group], truth)
            assert found.reached[row, j] == pytest.approx(reached, abs=2e-3)
            null = [
                estimator.fit(codes[:, group], random.permutation(labels)).score(test_codes[:, group], truth)
                for _ in range(30)
            ]
            # The mean of 30 draws lies within five of its standard errors, and so does the mean of our 100.
            assert found.chance[row, j] == pytest.approx(np.mean(null), abs=5 * np.std(null) / np.sqrt(30))
            assert found.spread[row, j] == pytest.approx(np.std(null), rel=0.6)


def test_chance_of_a_number_is_minus_one_over_k():
    found = probe(NOISE, FACTORS, test=(TEST_NOISE, TEST_FACTORS), classes=CLASSES, neighbours=5)
    assert found.chance[:, 1:] == pytest.approx(-1 / 5, abs=0.02)
    assert found.chance[:, 0] == pytest.approx(1 / 4, abs=0.02)


def test_equal_codes_are_told_apart_by_chance_and_not_by_their_order():
    """A perfect code with two values, of points sorted by another factor: without jitter all share neighbours."""
    order = np.argsort(FACTORS[:, 1])
    factors = FACTORS[order]
    codes, test_codes = (np.sign(each[:, 2:]) for each in (factors, TEST_FACTORS))
    found = probe(codes, factors, test=(test_codes, TEST_FACTORS), classes=CLASSES, permutations=30)
    assert abs(found.reached[0, 1] + 1 / 11) < 0.05
    assert found.reached[0, 2] > 0.6


def test_constant_codes_know_nothing():
    found = scored(np.zeros((TRAIN, 2)), np.zeros((TEST, 2)))
    assert found.coverage == 0


def test_scores_of_several_draws_are_averaged_before_chance_is_subtracted():
    first, second = probed([[0.6, 0.0]], 0.2, 0.05), probed([[1.0, 0.3]], 0.4, 0.15)
    mean = averaged([first, second])
    assert mean.reached.tolist() == [[0.8, 0.15]]
    assert mean.importance(3.5) == pytest.approx(np.array([[0.5 / 0.7, 0.0]]))


@pytest.mark.parametrize("codes", [FACTORS, np.hstack([FACTORS[:, ::-1], NOISE[:, :2]])], ids=["in order", "hidden"])
def test_the_best_split_finds_the_codes_of_each_factor_group(codes):
    first, second = best_split(codes, FACTORS, classes=CLASSES, factor_groups=[[0], [1, 2]])
    of_class = 0 if codes is FACTORS else 2
    of_numbers = {1, 2} if codes is FACTORS else {0, 1}
    [alone] = [group for group in (first, second) if of_class in group]
    assert not of_numbers & set(alone)
    assert sorted(first + second) == list(range(codes.shape[1]))


@pytest.mark.parametrize("count", [1, 11])
def test_one_code_or_more_than_ten_are_not_split(count):
    assert best_split(np.ones((30, count)), FACTORS[:30], classes=CLASSES) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": [[0], []]}, "each group must name some of the 4 codes"),
        ({"groups": [[0, 4]]}, "each group must name some of the 4 codes"),
        ({"neighbours": 0}, "neighbours"),
        ({"permutations": 1}, "permutations"),
    ],
)
def test_wrong_arguments_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        scored(NOISE, TEST_NOISE, **settings)
