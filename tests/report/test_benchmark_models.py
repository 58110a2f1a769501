"""`vitae bench train` and `vitae bench evaluate`: the plain implementation and the records."""

import json
from pathlib import Path

import pytest
import torch

from vitae import build
from vitae.cli.main import main
from vitae.report.benchmarks import evaluate, measure, train
from vitae.report.benchmarks.train import with_authors_networks
from vitae.support.randomness import generator

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "book/records/benchmarks"


@pytest.mark.parametrize("model", ["vae", "c-vitae"])
def test_the_plain_importance_weights_equal_ours(model):
    """From the same posterior draws."""
    built = build(with_authors_networks(model), (1, 28, 28))
    x = torch.rand(1, 1, 28, 28, generator=generator("cpu", 0, "x"))
    plain = evaluate.plain_log_weights(built, x, 50, generator("cpu", 0, "noise"))
    with torch.no_grad():
        ours = built.log_weights(x, generator("cpu", 0, "noise"), 50)
    torch.testing.assert_close(plain, ours[0], rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("subject", ["train", "evaluate"])
def test_the_command_writes_a_record_with_the_parts_of_the_committed_one(subject, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "SECONDS_A_REPEAT", 0)
    monkeypatch.setattr(train, "_DIGITS", 64)
    monkeypatch.setattr(train, "_BATCH", 32)
    monkeypatch.setattr(train, "_EPOCHS", 1)
    monkeypatch.setattr(train, "BATCHES", [("vae", 16)])
    monkeypatch.setattr(evaluate, "_IMAGES", 2)
    monkeypatch.setattr(evaluate, "SAMPLES", 10)
    path = tmp_path / "record.json"
    assert main(["bench", subject, "--repeats", "1", "--output", str(path)]) == 0
    measured, committed = json.loads(path.read_text()), json.loads((RECORDS / f"{subject}.json").read_text())
    part = "one run" if subject == "train" else None
    assert set(measured) == set(committed)
    rows, committed_rows = (
        [record[part], record["many runs"][0]] if part else record["log p(x)"] for record in (measured, committed)
    )
    for row, committed_row in zip(rows, committed_rows, strict=True):
        assert set(row) == set(committed_row), "the committed record lacks parts of the benchmark: measure it again"
    # Operations per image do not depend on the number of images: 14.4 million, as the page says.
    if part:
        assert rows[0]["operations an image"] == committed_rows[0]["operations an image"]
        assert sum(rows[0]["shares of a step"].values()) == pytest.approx(1)
    assert "images/s" in capsys.readouterr().out if part else "milliseconds per image" in capsys.readouterr().out
