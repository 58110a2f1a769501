"""Records: round trip, damage, selection, and the command that reproduces a run."""

import json
import math
import shlex

import pytest
from example_record import example_record

from vitae import InputError, configure
from vitae.cli import train
from vitae.cli.main import main
from vitae.experiments.records import SCHEMA, command_for, load_records, load_trials, read_record, write_record
from vitae.support import paths


def written(path, **changes):
    write_record(path, example_record())
    stored = json.loads(path.read_text())
    stored.update(changes)
    path.write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))
    return path


def test_a_record_is_read_as_written_with_null_for_numbers_that_are_not_finite(tmp_path):
    original = example_record()
    original["losses"] = [1.25, math.nan, math.inf]
    write_record(tmp_path / "r.json", original)
    assert read_record(tmp_path / "r.json") == {"schema": SCHEMA, **original, "losses": [1.25, None, None]}


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda path: written(path, schema=99), "has schema 99, this vitae reads 2"),
        (lambda path: written(path, schema=None), "has schema None"),
        (lambda path: written(path, scores=None), "lacks scores"),
        (lambda path: written(path, seconds=3), "has no usable seconds"),
        (
            lambda path: written(path, configuration={"model": "vae"}),
            "lacks configuration.dataset",
        ),
        (
            lambda path: written(path, scores={**example_record()["scores"], "d_score": "high"}),
            "has no usable scores.d_score",
        ),
        (
            lambda path: written(path, scores={**example_record()["scores"], "predictability": 3}),
            "has no usable scores.predictability",
        ),
        (lambda path: written(path, scores={**example_record()["scores"], "mig": [0.5]}), r"no usable scores\.mig"),
        (lambda path: written(path, losses=[3.0, "x"]), r"has no usable losses\[1\]"),
        (
            lambda path: written(path, device="cpu\x1b]0;title\x07"),
            "no usable device, which must be printable text",
        ),
        (lambda path: written(path, note="\x1b[31m"), "has control characters"),
        (lambda path: written(path, parameters=10**400), "is not a readable record|has no usable parameters"),
        (lambda path: path.write_text("[" * 10**5 + "]" * 10**5), "nested too deeply.*is not a readable record"),
        (lambda path: path.write_text("{ half"), "is not a readable record"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not a readable record"),
        (lambda path: path.write_text("[]"), "has schema None"),
        (lambda path: None, "there is no record"),
    ],
)
def test_unreadable_records_are_errors_that_say_why(tmp_path, damage, complaint):
    damage(tmp_path / "r.json")
    with pytest.raises(InputError, match=complaint):
        read_record(tmp_path / "r.json")


def test_runs_with_changed_settings_are_not_loaded_by_default():
    folder = paths.records() / "quick" / "mnist"
    write_record(folder / "b.json", example_record("vae", 1))
    write_record(folder / "a.json", example_record("vae", 0))
    write_record(folder / "c.json", example_record("vae", 0, overrides={"epochs": 3}))
    assert [r["configuration"]["seed"] for r in load_records("quick", "mnist")] == [0, 1]
    assert load_records("full", "mnist") == []


def test_runs_are_loaded_by_their_exact_changes():
    folder = paths.records() / "full" / "mnist"
    for name, changes in (("a", {}), ("b", {"transform": "cpab"}), ("c", {"transform": "cpab", "epochs": 3})):
        write_record(folder / f"{name}.json", example_record("c-vitae", profile="full", overrides=changes))
    (found,) = load_records("full", "mnist", transform="cpab")
    assert found["configuration"]["overrides"] == {"transform": "cpab"}


def test_trials_are_the_runs_evaluated_on_the_validation_split(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "committed_records", lambda: tmp_path / "clone")
    folder = paths.records() / "full" / "mnist"
    for configuration in (
        configure("mnist", "c-vitae", "full"),
        configure("mnist", "c-vitae", "full", validation=True, perspective=2),
        configure("mnist", "c-vitae", "full", perspective=2),
    ):
        trial = example_record("c-vitae") | {"run": configuration.run, "configuration": configuration.as_json()}
        write_record(folder / f"{configuration.run}.json", trial)
    (found,) = load_trials("mnist")
    assert found["run"] == "c-vitae-seed0-perspective=2-validation=True"
    assert load_trials("dsprites") == []
    # Committed trials are found from any home folder; of two with one name the user's own counts.
    elsewhere = trial["configuration"] | {"validation": True}
    for name, seconds in (("a-validation=True", 5.0), (found["run"], 7.0)):
        committed = trial | {
            "run": name,
            "configuration": elsewhere,
            "seconds": {"train": seconds, "evaluate": 1.0},
        }
        write_record(tmp_path / "clone" / "full" / "mnist" / f"{name}.json", committed)
    assert [trial["seconds"]["train"] for trial in load_trials("mnist")] == [5.0, 1.0]


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("vae", {}),
        ("c-vitae", {"validation": True, "epochs": 3, "perspective_decoder": "hidden", "transform": "affine+cpab-3x4"}),
        (
            "u-vitae+dip-ii",
            {"dip_lambda": 0.7, "kl_annealing": 0.5, "samples": 20, "train_size": 500, "learning_rate_warmup": 0.2},
        ),
        ("u-vitae+beta-tc", {"beta": 4.0, "perspective": 3, "gamma_limit": 0.25, "learning_rate": 0.001}),
    ],
)
def test_a_records_command_reproduces_its_configuration(monkeypatch, model, changes):
    configuration = configure("mnist", model, "full", 3, **changes)
    trained = []
    monkeypatch.setattr(train, "run_together", lambda configurations, **how: trained.extend(configurations) or [])
    words = shlex.split(command_for({"configuration": configuration.as_json()}))
    assert words[0] == "vitae"
    assert main(words[1:]) == 0
    assert trained == [configuration]
