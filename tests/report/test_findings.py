"""The sentences of the first page: which verb the numbers give, and which runs they come from."""

import pytest
from example_record import example_record

from vitae.report import findings as module
from vitae.report.findings import _QUESTIONS, _answer, findings


def run(digit_A, digit_P, dx_A, dx_P, **overrides):
    record = example_record("c-vitae", profile="full", overrides=overrides)
    record["configuration"] |= {
        "schedule": {"epochs": 3, "batch": 5},
        "network": "mlp",
        "widths": [8],
        "vae_widths": [9],
    }
    scores = record["scores"]
    scores["guessing"] = {"digit": 0.1, "dx": -1 / 11}
    scores["predictability_of_draws"] = {
        "z_A": {"digit": digit_A, "dx": dx_A},
        "z_P": {"digit": digit_P, "dx": dx_P},
    }
    return record


@pytest.mark.parametrize(
    ("known", "verb"),
    [
        ((0.95, 0.12, -0.09, 0.8), "separates"),
        ((0.95, 0.3, -0.09, 0.8), "only partly separates"),
        ((0.95, 0.12, -0.09, 0.3), "only partly separates"),
        ((0.95, 0.12, 0.9, 0.8), "does not separate"),
        ((0.95, 0.9, -0.09, 0.8), "does not separate"),
    ],
)
def test_the_numbers_give_the_verb(known, verb):
    finding = _answer(_QUESTIONS[0], [run(*known)])
    assert finding.sentence.startswith(f"On digits, C-VITAE {verb} digit from horizontal position.")
    assert f"in {known[0]:.0%} of the images (guessing: 10%)" in finding.sentence
    assert finding.basis == "1 run: 10 images, 3 epochs (6 steps of 5), mlp 8"


def test_a_trial_is_called_one():
    assert _answer(_QUESTIONS[0], [run(0.9, 0.1, 0, 0.9, validation=True)]).basis.endswith("not converged")


def test_converged_runs_come_before_trials_and_others_do_not_count(monkeypatch):
    short, long = run(0.5, 0.5, 0, 0), run(0.9, 0.1, 0, 0.9)
    unfinished = run(0.6, 0.5, 0, 0) | {"convergence": {"converged": False}}
    found = [short, unfinished, long | {"convergence": {"converged": True}}]
    monkeypatch.setattr(module, "load_records", lambda profile, dataset, models: found if dataset == "mnist" else [])
    monkeypatch.setattr(module, "load_trials", lambda dataset: [])
    assert [finding.basis[:6] for finding in findings()] == ["1 run:"]
    assert "in 90% of the images" in findings()[0].sentence
