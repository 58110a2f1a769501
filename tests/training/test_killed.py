"""After kill -9 at any moment, the same command resumes and ends with the weights of an uninterrupted training.

Two kills by default; `VITAE_KILLS=20 python -m pytest tests/training/test_killed.py` for twenty.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from vitae.support.files import read_tensors
from vitae.support.randomness import generator

KILLS = int(os.environ.get("VITAE_KILLS", "2"))
EPOCHS = 10 + 5 * KILLS
SEEDS = (0, 1, 2)
PROGRAM = f"""
import torch
from vitae import configure, run_together
from vitae.training import loop
torch.set_num_threads(2)
loop._SECONDS_BETWEEN_CHECKPOINTS = 0.0
loop._STEPS_BETWEEN_COLLECTIONS_ON_CPU = 4
run_together([configure("mnist", "c-vitae", "smoke", seed, epochs={EPOCHS}) for seed in {SEEDS}], device="cpu")
"""


def start(home):
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env={**os.environ, "VITAE_HOME": str(home)})


def checkpoint_of(home):
    return next((home / "runs/smoke/mnist").glob("*.checkpoint"), None)


def time_of_checkpoint(home):
    """When the last checkpoint was written; None before the first, and between the two renames of a save."""
    try:
        return checkpoint_of(home).stat().st_mtime_ns
    except (AttributeError, FileNotFoundError):
        return None


def kill_after(process, home, delay):
    """Kill a process `delay` seconds after its first checkpoint."""
    before = time_of_checkpoint(home)
    deadline = time.monotonic() + 120
    while time_of_checkpoint(home) in (None, before):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"


def results_of(home, seed):
    name = f"c-vitae-seed{seed}-epochs={EPOCHS}"
    losses = json.loads((home / f"book/records/smoke/mnist/{name}.json").read_text())["losses"]
    return read_tensors(home / f"runs/smoke/mnist/{name}.safetensors")[0], losses


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_killed_and_restarted_processes_end_like_an_uninterrupted_one(tmp_path):
    killed, uninterrupted = tmp_path / "killed", tmp_path / "uninterrupted"
    delays = torch.rand(KILLS, generator=generator("cpu", 0, "kills")) * 0.2
    for delay in delays.tolist():
        kill_after(start(killed), killed, delay)
    for home in (killed, uninterrupted):
        assert start(home).wait() == 0
    assert checkpoint_of(killed) is None
    log = (killed / f"runs/smoke/mnist/c-vitae-seed0-epochs={EPOCHS}.log").read_text()
    assert log.count("resumes at step") == KILLS
    for seed in SEEDS:
        (weights, losses), (expected, expected_losses) = results_of(killed, seed), results_of(uninterrupted, seed)
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[name], value) for name, value in expected.items())
        assert losses == expected_losses
