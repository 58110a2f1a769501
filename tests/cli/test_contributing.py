"""Runs the files shown in CONTRIBUTING, unchanged, from a folder outside the clone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.+?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
COMMAND = re.search(r"^```sh\n(vitae --with .+?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)[1].replace("\\\n", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files, after running CONTRIBUTING's command in it."""
    folder = tmp_path_factory.mktemp("mine")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    process = python(folder, "-m", "vitae", *COMMAND.split()[1:])
    assert process.returncode == 0, process.stderr
    return folder


# Several commands in one process, which takes seconds to import torch.
PROGRAM = """
import contextlib, io, json, sys
from vitae.cli.main import main
results = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
    results.append((code or 0, out.getvalue(), err.getvalue()))
print(json.dumps(results))
"""


def python(folder, *arguments):
    environment = {
        **os.environ,
        "VITAE_HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def vitae_commands(folder, *commands, files=FILES):
    """Exit code, standard output and standard error of each command, with files loaded by `--with`."""
    options = [word for name in files for word in ("--with", name)]
    process = python(folder, "-c", PROGRAM, json.dumps([[*options, *arguments] for arguments in commands]))
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_each_extension_is_one_file():
    assert set(FILES) == {"my_dataset.py", "my_experiment.py", "my_model.py", "my_score.py", "my_transform.py"}


def test_the_record_has_the_dataset_model_transformation_and_scores(folder):
    record = json.loads((folder / "book/records/smoke/stripes/linear-vitae-seed0-transform=shear.json").read_text())
    assert record["data"]["location"] == "stripes drawn at random"
    assert record["configuration"]["strengths"] == {"floor": 1.0}
    assert record["scores"]["latents"] == ["z_A1", "z_A2", "z_P1", "z_P2"]
    assert 0 <= record["scores"]["active_latents"] <= 4
    assert record["score_versions"]["active_latents"] == record["score_versions"]["mig"] == 1


def test_the_table_has_the_titles_and_columns_of_the_declaration(folder):
    (trained, _, message), (_, table, _) = vitae_commands(
        folder,
        ["train", "stripes", "--model", "linear-vitae", "--profile", "smoke"],
        ["table", "--dataset", "stripes", "--profile", "smoke", "--format", "csv"],
    )
    assert trained == 0, message
    header, row = table.splitlines()
    names = [
        f"{name}{kind}" for name in ("test_elbo", "mig", "active_latents") for kind in ("", "_half_width", "_seeds")
    ]
    assert header.split(",") == ["model", "images", *names]
    assert row.startswith("linear-vitae,")
    assert all(float(cell) > -1e6 for cell in row.split(",")[2::3]), "numbers, each in a cell of its own"


def test_a_new_score_can_be_added_to_an_existing_record(folder):
    others = [name for name in FILES if name != "my_score.py"]
    [[code, *_]] = vitae_commands(folder, ["train", "stripes", "--model", "vae", "--profile", "smoke"], files=others)
    assert code == 0
    path = folder / "book/records/smoke/stripes/vae-seed0.json"
    before = json.loads(path.read_text())
    arguments = ["--dataset", "stripes", "--profile", "smoke", "--scores", "active_latents", "--write"]
    [[code, _, message]] = vitae_commands(folder, ["evaluate", "vae-seed0", *arguments])
    assert code == 0, message
    after = json.loads(path.read_text())
    assert after["scores"].pop("active_latents") >= 0
    assert after["score_versions"].pop("active_latents") == 1
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"seconds", "device", "commit", "versions"}, "only the scores change"


SHOWN = [
    (["train", "--help"], ["stripes", "linear-vitae", "free-bits", "--floor", "nats of KL per image"]),
    (["evaluate", "--help"], ["active_latents"]),
    (["data"], ["stripes: Stripes"]),
]
REFUSED = [
    (["train", "stripez", "--model", "vae"], "unknown dataset 'stripez'. Did you mean 'stripes'?"),
    (["train", "stripes", "--model", "linear-vitea"], "unknown model 'linear-vitea'. Did you mean 'linear-vitae'?"),
    (["train", "stripes", "--model", "c-vitae+free-bit"], "unknown objective 'free-bit'. Did you mean 'free-bits'?"),
    (
        ["train", "stripes", "--model", "c-vitae", "--transform", "sheer"],
        "unknown transformation 'sheer'. Did you mean 'shear'?",
    ),
    (["evaluate", "x", "--scores", "active_latent"], "unknown score 'active_latent'. Did you mean 'active_latents'?"),
    (["train", "stripes", "--model", "vae", "--beta", "2"], "the objective of vae has no beta"),
]


def test_help_and_lists_include_registered_names_and_errors_suggest_them(folder):
    results = vitae_commands(folder, *(arguments for arguments, _ in SHOWN + REFUSED))
    for (arguments, texts), (code, printed, _) in zip(SHOWN, results[: len(SHOWN)], strict=True):
        assert code == 0
        assert [text for text in texts if text not in printed] == [], arguments
    for (arguments, message), (code, _, error) in zip(REFUSED, results[len(SHOWN) :], strict=True):
        assert code == 2, arguments
        assert error.startswith(f"vitae: {message}")


def test_custom_models_and_transformations_combine_with_built_in_ones(folder):
    options = ["--transform", "affine+shear", "--profile", "smoke", "--epochs", "1"]
    [[code, _, message]] = vitae_commands(folder, ["train", "stripes", "--model", "linear-vitae+elbo", *options])
    assert code == 0, message


def test_importing_the_files_in_python_registers_them(folder):
    program = (
        "import my_dataset, my_experiment, my_model, my_score, my_transform, vitae\n"
        "record = vitae.run(vitae.configure('stripes', 'linear-vitae', 'smoke', 1))\n"
        "print(record['run'], 'active_latents' in record['scores'])"
    )
    process = python(folder, "-c", program)
    assert process.stdout.strip() == "linear-vitae-seed1 True", process.stderr
