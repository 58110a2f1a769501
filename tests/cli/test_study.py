"""`vitae study`: which runs it does, in which order, and what it says."""

import subprocess

import pytest
from example_record import example_record

from vitae.cli import study
from vitae.cli.main import main
from vitae.experiments.configuration import configure, record_path
from vitae.experiments.declaration import EXPERIMENTS, planned_runs
from vitae.experiments.records import write_record


@pytest.mark.parametrize("profile", ["quick", "full"])
@pytest.mark.parametrize("dataset", [name for name, each in EXPERIMENTS.items() if each.pipeline])
def test_planned_runs_have_the_names_that_training_gives_them(dataset, profile):
    planned = planned_runs(dataset, profile)
    assert planned
    for run in planned:
        assert run.name == configure(dataset, run.row, profile, run.seed, **run.changes).run
    assert len({run.name for run in planned}) == len(planned)


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """The jobs that ran, each by writing records instead of training; c-vitae's seed 1 fails the first time."""
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    jobs, failing = [], {"c-vitae-seed1"}

    def run(job, profile, device):
        jobs.append([each.name for each in job])
        if job[0].name in failing:
            failing.clear()
            return 2, "the disk is full."
        for each in job:
            record = example_record(each.row, each.seed, profile) | {"convergence": None}
            file = record_path(configure(each.dataset, each.row, profile, each.seed, **each.changes))
            write_record(file, record | {"run": each.name, "seconds": {"train": 3500.0, "evaluate": 100.0}})
        return 0, ""

    monkeypatch.setattr(study, "_run", run)
    return jobs


COUNT = len(planned_runs("mnist", "full"))


def test_a_study_runs_what_is_left_reports_failures_and_resumes(ran, capsys):
    study_mnist = ["study", "mnist", "--profile", "full", "--device", "cpu", "--workers", "1"]
    assert main([*study_mnist, "--list"]) == 0
    assert ran == []
    assert f"0 of {COUNT} runs are done; {COUNT} runs are of data without a finished run" in capsys.readouterr().out
    assert main(study_mnist) == 2
    first = [job[0] for job in ran]
    rows = [row for row in EXPERIMENTS["mnist"].rows if "vitae" not in row]
    # Seed 0 of every row before seed 1 of any, and variants after the table.
    assert first[:6] == [*(f"{row}-seed0" for row in ("u-vitae", "c-vitae")), *(f"{row}-seed0" for row in rows)]
    assert first.index("vae-seed4") < first.index("c-vitae-seed0-transform=cpab")
    said = capsys.readouterr()
    assert "FAILED mnist c-vitae-seed1: the disk is full." in said.out
    assert f"1 of {COUNT} jobs failed; the others are done." in said.err
    ran.clear()
    assert main([*study_mnist, "--list"]) == 0
    assert f"{COUNT - 1} of {COUNT} runs are done; about 1.0 hours to go" in capsys.readouterr().out
    assert main(study_mnist) == 0
    assert ran == [["c-vitae-seed1"]]
    assert f"{COUNT} of {COUNT} runs are done." in capsys.readouterr().out


def test_records_of_the_first_short_trainings_do_not_count(ran, capsys):
    file = record_path(configure("mnist", "vae", "full", 0))
    write_record(file, example_record("vae", 0, "full"))
    assert main(["study", "mnist", "--profile", "full", "--list"]) == 0
    assert f"0 of {COUNT} runs are done" in capsys.readouterr().out


def test_on_a_gpu_all_seeds_of_a_row_are_one_job():
    jobs = study._jobs(study._Study(planned_runs("mnist", "full"), "full"), together=True)
    assert len(jobs) < COUNT / 3
    assert sorted(run.name for job in jobs for run in job) == sorted(run.name for run in planned_runs("mnist", "full"))
    [vae] = [job for job in jobs if job[0].row == "vae"]
    assert [run.seed for run in vae] == [0, 1, 2, 3, 4]
    assert all(len({(run.row, str(run.changes)) for run in job}) == 1 for job in jobs)


def test_each_process_gets_the_users_own_files_and_the_changes_of_its_run(monkeypatch, tmp_path):
    commands = []

    def noted(command, **how):
        commands.append(command)
        return subprocess.CompletedProcess(command, 2, "", "first\nthe last line\n")

    monkeypatch.setattr(study.subprocess, "run", noted)
    monkeypatch.setattr(study, "OWN_FILES", [tmp_path / "mine.py"])
    [job] = [[run] for run in planned_runs("mnist", "full") if run.name == "c-vitae-seed2-transform=cpab"]
    assert study._run(job, "full", "cpu") == (2, "the last line")
    [command] = commands
    assert command[2:7] == ["vitae", f"--with={tmp_path / 'mine.py'}", "train", "mnist", "--model"]
    assert command[-2:] == ["--transform", "cpab"]
    assert command[command.index("--seeds") + 1] == "2"


def test_a_wrong_number_of_workers_is_refused(capsys):
    assert main(["study", "mnist", "--workers", "-1", "--list"]) == 2
    assert "workers must be" in capsys.readouterr().err


def test_an_unknown_experiment_is_refused(capsys):
    assert main(["study", "mnits"]) == 2
    assert "Did you mean 'mnist'" in capsys.readouterr().err
