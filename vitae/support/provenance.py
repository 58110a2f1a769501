"""Provenance of a result: commit, versions and device."""

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import torch


@cache
def commit() -> str:
    """The clone's commit, with a + if package or notebooks have uncommitted changes; `unknown` outside a clone."""
    clone = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(clone), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != clone:
            return "unknown"
        changed = git("status", "--porcelain", "--", "vitae", "notebooks")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def environment(device: torch.device) -> dict:
    """Versions, device and commit, as stored in records."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "scikit-learn": metadata.version("scikit-learn"),
        },
        "device": f"{device.type} ({name}, {torch.get_num_threads()} threads)",
        "commit": commit(),
    }
