"""What must change no score: the order and the signs of the codes, and a second run with the same seed."""

import numpy as np
import pytest

from vitae.metrics import report
from vitae.metrics.examples import EXAMPLES, drawn_factors, drawn_noise

SIZES = (3, 4, 5, 6, 4)
COUNT = 1_200
_NO_SCALE = (
    "DCI completeness",
    "MIG",
    "modularity",
    "D_score (kNN)",
    "total correlation",
    "pairwise information",
)


def arrays(name):
    factors = drawn_factors(SIZES, COUNT, seed=0)
    return EXAMPLES[name](factors, SIZES, drawn_noise(COUNT, seed=0)), factors


def scored(codes, factors, seed=0):
    return report(codes, factors, seed=seed, fast=True).values()


@pytest.mark.parametrize("name", ["noisy and mixed", "each factor twice", "perfect, turned"])
def test_order_and_signs_of_codes_change_nothing(name):
    codes, factors = arrays(name)
    random = np.random.default_rng(5)
    order, signs = random.permutation(codes.shape[1]), random.choice([-1.0, 1.0], codes.shape[1])
    plain, changed = scored(codes, factors), scored((codes * signs)[:, order], factors)
    for score, value in plain.items():
        # Solvers stop a little elsewhere, and a test point between two equally good splits goes the other way.
        room = 0.01 if score in ("DCI informativeness", "explicitness", "β-VAE score") else 1e-9
        assert changed[score] == pytest.approx(value, abs=room), score


def test_the_order_of_factors_changes_nothing_that_draws_no_votes():
    codes, factors = arrays("noisy and mixed")
    plain, changed = scored(codes, factors), scored(codes, factors[:, ::-1])
    for score in set(plain) - {"FactorVAE score", "β-VAE score"}:
        assert changed[score] == pytest.approx(plain[score], abs=1e-9), score


def test_the_same_seed_gives_the_same_numbers_and_another_one_others():
    codes, factors = arrays("noisy and mixed")
    assert scored(codes, factors, seed=3) == scored(codes, factors, seed=3)
    first, second = scored(codes, factors, seed=3), scored(codes, factors, seed=4)
    assert all(first[score] != second[score] for score in ("DCI disentanglement", "SAP", "D_score (kNN)"))


def test_scaling_a_code_changes_only_what_looks_at_its_scale():
    """SAP's support vector machines, IRS's weights and the FactorVAE score's threshold do; all others do not."""
    codes, factors = arrays("noisy and mixed")
    plain, changed = scored(codes, factors), scored(codes * np.linspace(1, 3, codes.shape[1]), factors)
    for score in _NO_SCALE:
        assert changed[score] == pytest.approx(plain[score], abs=2e-3), score
    assert changed["SAP"] != plain["SAP"]
    assert changed["IRS"] != plain["IRS"]
