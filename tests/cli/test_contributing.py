"""The files that CONTRIBUTING shows, run exactly as they are there, from a folder outside the clone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.+?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
COMMAND = re.search(r"^```sh\n(vitae --with .+?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)[1].replace("\\\n", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files, in which the command was run."""
    place = tmp_path_factory.mktemp("mine")
    for name, text in FILES.items():
        (place / name).write_text(text, encoding="utf-8")
    done = vitae(place, *COMMAND.split()[1:])
    assert done.returncode == 0, done.stderr
    return place


def vitae(folder, *arguments):
    environment = {**os.environ, "VITAE_HOME": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vitae", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def with_all(folder, *arguments):
    return vitae(folder, *(word for name in FILES for word in ("--with", name)), *arguments)


def test_each_thing_is_one_file():
    assert set(FILES) == {"my_dataset.py", "my_experiment.py", "my_model.py", "my_score.py", "my_transform.py"}


def test_the_run_has_the_dataset_model_transformation_and_scores(folder):
    record = json.loads((folder / "book/records/smoke/stripes/linear-vitae-seed0-transform=shear.json").read_text())
    assert record["data"]["location"] == "stripes drawn at random"
    assert record["configuration"]["strengths"] == {"floor": 1.0}
    assert record["scores"]["latents"] == ["z_A1", "z_A2", "z_P1", "z_P2"]
    assert 0 <= record["scores"]["active_latents"] <= 4
    assert record["score_versions"]["active_latents"] == record["score_versions"]["mig"] == 1


def test_its_table_has_the_titles_and_the_columns(folder):
    for arguments in (["--model", "linear-vitae"], ["--model", "vae", "--beta", "2"]):
        done = with_all(folder, "train", "stripes", *arguments, "--profile", "smoke")
        assert (done.returncode == 0) == ("--beta" not in arguments)
    done = with_all(folder, "table", "--dataset", "stripes", "--profile", "smoke", "--format", "csv")
    header, row = done.stdout.splitlines()
    assert header == "model,seeds,test ELBO,MIG,active latents"
    assert row.startswith("Linear VITAE,1,")


def test_a_score_added_later_reaches_an_old_run(folder):
    without = [word for name in FILES if name != "my_score.py" for word in ("--with", name)]
    assert vitae(folder, *without, "train", "stripes", "--model", "vae", "--profile", "smoke").returncode == 0
    path = folder / "book/records/smoke/stripes/vae-seed0.json"
    before = json.loads(path.read_text())
    arguments = ["--dataset", "stripes", "--profile", "smoke", "--scores", "active_latents", "--write"]
    done = with_all(folder, "evaluate", "vae-seed0", *arguments)
    assert done.returncode == 0, done.stderr
    after = json.loads(path.read_text())
    assert after["scores"].pop("active_latents") >= 0
    assert after["score_versions"].pop("active_latents") == 1
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"seconds", "device", "commit", "versions"}, "only the scores change"


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (["train", "--help"], ["stripes", "linear-vitae", "free-bits", "--floor", "nats of KL per image"]),
        (["evaluate", "--help"], ["active_latents"]),
        (["data"], ["stripes: Stripes"]),
    ],
)
def test_it_is_shown_where_the_packages_own_is_shown(folder, arguments, known):
    printed = with_all(folder, *arguments).stdout
    for text in known:
        assert text in printed


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "stripez", "--model", "vae"], "unknown dataset 'stripez'. Did you mean 'stripes'?"),
        (["train", "stripes", "--model", "linear-vitea"], "unknown model 'linear-vitea'. Did you mean 'linear-vitae'?"),
        (
            ["train", "stripes", "--model", "c-vitae+free-bit"],
            "unknown objective 'free-bit'. Did you mean 'free-bits'?",
        ),
        (
            ["train", "stripes", "--model", "c-vitae", "--transform", "sheer"],
            "unknown transformation 'sheer'. Did you mean 'shear'?",
        ),
        (
            ["evaluate", "x", "--scores", "active_latent"],
            "unknown score 'active_latent'. Did you mean 'active_latents'?",
        ),
    ],
)
def test_errors_suggest_it(folder, arguments, complaint):
    done = with_all(folder, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"vitae: {complaint}")


def test_the_composed_transformation_and_any_objective_work_too(folder):
    options = ["--profile", "smoke", "--epochs", "1"]
    done = with_all(folder, "train", "stripes", "--model", "linear-vitae+elbo", "--transform", "affine+shear", *options)
    assert done.returncode == 0, done.stderr


def test_in_python_an_import_is_enough(folder):
    program = (
        "import my_dataset, my_experiment, my_model, my_score, my_transform, vitae\n"
        "record = vitae.run(vitae.configure('stripes', 'linear-vitae', 'smoke', 1))\n"
        "print(record['run'], 'active_latents' in record['scores'])"
    )
    environment = {**os.environ, "VITAE_HOME": str(folder), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "linear-vitae-seed1 True", done.stderr
