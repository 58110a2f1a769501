import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vitae import results
from vitae.experiments import COMPARED_SEEDS, COMPARED_TRANSFORMS, PROFILES, ROWS, SEEDS

ROOT = Path(__file__).resolve().parent.parent
SNAKEFILE = (ROOT / "Snakefile").read_text()


def literal(name):
    return ast.literal_eval(re.search(rf"^{name} = (.+)$", SNAKEFILE, flags=re.MULTILINE)[1])


def test_the_pipeline_runs_the_rows_seeds_and_notebooks_that_there_are():
    assert literal("MODELS") == list(ROWS)
    assert literal("SEEDS") == SEEDS
    assert ["affine", *literal("COMPARED_TRANSFORMS")] == list(COMPARED_TRANSFORMS)
    assert literal("COMPARED_SEEDS") == COMPARED_SEEDS
    assert list(literal("MINUTES")) == list(PROFILES)
    notebooks = ast.literal_eval(re.search(r"^NOTEBOOKS = (\[.+?\]) \+ DATASETS$", SNAKEFILE, flags=re.MULTILINE)[1])
    assert {*notebooks, *literal("DATASETS")} == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


def planned(*options):
    """The jobs of a dry run, as snakemake prints them."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", "--nolock", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "executor",
    [["--cores", "2"], ["--executor", "slurm", "--jobs", "20", "--default-resources", "slurm_partition=gpu", "gpu=1"]],
    ids=["local", "slurm"],
)
def test_all_seeds_of_a_model_are_one_job_here_and_on_a_cluster(executor):
    said = planned(*executor, "--config", "profile=smoke", "seeds=0-9", "--", "table", "runs")
    # Each job is told after a line with the time.
    jobs = [job for job in re.split(r"^\[.+\]$", said, flags=re.MULTILINE) if job.startswith("\nrule train:")]
    trained = [re.search(r"model=([^,]+), changes=([^,]*),", job).groups() for job in jobs]
    compared = [("c-vitae", f"-transform={name}") for name in COMPARED_TRANSFORMS if name != "affine"]
    assert sorted(trained) == sorted([(row, "") for row in ROWS] + compared)
    assert all("seeds=0-9" in job for job in jobs)
    assert all(("slurm_partition=gpu" in job and "gpu=1" in job) == ("slurm" in executor) for job in jobs)
    assert "rule tabulate:" in said


def test_ci_looks_for_every_page_and_for_every_figure_that_a_notebook_makes():
    """A page or figure that is added must be added to .ci/run too."""
    ci = (ROOT / ".ci" / "run").read_text()
    for page in (ROOT / "book").glob("*.md"):
        assert re.search(rf"\b{page.stem}\b", ci), page
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{path.stem}" in ci
    for figure in (ROOT / "figures" / "full").glob("*.*g"):
        if not figure.name.startswith("quantitative"):  # drawn from full records whatever the profile
            assert figure.name in ci, figure.name


def test_committed_figures_of_the_records_show_all_of_them(monkeypatch):
    """`papermill notebooks/quantitative.ipynb -p profile full` draws them again after records were added."""
    monkeypatch.setenv("VITAE_HOME", str(ROOT))
    runs = {record["run"] for record in results.load("full", "mnist")}
    provenance = json.loads((ROOT / "figures/full/quantitative-digit-by-space.json").read_text())
    assert set(provenance["runs"]) == runs


def test_every_room_that_training_depends_on_retrains_when_it_changes():
    patterns = re.search(r"for pattern in \((.+?)\)\n", SNAKEFILE, flags=re.DOTALL)[1]
    listed = set(re.findall(r'"([a-z]+)(?:/\*)?"', patterns))
    rooms = {path.stem for path in (ROOT / "vitae").iterdir() if path.suffix in ("", ".py") and path.stem[0] != "_"}
    # These only read, draw, write or parse what a run computed.
    assert rooms - listed == {"cli", "errors", "files", "paths", "plots", "results", "bench", "download"}


def test_committed_records_are_of_the_schema_profile_and_settings_that_are_declared(monkeypatch):
    from vitae import configure

    monkeypatch.setenv("VITAE_HOME", str(ROOT))
    records = results.load("full", "mnist")
    assert {record["configuration"]["model"] for record in records} == set(ROWS)
    for record in records:
        stated = record["configuration"]
        assert stated == configure("mnist", stated["model"], "full", stated["seed"]).as_json()
        assert (record["data"]["train"], record["data"]["evaluated"], record["scores"]["samples"]) == (
            60_000,
            10_000,
            1_000,
        )
