import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vitae.experiments.declaration import COMPARED_SEEDS, COMPARED_TRANSFORMS, EXPERIMENTS, PROFILES, ROWS, SISTERS
from vitae.experiments.records import load_records, read_record
from vitae.report import poster

ROOT = Path(__file__).resolve().parents[2]
SNAKEFILE = (ROOT / "Snakefile").read_text()


def literal(name):
    """A constant of the Snakefile; MODELS and SISTERS may stand in others."""
    text = re.search(rf"^{name} = (.+?)(?=^\S[^\n]* = |^\n)", SNAKEFILE, flags=re.MULTILINE | re.DOTALL)[1]
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE).strip()
    if name in ("MODELS", "SISTERS"):
        return ast.literal_eval(text)
    return eval(text, {"__builtins__": {}}, {other: literal(other) for other in ("MODELS", "SISTERS")})


def sisters():
    """dataset -> the rows of the sister systems' table that no other table has."""
    declared = {name: experiment for name, experiment in EXPERIMENTS.items() if experiment.sisters}
    return {name: [row for row in e.sisters if row not in e.models] for name, e in declared.items()}


def test_the_pipeline_runs_the_rows_seeds_and_notebooks_that_there_are():
    assert literal("MODELS") == list(ROWS)
    declared = {name: experiment for name, experiment in EXPERIMENTS.items() if name != "folder"}
    assert literal("MODELS_OF") == {name: list(experiment.models) for name, experiment in declared.items()}
    assert literal("SISTERS") == list(SISTERS)
    assert literal("SISTERS_OF") == sisters()
    assert literal("SEEDS") == {
        profile: {name: experiment.seeds[profile] for name, experiment in declared.items()} for profile in PROFILES
    }
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
    said = planned(*executor, "--config", "profile=full", "seeds=0-9", "--", "table", "runs")
    # Each job is told after a line with the time.
    jobs = [job for job in re.split(r"^\[.+\]$", said, flags=re.MULTILINE) if job.startswith("\nrule train:")]
    trained = [re.search(r"dataset=([^,]+), model=([^,]+), changes=([^,]*),", job).groups() for job in jobs]
    compared = [("mnist", "c-vitae", f"-transform={name}") for name in COMPARED_TRANSFORMS if name != "affine"]
    compared += [("celeba", row, "-likelihood=bernoulli") for row in EXPERIMENTS["celeba"].models]
    rows = [(name, row, "") for name, models in literal("MODELS_OF").items() for row in models]
    rows += [(name, row, "") for name, models in sisters().items() for row in models]
    assert sorted(trained) == sorted(rows + compared)
    assert all("seeds=0-9" in job for job in jobs if "-likelihood" not in job)
    assert all(("slurm_partition=gpu" in job and "gpu=1" in job) == ("slurm" in executor) for job in jobs)
    assert "rule tabulate:" in said


@pytest.mark.parametrize("profile", ["smoke", "quick"])
def test_outside_profile_full_all_models_of_a_dataset_are_one_job(profile):
    said = planned("--cores", "2", "--config", f"profile={profile}", "--", "runs")
    trained = re.findall(r"dataset=([^,]+), model=([a-z0-9,-]+), changes=([^,]*), seeds=", said)
    rows = [(name, ",".join(models), "") for name, models in literal("MODELS_OF").items() if models]
    rows += [(name, ",".join(models), "") for name, models in sisters().items()]
    compared = [("mnist", "c-vitae", f"-transform={name}") for name in COMPARED_TRANSFORMS if name != "affine"]
    compared.append(("celeba", ",".join(EXPERIMENTS["celeba"].models), "-likelihood=bernoulli"))
    assert sorted(set(trained)) == sorted(rows + compared)


def test_ci_looks_for_every_page_and_for_every_figure_that_a_notebook_makes():
    """A page or figure that is added must be added to .ci/run too."""
    ci = (ROOT / ".ci" / "run").read_text()
    for page in (ROOT / "book").glob("*.md"):
        assert re.search(rf"\b{page.stem}\b", ci), page
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{path.stem}" in ci
    for figure in (ROOT / "figures" / "full").glob("*.*g"):
        # Those are drawn from full records whatever the profile, and these are of single seeds of profile full.
        if not figure.name.startswith("quantitative") and "-seed" not in figure.name:
            assert figure.name in ci, figure.name


@pytest.mark.parametrize("dataset", ["mnist", "dsprites", "smpl"])
def test_committed_figures_of_the_records_show_all_of_them(monkeypatch, dataset):
    """`papermill notebooks/quantitative.ipynb -p profile full` draws them again after records were added."""
    monkeypatch.setenv("VITAE_HOME", str(ROOT))
    runs = {record["run"] for record in load_records("full", dataset, poster.POSTER[dataset])}
    figure = ROOT / f"figures/full/quantitative-beside-the-poster-{dataset}.json"
    assert (set(json.loads(figure.read_text())["runs"]) if figure.exists() else set()) == runs


def test_every_room_that_training_depends_on_retrains_when_it_changes():
    patterns = re.search(r"for pattern in \((.+?)\)\n", SNAKEFILE, flags=re.DOTALL)[1]
    listed = set(re.findall(r'"([a-z]+)(?:/\*)?"', patterns))
    rooms = {path.stem for path in (ROOT / "vitae").iterdir() if path.suffix in ("", ".py") and path.stem[0] != "_"}
    # These only read, draw, write or parse what a run computed.
    assert rooms - listed == {
        "cli",
        "errors",
        "files",
        "paths",
        "plots",
        "results",
        "claims",
        "pretrained",
        "weights",
        "bench",
        "download",
    }


@pytest.mark.parametrize("dataset", [name for name in EXPERIMENTS if name != "folder"])
def test_committed_records_are_of_the_schema_profile_and_settings_that_are_declared(monkeypatch, dataset):
    from vitae import configure

    monkeypatch.setenv("VITAE_HOME", str(ROOT))
    for path in (ROOT / "book/records/full" / dataset).glob("*.json"):
        record = read_record(path)
        stated = record["configuration"]
        assert path.stem == record["run"]
        again = configure(dataset, stated["model"], "full", stated["seed"], **stated["overrides"])
        assert stated == again.as_json(), path
        if not stated["overrides"]:
            assert stated["model"] in (*EXPERIMENTS[dataset].models, *EXPERIMENTS[dataset].sisters)
            for size, name in (("train", "train_size"), ("evaluated", "test_size")):
                assert record["data"][size] == (stated[name] or record["data"][size])
