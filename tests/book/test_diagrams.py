"""The committed diagrams of the page `model` are those that book/diagrams.py draws."""

import importlib.util
from pathlib import Path

import pytest

from vitae.report.figures.provenance import write_figure

ROOT = Path(__file__).resolve().parents[2]

specification = importlib.util.spec_from_file_location("diagrams", ROOT / "book/diagrams.py")
diagrams = importlib.util.module_from_spec(specification)
specification.loader.exec_module(diagrams)


@pytest.mark.parametrize("name", list(diagrams.DIAGRAMS))
def test_a_committed_diagram_is_up_to_date(name, tmp_path):
    write_figure(diagrams.DIAGRAMS[name](), tmp_path / f"{name}.svg")
    assert (tmp_path / f"{name}.svg").read_bytes() == (diagrams.STATIC / f"{name}.svg").read_bytes()
    assert f"_static/{name}.svg" in (ROOT / "book/model.md").read_text(encoding="utf-8")
