import ast
import json
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def test_tagged_cells_have_a_stored_output_for_nbval_to_compare(notebook):
    """nbval silently passes a tagged cell without one."""
    compared = tagged(notebook, "nbval-check-output")
    assert compared, "no cell of this notebook is tagged nbval-check-output"
    for cell in compared:
        assert cell.outputs, f"no stored output: {cell.source[:60]}"
        assert cell.execution_count, "nbval skips cells without an execution count"
        assert all(output.output_type == "stream" and output.name == "stdout" for output in cell.outputs)


def test_only_tagged_cells_have_stored_outputs(notebook):
    """The book's build creates all other outputs; in the source they would become outdated and enlarge the history."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "nbval-check-output" not in cell.metadata.get("tags", []):
            assert cell.outputs == []
            assert cell.execution_count is None


def test_every_parameter_is_a_literal_with_a_comment_for_papermill(path, notebook):
    (parameters,) = tagged(notebook, "parameters")
    names = []
    for statement in ast.parse(parameters.source).body:
        ast.literal_eval(statement.value)
        names.append(statement.targets[0].id)
    described = papermill.inspect_notebook(path)
    assert list(described) == names
    assert "profile" in names
    for name in names:
        assert len(described[name]["help"]) > 10, f"{name} has no comment"


def test_a_notebook_opens_without_asking_for_a_kernel(notebook):
    """Every environment has a kernel python3, here, on Binder and on Colab; vitae is one that `make install` adds."""
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="this is not the environment of make install")
def test_make_install_registers_a_kernel_of_its_environment():
    kernel = json.loads((ROOT / ".venv/share/jupyter/kernels/vitae/kernel.json").read_text())
    assert kernel["display_name"] == "vitae"
    assert Path(kernel["argv"][0]).parent == ROOT / ".venv/bin"


def test_every_page_and_notebook_is_in_the_table_of_contents():
    contents = yaml.safe_load((ROOT / "book/_toc.yml").read_text())
    listed = {contents["root"]} | {chapter["file"] for part in contents["parts"] for chapter in part["chapters"]}
    pages = {path.stem for path in (ROOT / "book").glob("*.md")} | {f"notebooks/{path.stem}" for path in NOTEBOOKS}
    assert listed == pages


def test_no_cell_makes_an_output_that_is_not_shown(notebook):
    """Jupyter shows a cell's last expression; a `Markdown` or a figure before it needs `display`."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for statement in ast.parse(cell.source).body[:-1]:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                function = ast.unparse(statement.value.func)
                assert function not in ("Markdown", "HTML", "maker.show"), ast.unparse(statement)[:100]
