import os
import re
import subprocess
import sys

import pytest

from vitae.cli.main import COMMANDS, main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "mnist", "--model", "c-vitea"], "unknown model 'c-vitea'. Did you mean 'c-vitae'?"),
        (
            ["train", "mnist", "--model", "vae", "--seeds", "3-1"],
            "--seeds: '3-1' is not one to 1,000 seeds in rising order",
        ),
        (
            ["train", "mnist", "--model", "vae", "--seeds", "0,,1"],
            "--seeds: expected whole numbers such as 0-9 or 0,3,7",
        ),
        (
            ["train", "mnist", "--model", "vae", "--kl-annealing", "1,"],
            "--kl-annealing: expected a number, or several such as 1,2,4",
        ),
        (["train", "mnist", "--model", "vae", "--seeds", "0-999,1000-1999"], "--seeds: '0-999,1000-1999' is more than"),
        (
            ["train", "mnist", "--model", "vae,c-vitae", "--seeds", "0-599"],
            "this asks for 1,200 runs, and one command starts 1,000 at most",
        ),
        (["train", "mnist", "--model", "vae", "--data-root", ""], "--data-root: expected a path, got nothing"),
        (["data", "mnist", "--export", ""], "--export: expected a path, got nothing"),
        (["data", "smpl", "--size", str(2**61), "--preview", "x.png"], "(10,000,000 at most)"),
        (["scores", "x.npz", "--output", " "], "--output: expected a path, got nothing"),
        (["study", "--workers", str(10**9)], "(1,024 at most)"),
        (["bench", "--repeats", str(10**9)], "(1,000 at most)"),
        (["evaluate", "\x1b]0;title\x07.json"], r"there is no record \x1b]0;title\x07.json"),
        (["train", "minst", "--model", "vae"], "unknown dataset 'minst'. Did you mean 'mnist'?"),
        (["train", "mnist", "--model", "vae", "--profile", "quik"], "unknown profile 'quik'. Did you mean 'quick'?"),
        (["train", "mnist", "--model", "vae", "--epochs", "-3"], "epochs must be a whole number of 0 or more, got -3."),
        (
            ["train", "mnist", "--model", "vae", "--epochs", "many"],
            "--epochs: expected a whole number, or several such as 1,2,4, got 'many'",
        ),
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
            "--spaces: expected names and sizes such as z_A=2,z_P=3, got 'z_A'",
        ),
        (["scores", "x.npz", "--figure", "x.pdf"], "name a .png or .svg file"),
        (["tabel"], "unknown command 'tabel'. Did you mean 'table'?"),
    ],
)
def test_invalid_input_is_reported_in_one_sentence(arguments, message, error_of):
    assert message in error_of(*arguments)


def test_python_m_vitae_runs_the_command_line():
    process = subprocess.run(
        [sys.executable, "-m", "vitae", "train", "x", "--model", "vae"], capture_output=True, text=True
    )
    assert process.returncode == 2
    assert process.stderr.startswith("vitae: unknown dataset 'x'")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_examples_of_that_command_only(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    printed = capsys.readouterr().out
    examples = re.findall(r"^  vitae (?:--with \S+ )?(\w+)", printed, flags=re.MULTILINE)
    assert examples
    assert set(examples) == {command}
    assert printed.index("examples:") < printed.index("options:"), "they are seen first"


def test_the_general_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for text in (*COMMANDS, "--with FILE.py", "$VITAE_HOME", "papermill"):
        assert text in printed
    assert main([]) == 2


def test_importing_vitae_imports_no_packages_that_only_some_commands_need():
    heavy = ("torchvision", "mlxtend", "matplotlib", "sklearn", "numba")
    program = f"import sys, vitae; print([name for name in {heavy} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


@pytest.mark.parametrize(("closed", "code"), [(">&-", 2), ("2>&- > /dev/null", 0)])
def test_closed_streams_are_no_traceback(closed, code):
    process = subprocess.run(
        ["sh", "-c", f'"$0" -m vitae --version {closed}', sys.executable], capture_output=True, text=True
    )
    assert process.returncode == code
    assert process.stderr.splitlines() == ["vitae: cannot write the output: standard output is closed."] * (code == 2)


def test_numba_that_does_not_start_is_one_sentence():
    process = subprocess.run(
        [sys.executable, "-m", "vitae", "data", "smpl", "--size", "1", "--preview", "x.png"],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_NUM_THREADS": "0"},
    )
    assert process.returncode == 2
    assert re.fullmatch(r"vitae: numba does not start \(.*\): correct the variables NUMBA_.*\.\n", process.stderr)
