"""The rule by which parts and claims are judged."""

import pytest
from scipy import stats

from vitae.report.statistics import Interval
from vitae.report.verdicts import CANNOT_TELL, TOO_SHORT, Claim, Part

# Means 1.0, 0.0 and 0.51; nine seeds, so that Holm's method over a few parts leaves them clear.
HIGH = Interval.of([1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.02, 0.98, 1.0])
LOW = Interval.of([0.0, 0.1, -0.1, 0.05, -0.05, 0.0, 0.02, -0.02, 0.0])
NEAR = Interval.of([0.51, 0.52, 0.50, 0.51, 0.515, 0.505, 0.51, 0.51, 0.51])
WIDE = Interval.of([0.1, 0.9, 0.6, 0.2, 0.8, 0.3, 0.7, 0.5, 0.5])


def claim(*parts, **how):
    return Claim("name", "A sentence.", parts, "page", **how)


def finding(interval, **how):
    return claim(Part("x", interval, 0.5, **how)).findings[0]


@pytest.mark.parametrize(
    ("interval", "how", "expected"),
    [
        (HIGH, {}, "supported"),
        (HIGH, {"below": True}, "contradicted"),
        (LOW, {}, "contradicted"),
        (LOW, {"below": True}, "supported"),
        (WIDE, {}, "undecided"),
        (WIDE, {"below": True}, "undecided"),
        # Clearly above, but by less than matters.
        (NEAR, {}, "supported"),
        (NEAR, {"effect": 0.05}, "no difference that matters"),
        (NEAR, {"effect": 0.05, "below": True}, "no difference that matters"),
        (HIGH, {"effect": 0.45}, "supported"),
        (HIGH, {"effect": 0.5}, "undecided"),
        (Interval.of([5.0]), {}, "undecided"),
        (None, {}, "not measured"),
        (HIGH, {"obstacle": TOO_SHORT}, "not trained long enough"),
        (HIGH, {"obstacle": CANNOT_TELL}, "the score cannot tell"),
        (None, {"obstacle": TOO_SHORT}, "not trained long enough"),
        # Seeds without any spread are certain.
        (Interval.of([1.0, 1.0]), {}, "supported"),
        (Interval.of([0.5, 0.5]), {}, "undecided"),
    ],
)
def test_a_part_is_decided_by_tests_on_both_sides_of_its_threshold(interval, how, expected):
    assert finding(interval, **how) == expected


def test_the_p_values_are_those_of_scipys_one_sided_t_tests():
    values = [0.52, 0.61, 0.58, 0.55]
    chances = Part("x", Interval.of(values), 0.5, effect=0.02).chances
    assert chances["supported"] == pytest.approx(stats.ttest_1samp(values, 0.52, alternative="greater").pvalue)
    assert chances["contradicted"] == pytest.approx(stats.ttest_1samp(values, 0.48, alternative="less").pvalue)
    within = [
        stats.ttest_1samp(values, 0.48, alternative="greater").pvalue,
        stats.ttest_1samp(values, 0.52, alternative="less").pvalue,
    ]
    assert chances["no difference that matters"] == pytest.approx(max(within))


def test_the_more_parts_a_claim_has_the_more_each_must_show():
    """p = 0.02 alone is enough; beside three parts of p = 0.02 Holm asks for a quarter of it."""
    values = [0.5 + 0.1 * each for each in (0.2, 1.0, 1.9, 0.5, 1.1)]
    part = Part("x", Interval.of(values), 0.5)
    assert 0.025 / 4 < part.chances["supported"] < 0.025
    assert claim(part).findings == ("supported",)
    assert claim(*[part] * 4).findings == ("undecided",) * 4
    # Parts that were not tested do not count.
    absent, short = Part("x", None, 0.5), Part("x", HIGH, 0.5, obstacle=TOO_SHORT)
    assert claim(part, absent, absent, short).findings[0] == "supported"


PARTS = {
    "s": Part("x", HIGH, 0.5),
    "c": Part("x", LOW, 0.5),
    "u": Part("x", WIDE, 0.5),
    "e": Part("x", NEAR, 0.5, effect=0.05),
    "n": Part("x", None, 0.5),
    "t": Part("x", HIGH, 0.5, obstacle=TOO_SHORT),
    "k": Part("x", HIGH, 0.5, obstacle=CANNOT_TELL),
    # Supporting parts.
    "S": Part("x", HIGH, 0.5, necessary=False),
    "C": Part("x", LOW, 0.5, necessary=False),
    "U": Part("x", WIDE, 0.5, necessary=False),
}


@pytest.mark.parametrize(
    ("letters", "verdict", "of_a_compound"),
    [
        ("ss", "holds", "holds"),
        ("sS", "holds", "holds"),
        ("sC", "holds in part", "holds in part"),
        ("sU", "holds in part", "holds in part"),
        ("sc", "does not hold", "does not hold"),
        ("cn", "does not hold", "does not hold"),
        ("ct", "does not hold", "does not hold"),
        ("su", "undecided", "holds in part"),
        ("se", "no difference that matters", "holds in part"),
        ("ee", "no difference that matters", "no difference that matters"),
        ("eu", "undecided", "undecided"),
        ("uC", "undecided", "undecided"),
        ("uS", "undecided", "undecided"),
        ("sn", "not measured", "holds in part"),
        ("nn", "not measured", "not measured"),
        ("st", "not trained long enough", "holds in part"),
        ("uk", "the score cannot tell", "the score cannot tell"),
    ],
)
def test_a_claims_verdict_follows_from_its_parts(letters, verdict, of_a_compound):
    parts = [PARTS[letter] for letter in letters]
    assert claim(*parts).verdict == verdict
    assert claim(*parts, compound=True).verdict == of_a_compound


def test_the_line_of_a_part_says_all_that_it_rests_on():
    part = Part("digit", Interval.of([0.2, 0.4]), 0.1, 0.02, below=True, necessary=False, basis="2 runs: 60,000 images")
    line = part.text("contradicted")
    assert line.startswith("digit (supporting): 0.300 ± ")
    assert line.endswith("(0.200, 0.400); claimed < 0.1, by more than 0.02: contradicted. 2 runs: 60,000 images")
