"""The compiled trees: agreement with scikit-learn, invariances, and shared credit of tied codes."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from vitae.metrics.boosting import boosted


def drawn(count, seed=0, codes=4):
    random = np.random.default_rng(seed)
    factor = random.integers(0, 5, count)
    x = random.normal(size=(count, codes))
    x[:, 0] += factor
    x[:, 1] += factor % 2
    return x, factor


@pytest.mark.parametrize(("classes", "stages"), [(2, 1), (2, 4), (3, 1), (3, 4), (5, 1)])
def test_trees_are_those_of_scikit_learn(classes, stages):
    """Importances and predictions are equal as long as no two splits are equally good.

    With more stages, several codes split small nodes equally well.
    """
    (x, factor), (x_test, _) = drawn(800), drawn(400, seed=1)
    labels = factor % classes
    theirs = GradientBoostingClassifier(n_estimators=stages, random_state=0).fit(x, labels)
    [ours] = boosted(x, [labels], x_test, stages=stages)
    np.testing.assert_allclose(ours.importance, theirs.feature_importances_, atol=1e-6)
    np.testing.assert_array_equal(ours.train, theirs.predict(x))
    np.testing.assert_array_equal(ours.test, theirs.predict(x_test))


def test_all_stages_agree_with_scikit_learn_up_to_its_random_choices():
    (x, factor), (x_test, y_test) = drawn(1500), drawn(1000, seed=1)
    theirs = [GradientBoostingClassifier(random_state=choice).fit(x, factor) for choice in range(3)]
    importances = np.array([trees.feature_importances_ for trees in theirs])
    [ours] = boosted(x, [factor], x_test, stages=100)
    np.testing.assert_allclose(ours.importance, importances.mean(0), atol=0.005)
    assert np.mean(ours.test == y_test) == pytest.approx(theirs[0].score(x_test, y_test), abs=0.01)


def test_results_do_not_depend_on_the_order_and_signs_of_codes():
    (x, factor), (x_test, _) = drawn(700), drawn(300, seed=1)
    # Coarse codes have many equally good splits, some of which divide the points identically.
    x, x_test = x.round(1), x_test.round(1)
    order, signs = [2, 0, 3, 1], np.array([1, -1, -1, 1])
    [plain] = boosted(x, [factor], x_test, stages=30)
    [changed] = boosted((x * signs)[:, order], [factor], (x_test * signs)[:, order], stages=30)
    np.testing.assert_allclose(changed.importance, plain.importance[order], rtol=1e-12)
    np.testing.assert_array_equal(changed.train, plain.train)


def test_identical_codes_share_the_credit():
    x, factor = drawn(500)
    [alone] = boosted(x, [factor], x, stages=20)
    with_copy = np.hstack([x, x[:, :1]])
    [doubled] = boosted(with_copy, [factor], with_copy, stages=20)
    assert doubled.importance[0] == doubled.importance[4]
    # Only approximately: credit for a tie with a third code is now split three ways instead of two.
    assert doubled.importance[[0, 4]].sum() == pytest.approx(alone.importance[0], abs=0.01)


def test_constant_codes_have_no_importance():
    factor = np.arange(40) % 4
    [trees] = boosted(np.zeros((40, 3)), [factor], np.zeros((5, 3)), stages=5)
    assert trees.importance.tolist() == [0, 0, 0]


def test_classes_are_any_integers_and_factors_keep_their_order():
    x, factor = drawn(300)
    few, many = boosted(x, [factor % 2 * 7 - 3, factor * 10], x, stages=10)
    assert set(few.train.tolist()) <= {-3, 4}
    assert set(many.train.tolist()) <= {0, 10, 20, 30, 40}
    [alone] = boosted(x, [factor * 10], x, stages=10)
    np.testing.assert_array_equal(many.importance, alone.importance)
