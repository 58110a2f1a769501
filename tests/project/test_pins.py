"""environment.yml, pyproject.toml and requirements.lock say the same."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import vitae

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
ENTRIES = re.split(r"\n(?=[a-z0-9])", "\n".join(line for line in LOCK.splitlines() if not line.startswith("#")))
PINS: dict[str, set[Version]] = {}
for entry in ENTRIES:
    pinned = re.match(r"([a-z0-9._-]+)==([^\s;]+)", entry.strip())
    if pinned:
        PINS.setdefault(pinned[1].replace("_", "-"), set()).add(Version(pinned[2]))


def direct_requirements():
    extras = PROJECT["project"]["optional-dependencies"].values()
    named = [*PROJECT["project"]["dependencies"], *(item for extra in extras for item in extra)]
    return [Requirement(text) for text in [*named, *PROJECT["build-system"]["requires"]]]


def test_what_this_project_is_asked_to_use_is_declared():
    wanted = {"torch", "torchvision", "jupyter", "jupyter-book", "papermill"}
    wanted |= {"matplotlib", "seaborn", "pytest", "nbval"}
    assert wanted <= {requirement.name for requirement in direct_requirements()}


def test_the_lock_pins_every_direct_requirement_within_its_bounds():
    for requirement in direct_requirements():
        assert PINS.get(requirement.name), f"{requirement.name} is not locked: run 'make lock'"
        for version in PINS[requirement.name]:
            assert version in requirement.specifier, f"{requirement.name} {version} is locked, {requirement} is wanted"


def test_the_lock_holds_the_pair_of_torch_and_torchvision_that_fit_each_other():
    for constraint in map(Requirement, PROJECT["tool"]["uv"]["constraint-dependencies"]):
        assert all(version in constraint.specifier for version in PINS[constraint.name])
    assert (PINS["torch"], PINS["torchvision"]) == ({Version("2.13.0")}, {Version("0.28.0")})


def test_every_entry_of_the_lock_has_hashes_and_none_names_an_address():
    entries = [entry for entry in ENTRIES if "==" in entry]
    assert len(entries) > 100
    for entry in entries:
        assert "--hash=sha256:" in entry, entry
    assert "://" not in LOCK
    assert "--index" not in LOCK
    assert "--find-links" not in LOCK


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.lock"]}, "every pin comes from the lock, none is written twice"
    (python,) = [item for item in conda if item.startswith("python=")]
    assert Version(python.removeprefix("python=")) in SpecifierSet(PROJECT["project"]["requires-python"])
    assert {item.split("=")[0] for item in conda} == {"python", "pip"}


def test_one_version_everywhere():
    version = PROJECT["project"]["version"]
    assert vitae.__version__ == version
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert citation["keywords"] == PROJECT["project"]["keywords"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version = {{{version}}}" in (ROOT / "book/references.md").read_text()
