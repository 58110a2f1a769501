"""The rules of the design that code can break without a test of behaviour noticing."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "vitae"
# Imports run from later rooms to earlier ones, never back.
ORDER = [
    ["errors"],
    ["randomness", "paths", "files", "compute", "compiled", "schedule"],
    ["transforms", "rendering", "download"],
    ["data", "nets"],
    ["likelihoods"],
    ["models"],
    ["objectives"],
    ["together", "evaluate", "metrics", "effects"],
    ["train"],
    ["results"],
    ["experiments"],
    ["scoring", "pretrained", "claims"],
    ["runs"],
    ["plots", "bench"],
    ["cli"],
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in RANK)


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "vitae":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    for other in imported_rooms(path):
        assert other in RANK, f"{other} has no place in the order"
        assert other == room(path) or RANK[other] < RANK[room(path)], f"{path.name} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_files_writes_only_paths_knows_and_only_streams_are_random(path):
    source = path.read_text()
    if room(path) not in ("files", "download"):
        writes = r"\.write_(text|bytes)\(|torch\.save\(|np\.savez?\w*\(|(?<!Image\.)\bopen\("
        assert not re.search(writes, source), "write through vitae.files"
    if room(path) != "paths" and "data" not in path.parts:
        assert not re.search(r"Path\.(cwd|home)\(|expanduser", source), "directories are for vitae.paths"
    if room(path) not in ("randomness", "experiments"):  # `build` seeds torch's initialisers, inside fork_rng
        assert not re.search(r"np\.random|manual_seed\(|import random\b", source), "randomness comes from a stream"
