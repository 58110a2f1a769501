"""Runs the Python that the README shows, and parses its commands: a reader copies both."""

import importlib
import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import papermill
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.+?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"^```sh\n(.+?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
# What makes an example as shown take minutes, and the same in seconds.
SMALLER = {'profile="quick"': 'profile="smoke"', "size=15_000": "size=400", "size=1000": "size=10"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


def python(folder, *arguments):
    environment = {**os.environ, "VITAE_HOME": str(folder), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("VITAE_DATA", None)
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_examples_run_as_shown_and_write_what_they_name(folder):
    for block in BLOCKS:
        for large, small in SMALLER.items():
            block = block.replace(large, small)
        done = python(folder, "-W", "error", "-c", block)
        assert done.returncode == 0, done.stderr
        assert done.stdout
        for name in re.findall(r'"([\w.]+[.](?:png|npz))"', block):
            assert (folder / name).stat().st_size > 1_000
    (command,) = [each for each in COMMANDS if each[:2] == ["vitae", "scores"]]
    done = python(folder, "-m", *command, "--fast")
    assert done.returncode == 0, done.stderr
    assert (folder / "scores.json").exists()


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[:1] == ["vitae"]], ids=shlex.join)
def test_commands_have_the_options_that_are_shown(command):
    importlib.import_module(f"vitae.cli.{command[1]}").parser("vitae").parse_args(command[2:])


@pytest.mark.parametrize("command", [each for each in COMMANDS if "-p" in each], ids=shlex.join)
def test_notebooks_have_the_parameters_that_are_shown(command):
    given = [name for option, name in itertools.pairwise(command) if option == "-p"]
    assert set(given) <= set(papermill.inspect_notebook(ROOT / command[1]))
