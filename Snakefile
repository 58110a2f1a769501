# The pipeline: runs -> records and weights; notebooks -> executed notebooks and figures; both -> the book.
#
#   snakemake --cores 2 --config profile=quick -- book
#   snakemake --cores 16 --config profile=full -- runs        # all records of the poster's size
#
# `make` calls it with the locked environment. On a cluster the same rules run as jobs: every rule names its inputs,
# outputs, log, threads, memory and minutes.

# As in vitae.experiments, and a test holds them together: importing it here would take longer than a build in which
# nothing changed.
MODELS = ["vae", "beta-vae", "beta-tcvae", "dip-vae-ii", "u-vitae", "c-vitae"]
SEEDS = {"smoke": 1, "quick": 2, "full": 3}
# C-VITAE with other transformations than the affine one.
COMPARED_TRANSFORMS = ["cpab", "affine+cpab"]
COMPARED_SEEDS = {"smoke": 1, "quick": 2, "full": 1}
MINUTES = {"smoke": 5, "quick": 15, "full": 120}

PROFILE = config.get("profile", "quick")
if PROFILE not in SEEDS:
    raise WorkflowError(f"unknown profile '{PROFILE}': choose one of {', '.join(SEEDS)}.")

# Each shows one dataset, and needs no run.
DATASETS = ["digits", "sprites", "bodies", "faces", "rooms", "pictures"]
NOTEBOOKS = ["transformations", "mnist", "quantitative", "benchmarks"] + DATASETS
# Changing one of these changes what a run computes; plots, tables and the command line do not.
RUN_CODE = [
    path
    for pattern in ("data/*", "rendering/*", "transforms/*", "models/*", "metrics/*", "nets", "likelihoods", "objectives", "train",
                    "evaluate", "experiments", "randomness")
    for path in glob_wildcards(f"vitae/{{path,{pattern.replace('*', '[a-z0-9_]+')}}}.py").path
]
RUN_CODE = [f"vitae/{path}.py" for path in RUN_CODE]
PAGE_CODE = ["vitae/plots.py", "vitae/results.py", "vitae/bench/transforms.py", "vitae/bench/data.py", "vitae/vitae.mplstyle"]


def records_of(profile):
    return expand("book/records/{profile}/mnist/{model}-seed{seed}.json", profile=profile, model=MODELS,
                  seed=range(SEEDS[profile]))


def code_of(wildcards):
    # Records of profile full are hours of work and committed: an edited file does not throw them away by itself.
    return [] if wildcards.profile == "full" else RUN_CODE


def compared(profile):
    return expand("book/records/{profile}/mnist/c-vitae-seed{seed}-transform={transform}.json", profile=profile,
                  seed=range(COMPARED_SEEDS[profile]), transform=COMPARED_TRANSFORMS)


wildcard_constraints:
    seed=r"\d+",
    changes=r"(-transform=[a-z0-9+-]+)?",


rule book:
    input: "book/_build/html/index.html"


rule runs:
    input: records_of(PROFILE), compared(PROFILE)


rule train:
    input: code_of
    output:
        record="book/records/{profile}/mnist/{model}-seed{seed}{changes}.json",
        weights="runs/{profile}/mnist/{model}-seed{seed}{changes}.pt",
    params:
        transform=lambda wildcards: wildcards.changes.replace("-transform=", "--transform "),
    log: "build/logs/{profile}/mnist/{model}-seed{seed}{changes}.log"
    benchmark: "build/seconds/{profile}/train {model} seed {seed}{changes}"
    threads: 1
    retries: 1
    resources:
        mem_mb=3000,
        runtime=lambda wildcards: MINUTES[wildcards.profile],
    shell:
        "python -m vitae train mnist --model {wildcards.model} --profile {wildcards.profile} "
        "--seed {wildcards.seed} {params.transform} --threads {threads} > {log} 2>&1 || {{ tail -n 20 {log} >&2; exit 1; }}"


def needs_of(wildcards):
    if wildcards.notebook == "transformations":
        affine = [record for record in records_of(PROFILE) if "/c-vitae-" in record]
        return affine[:COMPARED_SEEDS[PROFILE]] + compared(PROFILE)
    if wildcards.notebook in DATASETS:
        return [path for path in RUN_CODE if path.startswith(("vitae/data/", "vitae/rendering/"))]
    if wildcards.notebook == "benchmarks":
        return glob_wildcards("{path,book/records/benchmarks/.*[.]json}").path
    return records_of(PROFILE)


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


rule build:
    input:
        expand("book/notebooks/{notebook}.ipynb", notebook=NOTEBOOKS),
        glob_wildcards("{path,book/[^_/]+[.](md|yml|bib)}").path,
        glob_wildcards("{path,book/_(ext|static)/.+[.](py|css|js|svg)}").path,
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
