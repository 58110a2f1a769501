"""The verdicts equal those computed independently from the committed records: raw JSON and scipy's t-intervals."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from vitae.report import claims, poster

ROOT = Path(__file__).resolve().parents[2]
FULL = ROOT / "book/records/full"
HAIR = ("Black", "Blond", "Brown", "Gray")


@pytest.fixture
def judged(monkeypatch):
    """Name -> claim, from the committed records."""
    monkeypatch.setenv("VITAE_HOME", str(ROOT))
    records = claims.read()
    return {claim.name: claim for claim in claims.claims(records) + claims.claims_of_sisters(records)}


def raw(dataset, **changes):
    """(model, seed) -> scores, of all runs with exactly these changes to the profile's settings."""
    records = [json.loads(path.read_text()) for path in (FULL / dataset).glob("*.json")]
    return {
        (r["configuration"]["model"], r["configuration"]["seed"]): r["scores"]
        for r in records
        if r["configuration"]["overrides"] == changes
    }


def finding(values, threshold, below=False):
    """What follows from scipy's t-interval of the mean."""
    values = np.asarray(values, float)
    if len(values) == 0:
        return "not measured"
    if len(values) == 1:
        return "undecided"
    low = high = values.mean()
    if np.ptp(values) > 0:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    if (high < threshold) if below else (low > threshold):
        return "supported"
    return "contradicted" if ((low > threshold) if below else (high < threshold)) else "undecided"


def gaps(dataset, other, score):
    scores = raw(dataset)
    seeds = [seed for model, seed in scores if model == "c-vitae" and (other, seed) in scores]
    return [scores["c-vitae", seed][score] - scores[other, seed][score] for seed in seeds]


@pytest.mark.parametrize("number", range(3))
def test_conditional(judged, number):
    dataset = list(poster.POSTER)[number]
    expected = finding(gaps(dataset, "u-vitae", poster.D_SCORES[dataset]), 0)
    assert judged["conditional"].parts[number].finding == expected


@pytest.mark.parametrize("number", range(3))
def test_leads(judged, number):
    dataset = list(poster.POSTER)[number]
    score, scores = poster.D_SCORES[dataset], raw(dataset)
    others = {model for model, _ in scores if model in poster.POSTER[dataset]} - {"c-vitae"}
    means = {model: np.mean([s[score] for (m, _), s in scores.items() if m == model]) for model in others}
    expected = "not measured"
    if len(others) == 5:
        expected = finding(gaps(dataset, max(means, key=means.get), score), 0)
    assert judged["leads"].parts[number].finding == expected


def gained(scores, factor):
    """Where the accuracy from z_P lies between guessing, 0, and certainty, 1."""
    chance = scores["guessing"][factor]
    return (scores["predictability"]["z_P"][factor] - chance) / (1 - chance)


def test_digit(judged):
    scores = [s for (model, _), s in raw("mnist").items() if model == "c-vitae"]
    spaces = [s["predictability"] for s in scores]
    expected = [finding([gained(s, "digit") for s in scores], 0.1, below=True)]
    expected += [finding([s["z_A"]["digit"] for s in spaces], 0.8)]
    expected += [finding([s["z_A"][name] for s in spaces], 0.1, below=True) for name in ("rotation", "dx", "dy")]
    assert [part.finding for part in judged["digit"].parts] == expected


def test_pose_and_shape(judged):
    scores = [s for (model, _), s in raw("smpl").items() if model == "c-vitae"]
    spaces = [s["predictability"] for s in scores]
    expected = [
        finding([s["z_A"]["pose"] for s in spaces], 0.95),
        finding([s["z_A"]["shape"] for s in spaces], 0.3, below=True),
        finding([s["z_P"]["shape"] for s in spaces], 0.8),
        finding([gained(s, "pose") for s in scores], 0.1, below=True),
    ]
    assert [part.finding for part in judged["pose and shape"].parts] == expected


