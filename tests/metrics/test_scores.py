"""Each score against closed forms, against chance, and against a second computation."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import rankdata
from sklearn.metrics import mutual_info_score

from vitae.metrics import (
    beta_vae_score,
    dci,
    explicitness,
    factor_vae_score,
    irs,
    mig,
    modularity,
    sap,
    total_correlation,
)
from vitae.metrics.dci import completeness, disentanglement
from vitae.metrics.modularity import modularity_of
from vitae.metrics.mutual_information import binned, entropies, mutual_information

# All combinations of four and five values, 30 times.
GRID = np.tile(np.stack(np.meshgrid(range(4), range(5), indexing="ij"), -1).reshape(-1, 2), (30, 1))


def noise(count, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(count, columns))


# Scores of importance and information matrices


@pytest.mark.parametrize(
    ("importance", "d", "c"),
    [
        (np.eye(4), 1.0, 1.0),
        (np.ones((3, 4)), 0.0, 0.0),
        (np.zeros((3, 4)), 0.0, 0.0),
        # Two codes per factor: disentangled, but completeness loses ln 2 / ln 8.
        (np.vstack([np.eye(4), np.eye(4)]), 1.0, 1 - np.log(2) / np.log(8)),
        (np.hstack([np.eye(4), np.eye(4)]), 1 - np.log(2) / np.log(8), 1.0),
    ],
)
def test_disentanglement_and_completeness_of_known_matrices(importance, d, c):
    assert disentanglement(importance)[0] == pytest.approx(d)
    assert completeness(importance)[0] == pytest.approx(c)


def test_one_code_for_two_of_ten_factors_has_the_closed_form():
    both = np.zeros((1, 10))
    both[0, :2] = 1
    assert disentanglement(both)[0] == pytest.approx(1 - np.log(2) / np.log(10))
    assert modularity_of(both)[0] == pytest.approx(1 - 1 / 9)


@given(arrays.arrays(float, (4, 3), elements=st.floats(0, 1)))
def test_modularity_is_between_0_and_1_and_invariant_to_order_and_unit(information):
    information[information < 1e-3] = 0
    found = modularity_of(information)
    assert ((found >= -1e-12) & (found <= 1)).all()
    np.testing.assert_allclose(modularity_of(7 * information[:, ::-1]), found, atol=1e-12)
    assert (found[information.max(1) == 0] == 0).all()


def test_mutual_information_agrees_with_scikit_learn_and_with_entropy_for_a_copy():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 5, (400, 2)), random.integers(0, 7, (400, 3))
    second[:, 1] = 2 * first[:, 0] % 7
    found = mutual_information(first, second)
    expected = [[mutual_info_score(a, b) for b in second.T] for a in first.T]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(np.diag(mutual_information(first, first)), entropies(first), atol=1e-12)


def test_bins_have_equal_width_from_the_smallest_to_the_largest_value():
    codes = np.column_stack([np.arange(41) - 7.0, np.full(41, 2.5), 1e15 + np.arange(41)])
    found = binned(codes)
    assert found[:, 0].tolist() == found[:, 2].tolist() == [min(i // 2, 19) for i in range(41)]
    assert len(set(found[:, 1])) == 1


# Perfect codes and uninformative codes


def test_factors_of_a_complete_grid_as_codes_score_one():
    assert mig(GRID, GRID).score == pytest.approx(1.0)
    assert modularity(GRID, GRID).score == pytest.approx(1.0)
    assert irs(GRID, GRID).score == pytest.approx(1.0)
    assert factor_vae_score(GRID, GRID, fast=True).score == 1.0
    assert beta_vae_score(GRID, GRID, fast=True).score == 1.0
    found = dci(GRID, GRID)
    assert (found.disentanglement, found.completeness, found.informativeness) == pytest.approx((1, 1, 1))
    continuous = [False, False]
    assert sap(GRID, GRID, test=(GRID, GRID), classes=[True, True]).per_factor == pytest.approx(
        sap(GRID[:, ::-1], GRID, test=(GRID[:, ::-1], GRID), classes=[True, True]).per_factor
    )
    tall = np.repeat(GRID, 1, axis=0)
    assert sap(tall, tall, classes=continuous).score == pytest.approx(1.0, abs=0.02)


def test_noise_codes_score_at_chance():
    codes, factors = noise(6_000, 6), np.random.default_rng(1).integers(0, 4, (6_000, 3))
    assert mig(codes, factors).score < 0.01
    assert sap(codes, factors).score < 0.05
    assert explicitness(codes, factors).score == pytest.approx(0.5, abs=0.03)
    assert factor_vae_score(codes, factors, fast=True).score == pytest.approx(1 / 3, abs=0.08)
    assert beta_vae_score(codes, factors, fast=True).score == pytest.approx(1 / 3, abs=0.08)
    assert dci(codes, factors).informativeness == pytest.approx(1 / 4, abs=0.03)


def test_noise_codes_have_high_modularity():
    codes = noise(10_000, 10)
    factors = np.stack([np.random.default_rng(1).integers(0, size, 10_000) for size in (3, 6, 40, 32, 32)], 1)
    assert modularity(codes, factors).score == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("constant", [0.1, 1 / 3, 0.3, 0.5, 1e6])
def test_a_constant_code_is_recognised_despite_rounding(constant):
    """In floating point, the mean of many 0.1 is not 0.1, so the standard deviation is not 0."""
    codes = np.column_stack([GRID, np.full((len(GRID), 2), constant)])
    assert total_correlation(codes) == total_correlation(GRID)
    assert np.isnan(irs(codes, GRID).per_code[2:]).all()
    assert irs(codes, GRID).score == pytest.approx(1.0)
    assert modularity(codes, GRID).per_code.tolist() == [1, 1, 0, 0]
    assert explicitness(codes, GRID).score == pytest.approx(explicitness(np.hstack([GRID, 0 * GRID]), GRID).score)


def test_codes_independent_of_the_factors_on_a_complete_grid_have_no_importance():
    """All gains are rounding errors; counting them would make uninformative codes perfectly disentangled."""
    grid = np.stack(np.meshgrid(*map(range, (3, 7, 3, 5, 4)), indexing="ij"), -1).reshape(-1, 5)
    codes, factors = grid[:, 2:].astype(float), grid[:, :2]
    found = dci(codes, factors, test=(codes, factors))
    assert (found.disentanglement, found.completeness) == (0.0, 0.0)
    assert not found.importance.any()
    assert modularity(codes, factors).score == 0.0
    half = np.column_stack([grid[:, 0], codes])
    assert not dci(half, factors, test=(half, factors)).importance[:, 1].any()


@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e25])
def test_information_does_not_depend_on_units(unit):
    codes = noise(300, 3) + GRID[:300, :1]
    plain, scaled = mig(codes, GRID[:300]), mig(unit * codes, GRID[:300])
    np.testing.assert_allclose(scaled.information, plain.information)
    assert total_correlation(unit * codes).gaussian == pytest.approx(total_correlation(codes).gaussian)
    assert explicitness(unit * codes, GRID[:300]).score == pytest.approx(explicitness(codes, GRID[:300]).score)


def test_codes_with_equal_variance_share_a_vote():
    codes = np.column_stack([GRID[:, 0], GRID[:, 1], GRID[:, 0]])
    votes = factor_vae_score(codes, GRID, fast=True).votes
    assert votes[0, 0] == votes[2, 0] > 0
    assert votes.sum() == pytest.approx(500)


def test_irs_can_be_negative():
    """One value of the factor has two distant clusters, with all other points between them."""
    i = np.arange(2_000)
    z = np.where(i % 2 == 0, 1.0, -1.0)
    z[(i // 2) % 20 == 0] *= -1
    assert irs(np.stack([z, z], 1), np.stack([i % 2, i % 2], 1)).score == pytest.approx(-0.9)


# Individual scores


def test_mig_is_0_for_duplicated_codes_and_counts_only_factors_with_a_code():
    assert mig(GRID[:, [0, 0, 1, 1]], GRID).score == pytest.approx(0.0, abs=1e-12)
    found = mig(np.column_stack([GRID[:, 0], np.zeros(len(GRID))]), GRID)
    np.testing.assert_allclose(found.per_factor, [1.0, 0.0], atol=1e-12)
    assert found.information[0, 0] == pytest.approx(np.log(4))


def test_sap_of_continuous_factors_is_the_gap_of_squared_correlations():
    y = noise(3_000, 2)
    codes = np.column_stack([y[:, 0] + noise(3_000, 1, 1)[:, 0], y[:, 1], 0.5 * y[:, 1] + noise(3_000, 1, 2)[:, 0]])
    found = sap(codes, y, test=(codes, y), classes=[False, False])
    expected = np.corrcoef(codes.T, y.T)[:3, 3:] ** 2
    np.testing.assert_allclose(found.predictability, expected, atol=1e-12)
    ordered = np.sort(expected, axis=0)
    assert found.score == pytest.approx(np.mean(ordered[-1] - ordered[-2]))


def test_sap_of_two_separable_classes_is_accuracy_minus_chance():
    y = np.column_stack([np.arange(3_000) % 2, np.arange(3_000) // 2 % 2])
    codes = np.column_stack([10.0 * y[:, 0], noise(3_000, 1)[:, 0]])
    found = sap(codes, y)
    assert found.predictability[0, 0] == 1.0
    assert found.per_factor[0] == pytest.approx(0.5, abs=0.05)


def test_explicitness_of_one_informative_code_is_its_auc():
    """The AUC is computed from ranks."""
    y = np.column_stack([np.arange(3_000) % 2, np.arange(3_000) // 2 % 2])
    codes = np.column_stack([y[:, 0] + noise(3_000, 1)[:, 0], np.zeros(3_000)])
    train, test = slice(2_000), slice(2_000, None)
    found = explicitness(codes[train], y[train], test=(codes[test], y[test]))
    ranks, positive = rankdata(codes[test, 0]), y[test, 0] == 1
    n, m = positive.sum(), (~positive).sum()
    expected = (ranks[positive].sum() - n * (n + 1) / 2) / (n * m)
    assert found.per_factor[0] == pytest.approx(expected)
    assert found.per_factor[1] == pytest.approx(0.5, abs=0.05)


def test_factor_vae_names_the_code_of_the_fixed_factor():
    """A collapsed code has no vote."""
    codes = np.column_stack([GRID[:, 1], 0.01 * GRID[:, 0], GRID[:, 0]])
    found = factor_vae_score(codes, GRID, fast=True)
    assert found.active.tolist() == [True, False, True]
    assert found.votes.sum() == 500
    assert found.votes[[0, 1, 1, 2], [0, 0, 1, 1]].tolist() == [0, 0, 0, 0]
    assert found.score == found.train_score == 1.0
    collapsed = factor_vae_score(0.001 * codes, GRID, fast=True)
    assert (collapsed.score, collapsed.train_score) == (0.0, 0.0)


def test_factor_vae_compares_variances_relative_to_all_points():
    """A code with a small variance everywhere is not mistaken for the code of the fixed factor."""
    little = 0.1 * noise(len(GRID), 1)[:, 0] + 0
    codes = np.column_stack([GRID[:, 0] + 0.5 * noise(len(GRID), 1, 1)[:, 0], GRID[:, 1], little])
    assert factor_vae_score(codes, GRID, fast=True).votes[2].sum() == 0


def test_beta_vae_accepts_a_factor_spread_over_two_codes_but_factor_vae_does_not():
    turn = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    standard = (GRID - GRID.mean(0)) / GRID.std(0)
    codes = np.hstack([standard, noise(len(GRID), 1)]) @ np.block(
        [[turn, np.zeros((2, 1))], [np.zeros((1, 2)), np.ones((1, 1))]]
    )
    assert factor_vae_score(codes, GRID, fast=True).score < 0.8
    plain = beta_vae_score(GRID, GRID, fast=True)
    assert plain.train_score == 1.0
    # Codes of the fixed factor have distance 0, others that of two draws: 1.25 for four values, 1.6 for five.
    np.testing.assert_allclose(plain.distances, [[0, 1.25], [1.6, 0]], atol=0.02)


def test_irs_is_one_minus_the_relative_deviation_with_a_factor_fixed():
    """The first code mixes both factors: with one fixed, it deviates by half the range of the other."""
    codes = np.column_stack([GRID[:, 0] + 0.5 * GRID[:, 1], 3.0 * GRID[:, 1]])
    found = irs(codes, GRID, quantile=1.0)
    # It deviates by up to 1.5 + 0.5 * 2 = 2.5; by 1 with the first factor fixed, by 1.5 with the second.
    np.testing.assert_allclose(found.robustness, [[1 - 1 / 2.5, 1 - 1.5 / 2.5], [0, 1]], atol=1e-12)
    assert found.score == pytest.approx((2.5 * 0.6 + 6.0 * 1.0) / 8.5)
    constant = irs(np.column_stack([codes[:, 1], np.ones(len(GRID))]), GRID)
    assert constant.score == pytest.approx(1.0)
    assert np.isnan(constant.per_code[1])


def test_irs_uses_a_quantile_of_the_deviations():
    codes = noise(2_000, 2)
    factors = np.column_stack([np.arange(2_000) % 2, np.arange(2_000) // 2 % 2])
    held = [np.abs(codes[factors[:, 0] == v] - codes[factors[:, 0] == v].mean(0)) for v in (0, 1)]
    expected = 1 - np.mean([np.quantile(d, 0.99, axis=0) for d in held], axis=0) / np.abs(codes - codes.mean(0)).max(0)
    np.testing.assert_allclose(irs(codes, factors).robustness[:, 0], expected)


@pytest.mark.parametrize("rho", [0.0, 0.5, -0.9])
def test_total_correlation_of_two_gaussians(rho):
    x = noise(200_000, 2)
    codes = np.column_stack([x[:, 0], rho * x[:, 0] + np.sqrt(1 - rho**2) * x[:, 1]])
    exact = -0.5 * np.log(1 - rho**2)
    found = total_correlation(codes * [3.0, -0.01])
    assert found.gaussian == pytest.approx(exact, abs=0.01)
    # Binning loses some information.
    assert 0.8 * exact - 0.01 < found.pairwise < exact + 0.01


def test_total_correlation_of_dependent_codes_is_infinite_and_of_a_single_code_zero():
    x = noise(500, 2)
    assert total_correlation(np.column_stack([x, x.sum(1)])).gaussian == np.inf
    alone = total_correlation(np.column_stack([x[:, 0], np.ones(500)]))
    assert alone.gaussian == 0
    assert np.isnan(alone.pairwise)


def test_pairwise_information_detects_nonlinear_dependence():
    x = noise(20_000, 1)
    found = total_correlation(np.hstack([x, x**2]))
    assert found.gaussian < 0.01
    assert found.pairwise > 0.5


def test_the_example_of_scoring_any_encoder_runs(capsys):
    path = Path(__file__).resolve().parent.parent / "example_scores.py"
    found = runpy.run_path(str(path))["principal"]
    assert found.factors == ("shape", "scale", "orientation", "x", "y")
    # The first principal components encode the position of the sprite.
    assert found.mig.information[:2, 3:].max() > 0.5
    assert "NOT the full protocol" in capsys.readouterr().out
    lines = str(found).splitlines()
    assert lines[4].split()[:2] == ["MIG", f"{found.mig.score:.3f}"]
    assert lines[-1] == found.caption()
