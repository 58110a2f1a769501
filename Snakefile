# The pipeline: train -> weights; score -> records; notebooks -> executed notebooks and figures; all of it -> the book.
#
#   snakemake --cores 2 --config profile=quick -- book
#   snakemake --cores 16 --config profile=full -- table       # all records of the poster's size, as tables
#   snakemake --executor slurm --jobs 20 --config profile=full seeds=0-9 -- table
#
# `make` calls it with the locked environment. On a cluster the same rules run as jobs: each names its inputs, outputs,
# log, threads, memory and minutes. Which rows, seeds and variants there are stands in vitae/experiments/*.toml, which
# pages there are in book/_toc.yml, and what a notebook needs in its own metadata under "vitae".

import json
import os
import re
import sys

from vitae.experiments.declaration import EXPERIMENTS, MOST_RUNS, PROFILES, planned_groups

sys.path.insert(0, "book")
from pages import pages

PROFILE = config.get("profile", "quick")
if PROFILE not in PROFILES:
    raise WorkflowError(f"unknown profile '{PROFILE}': choose one of {', '.join(PROFILES)}.")


def ranges(seeds):
    """The first and the last seed of each part of a list such as 0-9,20."""
    return [(int(first), int(last or first)) for first, _, last in (part.partition("-") for part in seeds.split(","))]


if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", str(config.get("seeds", 0))):
    raise WorkflowError(f"unknown seeds '{config['seeds']}': name some such as 0-9 or 0,3,7.")
if not 0 < sum(last - first + 1 for first, last in ranges(str(config.get("seeds", 0)))) <= MOST_RUNS:
    raise WorkflowError(f"seeds must be one to {MOST_RUNS:,} in rising order, got '{config['seeds']}'.")

# At most so many minutes for one training job.
MINUTES = dict(zip(PROFILES, (10, 90, 360), strict=True))

# Runs go there, and beside them a flag for each job that is done: runs/trained and runs/scored.
HOME = os.path.expanduser(os.environ.get("VITAE_HOME", ""))
if set("{}") & set(HOME):
    raise WorkflowError(f"VITAE_HOME is {HOME}, and snakemake takes braces in a path for a wildcard: rename the folder.")
TRAINED, SCORED = (os.path.join(HOME, "runs", step, PROFILE) for step in ("trained", "scored"))
JOB = "{dataset}/{model}{changes},seeds={seeds}"


def files(*patterns):
    """The files whose path matches a regular expression."""
    return [match for pattern in patterns for match in glob_wildcards(f"{{match,{pattern}}}").match]


# What determines weights, and what determines scores besides. Editing a score must not retrain anything.
TRAIN_CODE = files(
    r"vitae/(transforms|data|models|training)/.+[.](py|npz)",
    r"vitae/support/(devices|jit|randomness|threads)[.]py",
    r"vitae/experiments/(build|configuration|declaration|run_data|rows)[.](py|toml)",
)
SCORE_CODE = files(r"vitae/(metrics|evaluation)/.+[.]py", r"vitae/experiments/(records|run)[.]py")
PAGE_CODE = files(r"vitae/report/.+[.](py|mplstyle)")


def jobs(models):
    """The models of each job. Outside profile full one job trains all of them: starting a process takes seconds."""
    return list(models) if PROFILE == "full" else [",".join(models)] * bool(models)


def scored(dataset, models, changes, count):
    """The flags that say that models of a dataset are trained and scored, for so many seeds or those of --config."""
    if not count:
        return []
    seeds, changes = str(config.get("seeds", f"0-{count - 1}")), "".join(
        f"-{setting}={value}" for setting, value in sorted(changes.items())
    )
    return [f"{SCORED}/{dataset}/{each}{changes},seeds={seeds}" for each in jobs(models)]


