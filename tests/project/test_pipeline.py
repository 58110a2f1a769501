import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vitae import configure
from vitae.experiments.declaration import EXPERIMENTS
from vitae.experiments.records import is_superseded, load_records, read_record
from vitae.report.poster import POSTER

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
import pages as book_pages  # noqa: E402


def planned(*options):
    """The jobs of a dry run: (rule, its inputs, its wildcards) each, and everything that was printed."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", "--nolock", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "VITAE_HOME": ""})
    assert done.returncode == 0, done.stderr
    printed = done.stdout + done.stderr
    jobs = []
    for text in re.split(r"^\[.+\]$", printed, flags=re.MULTILINE):
        if rule := re.match(r"\n(?:local)?rule (\w+):", text):
            inputs = re.search(r"^    input: (.+)$", text, flags=re.MULTILINE)
            wildcards = re.search(r"^    wildcards: (.+)$", text, flags=re.MULTILINE)
            jobs.append((rule[1], inputs[1] if inputs else "", wildcards[1] if wildcards else ""))
    return jobs, printed


def declared(profile, seeds=None):
    """Dataset, models, changes and seeds of every job that the declarations ask for."""
    jobs = set()
    for name, experiment in EXPERIMENTS.items():
        if not experiment.pipeline:
            continue
        sisters = tuple(row for row in experiment.sisters if row not in experiment.rows)
        parts = [(experiment.rows, {}, experiment.seeds), (sisters, {}, experiment.sister_seeds)]
        parts += [(variant.rows, variant.changes, variant.seeds) for variant in experiment.variants]
        for rows, changes, counts in parts:
            if not counts.get(profile):
                continue
            text = "".join(f"-{key}={value}" for key, value in changes.items())
            for models in rows if profile == "full" else [",".join(rows)] * bool(rows):
                jobs.add((name, models, text, seeds or f"0-{counts[profile] - 1}"))
    return jobs


def trained(jobs):
    """The same of the planned jobs."""
    pattern = r"dataset=([^,]+), model=(.+), changes=(.*), seeds=(.+)"
    return {re.fullmatch(pattern, wildcards).groups() for rule, _, wildcards in jobs if rule == "train"}


@pytest.mark.parametrize(
    "executor",
    [["--cores", "2"], ["--executor", "slurm", "--jobs", "20", "--default-resources", "slurm_partition=gpu", "gpu=1"]],
    ids=["local", "slurm"],
)
def test_all_seeds_of_a_model_are_one_job_here_and_on_a_cluster(executor):
    jobs, printed = planned(*executor, "--config", "profile=full", "seeds=0-9", "--", "table", "runs")
    assert trained(jobs) == declared("full", "0-9")
    assert [rule for rule, *_ in jobs].count("tabulate") == sum(
        bool(experiment.rows) for experiment in EXPERIMENTS.values() if experiment.pipeline
    )
    assert ("slurm_partition=gpu" in printed) == ("slurm" in executor)


@pytest.mark.parametrize("profile", ["smoke", "quick"])
def test_outside_profile_full_all_models_of_a_dataset_are_one_job(profile):
    assert trained(planned("--cores", "2", "--config", f"profile={profile}", "--", "runs")[0]) == declared(profile)


SNAKEFILE = """
rule book:
    input: expand("{name}", name=["good", "bad", "last"])
rule make:
    output: "{name}"
    log: "{name}.log"
    benchmark: "seconds/make {name}"
    shell: "[ {wildcards.name} != bad ] && touch {output} || {{ echo the reason >&2; exit 1; }}"
