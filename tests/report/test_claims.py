"""The verdicts equal those computed independently: raw JSON of the committed records, and scipy's t-tests.

Also on invented records, since the committed ones need not reach every branch.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from vitae.report import claims, evidence, poster
from vitae.report.claims import _purity, hair_colours

ROOT = Path(__file__).resolve().parents[2]
FULL = ROOT / "book/records/full"


@pytest.fixture
def judged(monkeypatch):
    """Name -> claim, from the committed records."""
    monkeypatch.setenv("VITAE_HOME", str(ROOT))
    records = claims.read()
    return {claim.name: claim for claim in claims.claims(records) + claims.claims_of_sisters(records)}


def raw(dataset, **changes):
    """(model, seed) -> record, of all runs with exactly these changes to the profile's settings."""
    records = [json.loads(path.read_text()) for path in (FULL / dataset).glob("*.json")]
    return {
        (r["configuration"]["model"], r["configuration"]["seed"]): r
        for r in records
        if r["configuration"]["overrides"] == changes
    }


def numbers(runs, model, number):
    found = [number(record["scores"]) for (name, _), record in sorted(runs.items()) if name == model]
    return [each for each in found if each is not None]


def trained(runs, *models):
    chosen = [record for (model, _), record in runs.items() if model in models]
    return all((record.get("convergence") or {}).get("converged") for record in chosen)


def p_values(ours, theirs, threshold, effect, below):
    """p-values against "not supported" and "not contradicted"."""
    sign = -1 if below else 1
    ours, theirs = sign * np.array(ours), None if theirs is None else sign * np.array(theirs)
    limits = {"supported": sign * threshold + effect, "contradicted": sign * threshold - effect}
    sides = {"supported": "greater", "contradicted": "less"}
    found = {}
    for name, limit in limits.items():
        if len(ours) < 2 or (theirs is not None and len(theirs) < 2):
            found[name] = math.nan
        elif theirs is None and np.ptp(ours) == 0:
            found[name] = 0.0 if (ours[0] > limit if name == "supported" else ours[0] < limit) else 1.0
        elif theirs is None:
            found[name] = stats.ttest_1samp(ours, limit, alternative=sides[name]).pvalue
        else:
            found[name] = stats.ttest_ind(ours - limit, theirs, equal_var=False, alternative=sides[name]).pvalue
    return found


def expected_findings(rows):
    """Findings of a claim's parts after Holm's method, from rows (ours, theirs, threshold, effect, below, obstacle)."""
    absent = ["not measured" if not len(ours) or theirs == [] else "" for ours, theirs, *_ in rows]
    found = [row[-1] or missing for row, missing in zip(rows, absent, strict=True)]
    tested = [i for i, finding in enumerate(found) if not finding]
    chances = {i: p_values(*rows[i][:5]) for i in tested}
    for name in ("supported", "contradicted"):
        order = sorted((i for i in tested if not math.isnan(chances[i][name])), key=lambda i: chances[i][name])
        largest = 0.0
        for rank, i in enumerate(order):
            largest = max(largest, (len(order) - rank) * chances[i][name])
            if largest < 0.025:
                found[i] = name
    return [finding or "open" for finding in found]


def opened(findings):
    """Undecided and of no difference are one here: the tests of verdicts tell them apart."""
    return ["open" if each in ("undecided", "no difference that matters") else each for each in findings]


def gap_row(dataset, other, score, effect, runs=None):
    runs = raw(dataset) if runs is None else runs
    number = (lambda s: s[score]["mean"]) if score == "log_likelihood" else lambda s: s.get(score)
    obstacle = "" if trained(runs, "c-vitae", other) else "not trained long enough"
    if score == "d_star" and not obstacle:
        both = [record["scores"] for (model, _), record in runs.items() if model in ("c-vitae", other)]
        if any(scores["d_star"] is None or scores["d_star_coverage"] < 0.2 for scores in both):
            obstacle = "the score cannot tell"
    return (numbers(runs, "c-vitae", number), numbers(runs, other, number), 0.0, effect, False, obstacle)


def test_conditional_and_leads_compare_d_star_with_every_rival(judged):
    rows = [gap_row(dataset, "u-vitae", "d_star", 0.05) for dataset in poster.POSTER]
    assert opened(judged["conditional"].findings) == expected_findings(rows)
    rivals = [(dataset, other) for dataset in poster.POSTER for other in poster.POSTER[dataset] if other != "c-vitae"]
    rows = [gap_row(dataset, other, "d_star", 0.05) for dataset, other in rivals]
    assert len(rows) == 15
    assert opened(judged["leads"].findings) == expected_findings(rows)