# What a notebook may need, `runs/DATASET[/variants|/sisters]` -> the flags of its jobs.
RUNS = {}
for name, each in EXPERIMENTS.items():
    for group in planned_groups(name, PROFILE) if each.pipeline else []:
        need = "/".join(filter(None, ("runs", name, group.part)))
        RUNS.setdefault(need, []).extend(scored(name, group.rows, group.changes, group.seeds))
TABLES = [name for name in EXPERIMENTS if f"runs/{name}" in RUNS]


NOTEBOOKS = [page.removeprefix("notebooks/") for page in pages() if page.startswith("notebooks/")]


wildcard_constraints:
    dataset="[a-z0-9]+",
    model="[a-z0-9,-]+",
    changes=r"(-[a-z_]+=[a-z0-9+._-]+)*",
    seeds=r"[0-9,-]+",


rule book:
    input: "book/_build/html/index.html"


rule runs:
    input: *RUNS.values()


rule table:
    input: [f"build/table-{PROFILE}-{dataset}.md" for dataset in TABLES]


rule tabulate:
    input: lambda wildcards: RUNS[f"runs/{wildcards.dataset}"]
    output: f"build/table-{PROFILE}-{{dataset}}.md"
    params:
        profile=PROFILE,
    resources:
        mem_mb=1000,
        runtime=5,
    shell:
        "python -m vitae table --dataset {wildcards.dataset} --profile {params.profile} --format markdown > {output}"


def run_names(wildcards):
    """The names of a job's runs."""
    seeds = [seed for first, last in ranges(wildcards.seeds) for seed in range(first, last + 1)]
    return [f"{model}-seed{seed}{wildcards.changes}" for model in wildcards.model.split(",") for seed in seeds]


def delete_stale(wildcards):
    """A command that deletes what is older than the code: weights, checkpoints and records of a job's runs.

    Runs of profile full are hours of work: an edited file does not delete them.
    """
    if PROFILE == "full":
        return "true"
    newest = max([*TRAIN_CODE, f"vitae/experiments/{wildcards.dataset}.toml"], key=os.path.getmtime)
    folders = " ".join(os.path.join(HOME, place, PROFILE, wildcards.dataset) for place in ("runs", "book/records"))
    # A checkpoint of several runs has the model's name and not theirs.
    files = [f"{run}.*" for run in run_names(wildcards)]
    files += [f"{model}-*-runs-*.checkpoint*" for model in wildcards.model.split(",")]
    names = " -o ".join(f"-name '{name}'" for name in files)
    return f"find {folders} '(' {names} ')' ! -name '*.log' ! -newer {newest} -delete 2> /dev/null || true"


rule train:
    input:
        lambda wildcards: [] if PROFILE == "full" else [*TRAIN_CODE, f"vitae/experiments/{wildcards.dataset}.toml"],
    # A flag, not the weights: snakemake deletes the outputs of a failed job, and finished runs must survive.
    output: touch(f"{TRAINED}/{JOB}")
    params:
        profile=PROFILE,
        delete_stale=delete_stale,
        # Records of profile full are committed; their weights may be on another machine.
        skip="--skip-recorded" if PROFILE == "full" else "",
        changes=lambda wildcards: re.sub(
            r"-([a-z_]+)=(.+?)(?=-[a-z_]+=|$)",
            lambda match: f"--{match[1].replace('_', '-')} {match[2]} ",
            wildcards.changes,
        ),
    log: f"build/logs/{PROFILE}/{{dataset}}/train {{model}}{{changes}},seeds={{seeds}}.log"
    benchmark: f"build/seconds/{PROFILE}/train {{dataset}} {{model}}{{changes}}, seeds {{seeds}}"
    threads: 1
    retries: 1
    resources:
        mem_mb=4000,
        runtime=MINUTES[PROFILE],
    shell:
        "{params.delete_stale}; "
        "python -m vitae train {wildcards.dataset} --model {wildcards.model} --profile {params.profile} "
        "--seeds {wildcards.seeds} {params.changes} --no-scores {params.skip} --threads {threads} > '{log}' 2>&1 "
        "|| {{ tail -n 20 '{log}' >&2; exit 1; }}"


