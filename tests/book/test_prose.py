"""Numbers in prose are computed from records, or are facts that are listed here.

A typed result would be wrong after the next run. So pages compute results, and every other number with decimals or a
unit must be listed below.
"""

import json
import re
from pathlib import Path

import pytest

from vitae.support import paths

ROOT = Path(__file__).resolve().parents[2]

REACH = {"2.5"}  # the end of latent traversals, a parameter of the figures
FACTS = {
    "README": {"3.11", "4.0"},  # Python, CC BY
    "benchmarks": {"0.1.3"},  # libcpab's version
    "celeba": REACH | {"0.5"},  # AUC of guessing
    "claims": {
        *("2.5%", "0.05", "0.02"),  # of the rule
        *("0.9", "0.99", "1.3", "3.9"),  # of the rule before, and of an exact translation under it
    },
    "data": {"26 MB", "268 MB", "2.5"},  # published files; 202,599 faces of 64 x 64 in three channels
    "deviations": {
        *("10%", "0.2", "0.002", "0.0001", "0.0003", "0.001", "70%", "30%", "0.5%"),  # settings
        *("0.49", "0.64"),  # what trials of the earlier score gave, which have no record
        "25 nats",  # the capacity of its authors
    },
    "dsprites": REACH,
    "mnist": REACH,
    "quantitative": {"95%", "5%", "0.5%"},  # of intervals, tests and the rule of convergence
    "rerun": {"3.11", "20 seconds"},  # Python; between checkpoints
    "rooms": {"268 MB"},  # the published file
    "scores": {"0.5", "0.05"},  # guessing; a definition
    "sprites": {"12.765", "7.2125", "99.9965%", "26 MB"},  # the recovered geometry, and how well it fitted
    "transformations": {"95%"},
    "tuning": {"1.39", "0.2", "0.3", "0.1", "0.5"},  # log 4; settings
}
_UNIT = r"(?:%| (?:percent|seconds|minutes|hours|KB|MB|nats|times)\b)"
# With decimals, or with a unit.
NUMBER = re.compile(rf"(?<![\w.])(?:\d[\d,]*(?:\.\d+)+{_UNIT}?|\.\d+|\d[\d,]*{_UNIT})")


def prose_of(text: str) -> str:
    """Markdown without code, mathematics and addresses."""
    for pattern in (r"```.*?```", r"`[^`]*`", r"\$\$.*?\$\$", r"\$[^$]*\$", r"\(http[^)]*\)"):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    return text


def pages() -> dict[str, str]:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")}
    texts["README"] = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts[path.stem] = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return texts


@pytest.mark.parametrize(("page", "text"), pages().items(), ids=list(pages()))
def test_no_result_is_typed(page, text):
    typed = set(NUMBER.findall(prose_of(text)))
    assert typed == FACTS.get(page, set()), "compute the number from a record, or list it above if it is a fact"


@pytest.mark.parametrize(
    ("prose", "typed"),
    [
        ("C-VITAE has a score of 0.753, and 14.5 minutes pass.", ["0.753", "14.5 minutes"]),
        ("It took 12 minutes and 3 nats, .25 of it 20% idle.", ["12 minutes", "3 nats", ".25", "20%"]),
        ("Seed 3 of 5, z_P2, 64 x 64, chapter 2, `0.3` and $0.7$.", []),
    ],
)
def test_numbers_with_decimals_or_units_are_found(prose, typed):
    assert NUMBER.findall(prose_of(prose)) == typed


def test_the_stated_size_of_the_weights_is_right():
    """The only size that the book writes out in words: about thirteen megabytes."""
    size = sum(path.stat().st_size for path in paths.weights().glob("*.safetensors"))
    assert "about thirteen megabytes" in pages()["rerun"]
    assert round(size / 1e6) == 13
