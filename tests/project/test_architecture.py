"""Rules of the design that no test of behaviour would notice."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "vitae"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 400  # lines of a module; the kernels may be longer
MOST_ENTRIES = 12


def room(path):
    """The folder below `vitae` that a file is in."""
    return path.relative_to(PACKAGE).parts[0]


def imported_rooms(path):
    """The folders below `vitae` that a file imports from."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "vitae":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]


def imports():
    """Room -> the other rooms that its files import from. The package's own front and entry point are above all."""
    found = {}
    for path in FILES:
        if path.parent != PACKAGE:
            found.setdefault(room(path), set()).update(set(imported_rooms(path)) - {room(path)})
    return found


def test_imports_run_one_way():
    try:
        list(graphlib.TopologicalSorter(imports()).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"these import each other: {' -> '.join(error.args[1])}")


def test_the_design_page_shows_the_tree_in_the_order_of_imports():
    page = (ROOT / "book/design.md").read_text(encoding="utf-8")
    shown = re.findall(r"^  (\w+)/ ", page, flags=re.MULTILINE)
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(shown) == folders
    for name, others in imports().items():
        assert all(shown.index(other) < shown.index(name) for other in others), f"{name} imports what comes later"


def test_the_package_is_small_enough_to_look_through():
    entries = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, entries
    long = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    long = {name: lines for name, lines in long.items() if lines > LONGEST and "kernels/" not in name}
    assert not long


def test_tests_mirror_the_package():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= {path.name for path in (ROOT / "tests").iterdir()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_one_module_writes_one_knows_folders_and_one_draws_random_numbers(path):
    source, name = path.read_text(encoding="utf-8"), str(path.relative_to(PACKAGE))
    if name not in ("support/files.py", "data/downloads.py"):
        writes = r"\.write_(text|bytes)\(|torch\.save\(|np\.savez?\w*\(|(?<!Image\.)\bopen\("
        assert not re.search(writes, source), "write through vitae.support.files"
    if name != "support/paths.py" and room(path) != "data":
        assert not re.search(r"Path\.(cwd|home)\(|expanduser", source), "folders are named in vitae.support.paths"
    # Initial weights seed torch's initialisers, inside fork_rng.
    if name not in ("support/randomness.py", "models/architectures.py"):
        assert not re.search(r"np\.random|manual_seed\(|import random\b", source), "draw from vitae.support.randomness"
