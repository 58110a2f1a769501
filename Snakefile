# The pipeline: runs -> records and weights; notebooks -> executed notebooks and figures; both -> the book.
#
#   snakemake --cores 2 --config profile=quick -- book
#   snakemake --cores 16 --config profile=full -- table       # all records of the poster's size, as a table
#   snakemake --executor slurm --jobs 20 --config profile=full seeds=0-9 -- table
#
# `make` calls it with the locked environment. On a cluster the same rules run as jobs: every rule names its inputs,
# outputs, log, threads, memory and minutes. All seeds of a model are one job and one training.

import os
import re

# As in vitae.experiments, and a test holds them together: importing it here would take longer than a build in which
# nothing changed.
MODELS = ["vae", "beta-vae", "beta-tcvae", "dip-vae-ii", "u-vitae", "c-vitae"]
MODELS_OF = {"mnist": MODELS, "dsprites": MODELS, "smpl": MODELS, "celeba": ["vae", "c-vitae"], "shapes3d": []}
SEEDS = {
    "smoke": {"mnist": 1, "dsprites": 1, "smpl": 1, "celeba": 1, "shapes3d": 1},
    "quick": {"mnist": 1, "dsprites": 1, "smpl": 1, "celeba": 1, "shapes3d": 1},
    "full": {"mnist": 5, "dsprites": 5, "smpl": 5, "celeba": 3, "shapes3d": 3},
}
# What the table beside the sister systems has and the poster's has not, with the seeds of 3D Shapes.
SISTERS = ["capacity-vae", "factor-vae", "devae", "devae-2", "did"]
SISTERS_OF = {"dsprites": SISTERS, "shapes3d": ["beta-vae", "beta-tcvae"] + SISTERS}
# C-VITAE on MNIST with other transformations than the affine one.
COMPARED_TRANSFORMS = ["cpab", "affine+cpab"]
COMPARED_SEEDS = {"smoke": 1, "quick": 1, "full": 3}
MINUTES = {"smoke": 10, "quick": 90, "full": 360}

PROFILE = config.get("profile", "quick")
if PROFILE not in SEEDS:
    raise WorkflowError(f"unknown profile '{PROFILE}': choose one of {', '.join(SEEDS)}.")

# Beside the runs, wherever those go.
TRAINED = f"{os.path.expanduser(os.environ.get('VITAE_HOME', '.'))}/runs/trained/{PROFILE}"

# Each shows one dataset, and needs no run.
DATASETS = ["digits", "sprites", "bodies", "faces", "rooms", "pictures"]
NOTEBOOKS = ["play", "transformations", "mnist", "dsprites", "smpl", "celeba", "quantitative", "claims", "tuning", "sisters", "scores", "benchmarks"] + DATASETS
# Changing one of these changes what a run computes; plots, tables and the command line do not.
RUN_CODE = [
    path
    for pattern in ("data/*", "rendering/*", "transforms/*", "models/*", "metrics/*", "nets", "likelihoods", "objectives",
                    "schedule", "compute", "compiled", "together", "train", "evaluate", "experiments", "randomness",
                    "effects", "scoring", "runs")
    for path in glob_wildcards(f"vitae/{{path,{pattern.replace('*', '[a-z0-9_]+')}}}.py").path
]
RUN_CODE = [f"vitae/{path}.py" for path in RUN_CODE]
NEWEST_CODE = max(RUN_CODE, key=os.path.getmtime)
PAGE_CODE = ["vitae/plots.py", "vitae/results.py", "vitae/claims.py", "vitae/bench/transforms.py", "vitae/bench/data.py", "vitae/vitae.mplstyle"]


# Another choice of seeds: --config seeds=0-9.
if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", str(config.get("seeds", 0))):
    raise WorkflowError(f"unknown seeds '{config['seeds']}': name some such as 0-9 or 0,3,7.")
CHOSEN_COMPARED = str(config.get("seeds", f"0-{COMPARED_SEEDS[PROFILE] - 1}"))


def trained(dataset, model, changes="", seeds=None):
    """The file that says that all seeds of a model have their records."""
    seeds = seeds or str(config.get("seeds", f"0-{SEEDS[PROFILE][dataset] - 1}"))
    return f"{TRAINED}/{dataset}/{model}{changes},seeds={seeds}"


def jobs(models):
    """Outside profile full all models are one job: twenty processes that start take minutes of two cores."""
    return models if PROFILE == "full" else [",".join(models)]


