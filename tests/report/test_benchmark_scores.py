"""`vitae bench scores`: the committed record, scikit-learn's trees, and resuming."""

import json
from pathlib import Path

import pytest

from vitae.metrics import examples
from vitae.report.benchmarks import scores

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "book/records/benchmarks"


def test_the_committed_record_reaches_its_targets_and_agrees_with_scikit_learn():
    """DCI in a tenth of scikit-learn's time, D and C within 0.01, MIG and modularity in 1 s, FactorVAE in 10 s."""
    record = json.loads((RECORDS / "scores.json").read_text())
    assert record["schema"] == scores.SCHEMA
    seconds = record["seconds"]
    assert seconds["DCI"] <= seconds["DCI, scikit-learn"] / scores.TARGETS["DCI, times faster"]
    assert seconds["MIG"] + seconds["modularity"] < scores.TARGETS["MIG and modularity"]
    assert seconds["FactorVAE score"] < scores.TARGETS["FactorVAE score"]
    assert len(record["agreement"]) == 10
    for row in record["agreement"]:
        for score in ("disentanglement", "completeness"):
            assert row["ours"][score] == pytest.approx(row["scikit-learn"][score], abs=scores.TARGETS["D and C"])


def test_scikit_learns_trees_agree_with_ours_and_are_computed_once(monkeypatch, tmp_path):
    """On few points of other codes than the benchmark's."""
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    monkeypatch.setattr(scores, "FULL", (300, 100))
    factors, noise = examples.drawn_factors((3, 4), 400, 0), examples.drawn_noise(400, 0)
    codes = factors + 0.3 * noise[:, :2]
    theirs, ours = scores.scikit_dci("few", (codes, factors), 0), scores._our_dci(codes, factors)
    for score in ("disentanglement", "completeness"):
        assert ours[score] == pytest.approx(theirs[score], abs=0.02)
    assert theirs["seconds"] > 0
    monkeypatch.setattr(scores, "_scikit_importances", None)
    assert scores.scikit_dci("few", (codes, factors), 0) == theirs, "stored results are read"


def test_a_killed_benchmark_resumes_and_a_finished_one_starts_again(monkeypatch, tmp_path):
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    measured = []
    for part in ("_examples", "_ceilings", "_by_points", "_by_scale", "_agreement", "_choices"):
        monkeypatch.setattr(scores, part, lambda part=part: measured.append(part) or [part])
    monkeypatch.setattr(scores, "_votes_on_all_sprites", lambda: {"sprites": 1})
    monkeypatch.setattr(scores, "machine", dict)

    def killed(repeats):
        raise KeyboardInterrupt

    monkeypatch.setattr(scores, "_speed", killed)
    with pytest.raises(KeyboardInterrupt):
        scores.run()
    before = measured.copy()
    monkeypatch.setattr(scores, "_speed", lambda repeats: {"DCI": 1.0})
    record = scores.run()
    assert measured == [*before, "_agreement", "_choices"]
    assert (record["examples"], record["seconds"]) == (["_examples"], {"DCI": 1.0, "sprites": 1})
    scores.run()
    assert measured.count("_examples") == 2, "a finished benchmark leaves no stored parts"