rule score:
    input:
        f"{TRAINED}/{JOB}",
        [] if PROFILE == "full" else SCORE_CODE,
    output: touch(f"{SCORED}/{JOB}")
    params:
        profile=PROFILE,
        runs=run_names,
        skip="--skip-recorded" if PROFILE == "full" else "",
    log: f"build/logs/{PROFILE}/{{dataset}}/score {{model}}{{changes}},seeds={{seeds}}.log"
    benchmark: f"build/seconds/{PROFILE}/score {{dataset}} {{model}}{{changes}}, seeds {{seeds}}"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=MINUTES[PROFILE],
    shell:
        "python -m vitae evaluate {params.runs} --dataset {wildcards.dataset} --profile {params.profile} --write "
        "{params.skip} --threads {threads} > '{log}' 2>&1 || {{ tail -n 20 '{log}' >&2; exit 1; }}"


def needs_of(wildcards):
    """What a notebook names in its metadata: `runs/DATASET[/variants|/sisters]`, or a pattern of files."""
    with open(f"notebooks/{wildcards.notebook}.ipynb", encoding="utf-8") as file:
        named = json.load(file)["metadata"].get("vitae", {}).get("needs", [])
    for need in named:
        if need.startswith("runs/") and need not in RUNS:
            raise WorkflowError(f"notebooks/{wildcards.notebook}.ipynb needs '{need}', which is none of {', '.join(RUNS)}.")
    return [path for need in named for path in (RUNS[need] if need.startswith("runs/") else files(need))]


rule execute:
    input:
        "notebooks/{notebook}.ipynb",
        "book/execute.py",
        PAGE_CODE,
        needs_of,
    output:
        "book/notebooks/{notebook}.ipynb",
    params:
        profile=PROFILE,
    log: "build/logs/{notebook}.log"
    benchmark: f"build/seconds/{PROFILE}/run notebook {{notebook}}"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=15,
    shell:
        "python book/execute.py {input[0]} {output} --profile {params.profile} > {log} 2>&1 "
        "|| {{ tail -n 40 {log} >&2; exit 1; }}"


rule play:
    # What the page `play` loads; its models come with the package, whatever the profile.
    input:
        "book/play.py",
        files(r"vitae/experiments/weights/.+[.]safetensors", r"vitae/(data|transforms|models)/.+[.]py"),
    output: "build/play/sheets.js"
    log: "build/logs/play.log"
    benchmark: f"build/seconds/{PROFILE}/write what the page play loads"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "python book/play.py build/play > {log} 2>&1 || {{ tail -n 20 {log} >&2; exit 1; }}"


rule build:
    input:
        "build/play/sheets.js",
        expand("book/notebooks/{notebook}.ipynb", notebook=NOTEBOOKS),
        files(r"book/[^_/]+[.](md|yml|bib)", r"book/_[a-z]+[.]yml", r"book/_(ext|play|static)/.+[.](py|css|js|svg)"),
        files(r"vitae/.+[.](py|toml)"),
        "CHANGELOG.md",
    output: "book/_build/html/index.html"
    log: "build/logs/book.log"
    benchmark: f"build/seconds/{PROFILE}/build the book"
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        # --all: the reference pages depend on docstrings, which Sphinx does not track.
        "jupyter-book build book --all -W --keep-going > {log} 2>&1 || {{ tail -n 40 {log} >&2; exit 1; }}"


rule pdf:
    input: "book/_build/html/index.html"
    output: "book/_build/vitae.pdf"
    log: "build/logs/pdf.log"
    resources:
        mem_mb=2000,
        runtime=20,
    shell:
        """
        {{ jupyter-book build book --all -W --keep-going --builder singlehtml --path-output build/single &&
           python book/pdf.py build/single/_build/singlehtml/index.html {output}; }} > {log} 2>&1 ||
          {{ tail -n 20 {log} >&2; exit 1; }}
        """