def test_faces(judged):
    times, areas, between = {"scaling": [], "translation": []}, [], []
    for (model, _), scores in raw("celeba").items():
        if model == "c-vitae":
            latents = [effects for name, effects in scores["effects"].items() if name.startswith("z_P")]
            for effect, values in times.items():
                most = max(latents, key=lambda effects: effects[effect])
                values.append(most[effect] / most["recolouring"])
            hair = {
                space: np.mean([scores["separability"][space][f"{colour}_Hair"] for colour in HAIR])
                for space in ("z_A", "z_P")
            }
            areas.append(hair["z_A"])
            between.append(hair["z_A"] - hair["z_P"])
    expected = [finding(values, 5) for values in times.values()] + [finding(areas, 0.75), finding(between, 0.15)]
    assert [part.finding for part in judged["faces"].parts] == expected


def between(dataset, ours, theirs, score, our_changes, their_changes):
    """Differences between two rows, each with its own changes, paired by seed."""
    first, second = raw(dataset, **our_changes), raw(dataset, **their_changes)
    seeds = [seed for model, seed in first if model == ours and (theirs, seed) in second]
    pairs = [(first[ours, seed][score], second[theirs, seed][score]) for seed in seeds]
    return [a["mean"] - b["mean"] if isinstance(a, dict) else a - b for a, b in pairs]


def test_balance(judged):
    expected = []
    for dataset in ("dsprites", "shapes3d"):
        gap = partial(between, dataset, "devae-2", "beta-vae", our_changes={}, their_changes={"beta": 40.0})
        expected.append(finding(gap(score="reconstruction"), 0, below=True))
        expected += [finding(gap(score=score), -0.05) for score in ("mig", "dci", "sap")]
    assert [part.finding for part in judged["balance"].parts] == expected


def test_wide_and_independence(judged):
    did = partial(between, "dsprites", "did", "did", our_changes={})
    wide = {"appearance": 50, "perspective": 50}
    for number, score in enumerate(("mig", "dci")):
        gap = between("dsprites", "devae-2", "devae-2", score, wide, {})
        assert judged["wide"].parts[number].finding == finding(gap, -0.05)
        without = finding(did(score=score, their_changes={"difference": 0.0}), 0)
        replaced = finding(did(score=score, their_changes={"difference": 0.0, "independence": 1.0}), 0)
        assert judged["independence"].parts[number].finding == without
        assert judged["independence"].parts[2 + number].finding == replaced


def test_difference(judged):
    expected = []
    for dataset in ("dsprites", "shapes3d"):
        for score in ("mig", "dci", "sap"):
            means = {
                row: np.mean([s[score] for (m, _), s in raw(dataset).items() if m == row] or [np.nan])
                for row in ("beta-vae", "beta-tcvae", "factor-vae", "did")
            }
            best = max(("beta-vae", "beta-tcvae", "factor-vae"), key=lambda row: means[row])
            gap = between(dataset, "did", best, score, {}, {})
            expected.append(finding(gap, 0) if not np.isnan(list(means.values())).any() else "not measured")
    assert [part.finding for part in judged["difference"].parts] == expected


def test_verdicts_follow_from_the_findings(judged):
    """The rule, written a second time."""
    for claim in judged.values():
        kinds = [part.finding for part in claim.parts]
        supported, contradicted = kinds.count("supported"), kinds.count("contradicted")
        measured = len(kinds) - kinds.count("not measured")
        expected = "does not hold" if contradicted else "undecided" if measured else "not measured"
        if supported:
            expected = "holds" if supported == len(kinds) else "holds in part"
        assert claim.verdict == expected, claim.name


def test_every_claim_names_an_existing_page(judged):
    pages = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {claim.page for claim in judged.values()} <= pages


def test_hair_colours_of_photographs_and_of_synthetic_heads_are_found():
    assert claims.hair_colours(["Smiling", "Blond_Hair", "hair_colour: red", "Wavy_Hair"]) == [
        "Blond_Hair",
        "hair_colour: red",
    ]