ROWS = {dataset: [trained(dataset, model) for model in jobs(models)] for dataset, models in MODELS_OF.items() if models}
CHOSEN_SISTERS = str(config.get("seeds", f"0-{SEEDS[PROFILE]['shapes3d'] - 1}"))
ROWS["sisters"] = [
    trained(dataset, model, seeds=CHOSEN_SISTERS) for dataset, models in SISTERS_OF.items() for model in jobs(models)
]
COMPARED = [trained("mnist", "c-vitae", f"-transform={name}", CHOSEN_COMPARED) for name in COMPARED_TRANSFORMS]
# The rows of faces once more, one seed, to compare likelihoods.
OTHER_LIKELIHOOD = [trained("celeba", model, "-likelihood=bernoulli", "0-0") for model in jobs(MODELS_OF["celeba"])]
TABLES = ["mnist", "dsprites", "smpl"]


wildcard_constraints:
    dataset="[a-z0-9]+",
    model="[a-z0-9,-]+",
    changes=r"(-(transform|likelihood)=[a-z0-9+-]+)?",
    seeds=r"[0-9,-]+",


rule book:
    input: "book/_build/html/index.html"


rule runs:
    input: *ROWS.values(), COMPARED, OTHER_LIKELIHOOD


rule table:
    input: [f"build/table-{PROFILE}-{dataset}.md" for dataset in TABLES]


rule tabulate:
    input: lambda wildcards: ROWS[wildcards.dataset]
    output: f"build/table-{PROFILE}-{{dataset}}.md"
    params:
        profile=PROFILE,
    resources:
        mem_mb=1000,
        runtime=5,
    shell:
        "python -m vitae table --dataset {wildcards.dataset} --profile {params.profile} --format markdown > {output}"


rule train:
    # Records of profile full are hours of work and committed: an edited file does not throw them away by itself.
    input: [] if PROFILE == "full" else RUN_CODE
    # Not the records themselves, which snakemake would delete before it repeats a job that failed: what is done is kept.
    output: touch(f"{TRAINED}/{{dataset}}/{{model}}{{changes}},seeds={{seeds}}")
    params:
        profile=PROFILE,
        changes=lambda wildcards: wildcards.changes.replace("-", "--", 1).replace("=", " "),
        restart="" if PROFILE == "full" else f"--restart-older-than {NEWEST_CODE}",
    log: f"build/logs/{PROFILE}/{{dataset}}/{{model}}{{changes}},seeds={{seeds}}.log"
    benchmark: f"build/seconds/{PROFILE}/train {{dataset}} {{model}}{{changes}}, seeds {{seeds}}"
    threads: 1
    retries: 1
    resources:
        mem_mb=4000,
        runtime=MINUTES[PROFILE],
    shell:
        "python -m vitae train {wildcards.dataset} --model {wildcards.model} --profile {params.profile} "
        "--seeds {wildcards.seeds} {params.changes} {params.restart} --skip-recorded --threads {threads} > {log} 2>&1 "
        "|| {{ tail -n 20 {log} >&2; exit 1; }}"


def needs_of(wildcards):
    if wildcards.notebook == "play":
        return glob_wildcards("{path,vitae/weights/.+[.]safetensors}").path
    if wildcards.notebook == "transformations":
        return COMPARED + ([trained("mnist", "c-vitae")] if PROFILE == "full" else ROWS["mnist"])
    if wildcards.notebook in DATASETS:
        return [path for path in RUN_CODE if path.startswith(("vitae/data/", "vitae/rendering/"))]
    if wildcards.notebook == "scores":
        shown = ("vitae/metrics/", "vitae/data/", "vitae/evaluate")
        records = glob_wildcards("{path,book/records/benchmarks/scores[.]json}").path
        return records + [path for path in RUN_CODE if path.startswith(shown)]
    if wildcards.notebook == "tuning":
        return glob_wildcards("{path,book/records/(tuning|full/.+hold_out=True.*)[.]json}").path
    if wildcards.notebook == "benchmarks":
        return glob_wildcards("{path,book/records/benchmarks/.*[.]json}").path
    if wildcards.notebook in ("quantitative", "claims"):
        # The committed records of profile full, and for the table those of this profile.
        committed = glob_wildcards("{path,book/records/full/.+[.]json}").path
        return committed + [path for dataset in TABLES for path in ROWS[dataset]] * (wildcards.notebook == "quantitative")
    if wildcards.notebook == "sisters":
        studied = glob_wildcards("{path,book/records/full/(dsprites|shapes3d)/.+[.]json}").path
        return ROWS["sisters"] + ROWS["dsprites"] + studied
    return ROWS[wildcards.notebook] + OTHER_LIKELIHOOD * (wildcards.notebook == "celeba")


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
        glob_wildcards("{path,vitae/weights/.+[.]safetensors}").path,
        [path for path in RUN_CODE if path.startswith(("vitae/data/", "vitae/rendering/", "vitae/transforms/", "vitae/nets", "vitae/models/"))],
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
        glob_wildcards("{path,book/[^_/]+[.](md|yml|bib)}").path,
        glob_wildcards("{path,book/_(ext|play|static)/.+[.](py|css|js|svg)}").path,
        glob_wildcards("{path,vitae/.+[.]py}").path,
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