"""


def test_each_step_is_a_line_and_a_failed_one_has_its_log(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going", "--logger", "steps"]
    there = {**os.environ, "PYTHONPATH": str(ROOT / "book/_snakemake")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=there)
    assert done.returncode == 1
    lines = [re.sub(r"\d+:\d\d", "m:ss", line) for line in done.stderr.splitlines()]
    failed = [lines.index("the reason"), lines.index("FAILED  make bad. Its whole log: bad.log")]
    assert failed == sorted(failed)
    finished = [line for line in lines if "of 3" in line]
    assert sorted(re.fullmatch(r" +(\d of 3) +m:ss +(make \w+)", line).groups()[1] for line in finished) == [
        "make good",
        "make last",
    ]
    assert len(lines) == 4


def test_scores_depend_on_the_code_of_scores_and_weights_do_not():
    jobs, _ = planned("--cores", "2", "--config", "profile=smoke", "--", "runs")
    for rule, inputs, wildcards in jobs:
        if rule in ("train", "score"):
            assert ("vitae/metrics/mig.py" in inputs) == (rule == "score")
            assert "vitae/report" not in inputs
        if rule == "train":
            assert "vitae/models/vae.py" in inputs
            assert "vitae/evaluation" not in inputs
            dataset = wildcards.partition(",")[0].removeprefix("dataset=")
            assert re.findall(r"experiments/(\w+)\.toml", inputs.replace("rows.toml", "")) == [dataset]


def test_the_pipeline_and_ci_name_no_dataset_page_or_figure():
    named = {*EXPERIMENTS, *(page.removeprefix("notebooks/") for page in book_pages.pages())} - {"index", "scores"}
    # The pages `play`, `data`, `design`, ... are also words and folders; datasets and chapters are neither.
    words = {
        "play",
        "sisters",
        "data",
        "design",
        "model",
        "status",
        "api",
        "references",
        "changelog",
        "notation",
        "folder",
    }
    for file in ("Snakefile", ".ci/run"):
        text = re.sub(r"^\s*#.*$", "", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert not {name for name in named - words if re.search(rf"\b{name}\b", text)}
        assert not re.search(r"\w+-\w+\.(png|svg)", text)


def test_a_page_in_the_table_of_contents_is_expected_of_a_built_book(monkeypatch, tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book/_toc.yml").write_text("root: index\nparts:\n- chapters:\n  - file: notebooks/empty\n")
    (tmp_path / "book/_build/html").mkdir(parents=True)
    (tmp_path / "book/_build/html/index.html").write_text("<html>")
    monkeypatch.setattr(book_pages, "ROOT", tmp_path)
    assert book_pages.problems("smoke") == ["missing page: notebooks/empty"]
    (tmp_path / "book/_build/html/index.html").write_text('<script src="https://cdn.example/x.js">')
    assert book_pages.problems("smoke")[1:] == ["loads something from elsewhere: book/_build/html/index.html"]
    (tmp_path / "book/_build/html/index.html").write_text("<p>.. automodule:: vitae</p>")
    assert book_pages.problems("smoke")[1:] == ["prints a directive: book/_build/html/index.html"]


def test_a_figure_without_its_picture_is_missed(monkeypatch, tmp_path):
    for name in ("book", "figures/smoke", "figures/full"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "book/_toc.yml").write_text("root: index\n")
    (tmp_path / "figures/full/mnist-digits.json").write_text("{}")
    (tmp_path / "figures/full/quantitative-x.json").write_text("{}")
    (tmp_path / "figures/smoke/play-pads.json").write_text("{}")
    monkeypatch.setattr(book_pages, "ROOT", tmp_path)
    missing = ["missing figure: figures/smoke/mnist-digits", "missing figure: figures/smoke/play-pads"]
    assert book_pages.problems("smoke")[1:] == missing
    for name in ("mnist-digits.svg", "mnist-digits.json", "play-pads.png"):
        (tmp_path / "figures/smoke" / name).write_text("x")
    assert book_pages.problems("smoke") == ["missing page: index"]


@pytest.mark.parametrize("dataset", POSTER)
def test_committed_figures_of_the_records_show_all_of_them(monkeypatch, dataset):
    """`papermill notebooks/quantitative.ipynb -p profile full` draws them again after records were added."""
    monkeypatch.setenv("VITAE_HOME", str(ROOT))
    runs = {record["run"] for record in load_records("full", dataset, POSTER[dataset])}
    figure = ROOT / f"figures/full/quantitative-beside-the-poster-{dataset}.json"
    assert (set(json.loads(figure.read_text())["runs"]) if figure.exists() else set()) == runs


def figures_of(notebook):
    """A pattern of the names of the figures that a notebook draws."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    names = []
    for call in ast.walk(ast.parse(code)):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "show" and len(call.args) > 2:
            parts = call.args[1].values if isinstance(call.args[1], ast.JoinedStr) else [call.args[1]]
            names.append("".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in parts))
    return re.compile(f"{notebook.stem}-({'|'.join(names)})")


def test_every_committed_figure_is_still_drawn():
    """A figure that no notebook draws any more would be missing from every built book."""
    drawn = [figures_of(path) for path in (ROOT / "notebooks").glob("*.ipynb")]
    for manifest in (ROOT / "figures/full").glob("*.json"):
        name = re.sub(r"-seed\d+$", "", manifest.stem)
        assert any(pattern.fullmatch(name) for pattern in drawn), manifest.name


@pytest.mark.parametrize("dataset", [name for name, experiment in EXPERIMENTS.items() if experiment.pipeline])
def test_committed_records_have_the_settings_that_are_declared(monkeypatch, dataset):
    monkeypatch.setenv("VITAE_HOME", str(ROOT))
    for path in (ROOT / "book/records/full" / dataset).glob("*.json"):
        record = read_record(path)
        stated = record["configuration"]
        assert path.stem == record["run"]
        if is_superseded(record):
            continue
        again = configure(dataset, stated["model"], "full", stated["seed"], **stated["overrides"])
        assert stated == again.as_json(), path
        if not stated["overrides"]:
            assert stated["model"] in (*EXPERIMENTS[dataset].rows, *EXPERIMENTS[dataset].sisters)
            for size, name in (("train", "train_size"), ("evaluated", "test_size")):
                assert record["data"][size] == (stated[name] or record["data"][size])
