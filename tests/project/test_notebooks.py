import ast
import json
import re
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
    described = papermill.inspect_notebook(path)
    for statement in ast.parse(parameters.source).body:
        name, kind = statement.target.id, type(ast.literal_eval(statement.value)).__name__
        assert kind == statement.annotation.id == described[name]["inferred_type_name"]
        names.append(name)
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


# Text that may come from a user's files: of a folder, a record, or what was registered.
USERS_TEXT = re.compile(
    r"\.(location|licence|citation|title)\b|\[.(location|title).\]|\b(names|titles)\[|caption\(|basis"
)
ESCAPING = ("escaped", "tables.as_markdown")


def parts(node):
    """A node and what is in it, except for the arguments of functions that escape them."""
    yield node
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ESCAPING):
        for child in ast.iter_child_nodes(node):
            yield from parts(child)


def test_users_text_in_markdown_is_escaped(notebook):
    for cell in notebook.cells:
        for call in ast.walk(ast.parse(cell.source if cell.cell_type == "code" else "")):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "Markdown":
                written = [each.value for each in parts(call) if isinstance(each, ast.FormattedValue)]
                unescaped = [value for value in written if not ast.unparse(value).startswith(ESCAPING)]
                assert [text for text in map(ast.unparse, unescaped) if USERS_TEXT.search(text)] == []


def test_a_notebook_says_first_how_to_get_its_environment_and_checks_its_parameters(notebook):
    assert "`make install`" in notebook.cells[0].source
    assert "`make lab`" in notebook.cells[0].source
    (number,) = [n for n, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    assert "\nparameters.check(globals()" in notebook.cells[number + 1].source


def test_no_cell_makes_an_output_that_is_not_shown(notebook):
    """Jupyter shows a cell's last expression; a `Markdown` or a figure before it needs `display`."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for statement in ast.parse(cell.source).body[:-1]:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                function = ast.unparse(statement.value.func)
                assert function not in ("Markdown", "HTML", "maker.show"), ast.unparse(statement)[:100]
