"""The rule by which parts and claims are judged."""

import pytest

from vitae.report import statistics, verdicts


def interval(*values):
    return statistics.Interval.of(list(values))


@pytest.mark.parametrize(
    ("values", "below", "finding"),
    [
        ((1.0, 1.1, 0.9), False, "supported"),
        ((1.0, 1.1, 0.9), True, "contradicted"),
        ((0.1, 0.9, 0.6), False, "undecided"),
        ((0.1, 0.9, 0.6), True, "undecided"),
        ((0.1, 0.2, 0.15), True, "supported"),
        ((5.0,), False, "undecided"),
    ],
)
def test_a_part_is_decided_by_its_whole_interval(values, below, finding):
    assert verdicts.Part("x", interval(*values), 0.5, below).finding == finding
    assert verdicts.Part("x", None, 0.5, below).finding == "not measured"


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ("ss", "holds"),
        ("sc", "holds in part"),
        ("su", "holds in part"),
        ("sn", "holds in part"),
        ("cu", "does not hold"),
        ("cn", "does not hold"),
        ("uu", "undecided"),
        ("un", "undecided"),
        ("nn", "not measured"),
    ],
)
def test_a_claims_verdict_follows_from_its_parts(findings, verdict):
    parts = {
        "s": verdicts.Part("x", interval(1.0, 1.1, 0.9), 0.5),
        "c": verdicts.Part("x", interval(0.0, 0.1, 0.05), 0.5),
        "u": verdicts.Part("x", interval(0.1, 0.9, 0.6), 0.5),
        "n": verdicts.Part("x", None, 0.5),
    }
    claim = verdicts.Claim("name", "A sentence.", tuple(parts[letter] for letter in findings), "page")
    assert claim.verdict == verdict
