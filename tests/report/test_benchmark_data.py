"""`vitae bench data`: the committed record and the command."""

import json
from pathlib import Path

from vitae.cli.main import main
from vitae.report.benchmarks import data

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "book/records/benchmarks"


def test_the_command_writes_a_record_and_prints_a_summary(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "RENDERED", [("dsprites", (64, 64), 20), ("smpl", (128, 64), 60)])
    # A clock that counts images, so that the rates do not depend on the machine.
    monkeypatch.setattr(data, "median_seconds", lambda work, repeats: float(len(work())))
    monkeypatch.setattr(data, "machine", lambda: {"processor": "test", "bytes a second": 1.0})
    load_all = data.load

    def load(name, split, root, source):
        return load_all(name, split, root=root, source=source, size=8)

    monkeypatch.setattr(data, "load", load)
    path = tmp_path / "record.json"
    assert main(["bench", "data", "--repeats", "1", "--output", str(path)]) == 0
    record, committed = json.loads(path.read_text()), json.loads((RECORDS / "data.json").read_text())
    assert set(record) == set(committed), "the committed record lacks parts of the benchmark: measure it again"
    assert [row["dataset"] for row in record["loading"]] == ["dsprites", "smpl", "celeba", "shapes3d"]
    assert [row["images a second"] for row in record["rendering"]] == [1, 1]
    assert "smpl 128 x 64:" in capsys.readouterr().out


def test_the_committed_record_reaches_its_targets():
    committed = json.loads((RECORDS / "data.json").read_text())
    assert committed["schema"] == data.SCHEMA
    targeted = [row for row in committed["rendering"] if row["asked"]]
    assert {f"{row['dataset']} {'x'.join(map(str, row['resolution']))}" for row in targeted} == set(data.TARGETS)
    for row in targeted:
        assert row["images a second"] > row["asked"]
