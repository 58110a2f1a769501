"""What services read: workflows and forms of GitHub, hooks, Binder. They fail far away, so names are checked here."""

import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
JOBS = {(name, job): content for name, workflow in WORKFLOWS.items() for job, content in workflow["jobs"].items()}
STEPS = [step for job in JOBS.values() for step in job["steps"]]
# What a job may write, beyond reading the code.
WRITES = {
    ("book", "publish"): {"pages": "write", "id-token": "write"},
    ("release", "publish"): {"id-token": "write"},
}
COMMANDS = [
    *(step["run"] for step in STEPS if "run" in step),
    *(hook["entry"] for hook in HOOKS),
    *(re.findall(r"^make .+$", (ROOT / ".ci/run").read_text() + (ROOT / ".ci/wheel").read_text(), flags=re.MULTILINE)),
]


def unknown(command):
    """What a command names that does not exist."""
    program, *arguments = shlex.split(command)
    if program == "make":
        targets = [word for word in arguments if "=" not in word]
        return [target for target in targets if not re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE)]
    # What make installs is not there before make has run.
    paths = [word for word in (program, *arguments) if "/" in word and not re.match(r"\.venv/bin/|build/", word)]
    missing = [path for path in paths if not (ROOT / path).exists()]
    if program in paths and not missing and not os.access(ROOT / program, os.X_OK):
        missing.append(f"{program} is not executable")
    return missing


@pytest.mark.parametrize("command", COMMANDS)
def test_services_call_commands_that_exist(command):
    assert unknown(command) == []


def test_what_does_not_exist_is_noticed():
    assert unknown("make nosuch PROFILE=smoke") == ["nosuch"]
    assert unknown(".ci/nosuch") == [".ci/nosuch"]
    assert unknown("./README.md") == ["./README.md is not executable"]


def test_the_workflows_run_what_runs_on_ones_own_machine():
    runs = {
        name: [step.get("run") for job in WORKFLOWS[name]["jobs"].values() for step in job["steps"]]
        for name in WORKFLOWS
    }
    assert ".ci/run" in runs["tests"]
    assert ".ci/wheel" in runs["tests"]
    assert ".ci/wheel" in runs["release"]
    assert "make book" in runs["book"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_only_read_and_is_alone(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert WORKFLOWS[name]["concurrency"]["group"]
    assert not re.search(r"secrets\.|pull_request_target", (ROOT / f".github/workflows/{name}.yml").read_text())


@pytest.mark.parametrize("job", JOBS, ids="-".join)
def test_a_job_ends_and_writes_only_what_it_must(job):
    assert JOBS[job]["timeout-minutes"] <= 120
    assert JOBS[job].get("permissions", {}) == WRITES.get(job, {})
    for step in JOBS[job]["steps"]:
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+(\.\d+)*", step["uses"]), "an action is pinned by version"
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_a_release_publishes_the_wheel_that_was_tried():
    wheel = JOBS["release", "wheel"]["steps"]
    (upload,) = (step["with"] for step in wheel if "upload-artifact" in step.get("uses", ""))
    (download,) = (step["with"] for step in JOBS["release", "publish"]["steps"] if "download" in step.get("uses", ""))
    assert JOBS["release", "publish"]["needs"] == "wheel"
    assert upload["name"] == download["name"]
    assert download["path"] == "dist", "where the publishing action looks"
    assert f"--out-dir {upload['path']}" in MAKEFILE
    (tag,) = (step["run"] for step in wheel if "GITHUB_REF_NAME" in step.get("run", ""))
    file = f"{PROJECT['project']['name'].replace('-', '_')}-{PROJECT['project']['version']}-py3-none-any.whl"
    assert tag.replace("${GITHUB_REF_NAME#v}", PROJECT["project"]["version"]).split("/")[-1].rstrip('"') == file


@pytest.mark.parametrize("form", ["bug", "result", "question"])
def test_an_issue_form_asks_named_questions(form):
    content = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{form}.yml").read_text())
    assert content["name"]
    assert content["description"]
    names = [field["id"] for field in content["body"]]
    assert len(names) == len(set(names))
    for field in content["body"]:
        assert field["type"] in ("input", "textarea")
        assert field["attributes"]["label"]
    assert any(field.get("validations", {}).get("required") for field in content["body"])


def test_every_file_of_the_package_is_in_the_wheel():
    declared = PROJECT["tool"]["setuptools"]["package-data"]["vitae"]
    packed = {path for pattern in declared for path in (ROOT / "vitae").glob(pattern)}
    # What Python and a user's editor leave behind has no place in it.
    files = {path for path in (ROOT / "vitae").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in files if path.suffix != ".py"} == packed
    assert all((path.parent / "__init__.py").exists() for path in files if path.suffix == ".py")


def test_binder_finds_the_package():
    script = ROOT / "postBuild"
    assert os.access(script, os.X_OK)
    assert "pip install --quiet --no-deps --no-build-isolation --editable ." in script.read_text()