def test_likelihoods(judged):
    row = gap_row("mnist", "u-vitae", "log_likelihood", 1.0)
    assert opened(judged["likelihood"].findings) == expected_findings([row])
    rows = [gap_row(dataset, "vae", "log_likelihood", 1.0) for dataset in poster.POSTER]
    assert opened(judged["short cut"].findings) == expected_findings(rows)


def share_row(dataset, space, factor, below):
    runs = raw(dataset)

    def share(scores):
        chance = scores["guessing"][factor]
        return (scores["predictability_of_draws"][space][factor] - chance) / (1 - chance)

    obstacle = "" if trained(runs, "c-vitae") else "not trained long enough"
    return (numbers(runs, "c-vitae", share), None, 0.1 if below else 0.8, 0.02, below, obstacle)


@pytest.mark.parametrize(
    ("name", "dataset", "stated"),
    [
        (
            "digit",
            "mnist",
            [
                ("z_A", "digit", False),
                ("z_P", "digit", True),
                ("z_P", "dx", False),
                ("z_P", "dy", False),
                ("z_A", "rotation", True),
                ("z_A", "dx", True),
                ("z_A", "dy", True),
                ("z_P", "rotation", False),
            ],
        ),
        (
            "pose and shape",
            "smpl",
            [("z_A", "pose", False), ("z_P", "pose", True), ("z_P", "shape", False), ("z_A", "shape", True)],
        ),
    ],
)
def test_what_each_space_knows(judged, name, dataset, stated):
    rows = [share_row(dataset, *each) for each in stated]
    assert opened(judged[name].findings) == expected_findings(rows)


def test_inversion_is_judged_whatever_the_length_of_the_training(judged):
    rows = []
    for dataset in ("mnist", "dsprites", "smpl", "celeba"):
        # Trials on the validation split count too.
        stated = [json.loads(path.read_text()) for path in sorted((FULL / dataset).glob("c-vitae-*.json"))]
        runs = [
            r["scores"]["round_trip"]
            for r in stated
            if not r["configuration"]["overrides"] or "validation" in r["configuration"]["overrides"]
        ]
        for key, threshold, below in (("error", 0.1, True), ("least_area", 0.0, False)):
            found = [each[key] for each in runs]
            rows.append((found, None, threshold, 0.0, below, ""))
    assert opened(judged["invertible"].findings) == expected_findings(rows)
    assert judged["invertible"].verdict == "holds"


def invented(model, seed, d_star, *, coverage=0.9, converged=True):
    return {
        "configuration": {
            "model": model,
            "seed": seed,
            "schedule": {"epochs": 2, "batch": 256},
            "network": "mlp",
            "widths": [512, 256],
            "vae_widths": [704, 352],
        },
        "data": {"train": 1_000},
        "convergence": {"converged": converged},
        "scores": {"d_star": d_star, "d_star_coverage": coverage, "predictability": {"z": {}}},
    }


def part_of(ours, theirs, **how):
    records = {"mnist": [*ours, *theirs]}
    return evidence.gap(records, "x", "d_star", ("mnist", "c-vitae"), ("mnist", "vae"), effect=0.05, **how)


def test_runs_that_did_not_converge_or_whose_score_cannot_tell_decide_nothing():
    ours = [invented("c-vitae", seed, 0.8 + 0.01 * seed) for seed in range(4)]
    theirs = [invented("vae", seed, 0.3 + 0.01 * seed) for seed in range(4)]
    assert part_of(ours, theirs).obstacle == ""
    assert part_of(ours, theirs).basis == "8 runs: 1,000 images, 2 epochs (6 steps of 256), mlp 704-352"
    for odd, obstacle in (
        (invented("vae", 5, 0.3, converged=False), "not trained long enough"),
        (invented("vae", 5, 0.3) | {"convergence": None}, "not trained long enough"),
        (invented("vae", 5, 0.3, coverage=0.1), "the score cannot tell"),
        (invented("vae", 5, None, coverage=0.0), "the score cannot tell"),
    ):
        assert part_of(ours, [*theirs, odd]).obstacle == obstacle


def test_the_purest_motion_counts_only_latents_that_move():
    effects = {"z_P1": {"scaling": 0.3, "translation": 0.1}, "z_P2": {"scaling": 0.01, "translation": 0.0}}
    record = {"scores": {"effects_of_transformation": effects}}
    assert _purity(record, "scaling") == pytest.approx(0.75)
    assert _purity(record, "translation") == pytest.approx(0.25)


def test_every_claim_names_an_existing_page(judged):
    pages = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {claim.page for claim in judged.values()} <= pages


def test_hair_colours_of_photographs_and_of_synthetic_heads_are_found():
    assert hair_colours(["Smiling", "Blond_Hair", "hair_colour: red", "Wavy_Hair"]) == [
        "Blond_Hair",
        "hair_colour: red",
    ]
