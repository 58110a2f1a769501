"""Writing so that a crash leaves the old file or the new one, never half of one."""

import contextlib
import errno
import io
import os
import tempfile
from pathlib import Path

import torch

from vitae.errors import InputError, reason


def write_bytes(path: Path, content: bytes) -> None:
    """Write to a temporary neighbour of `path`, then rename it into place.

    Raises:
        InputError: the disk is full or the folder cannot be written; what was at `path` before is still there.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        why = (error.strerror or reason(error)).lower()
        advice = "free some space" if error.errno == errno.ENOSPC else "name another folder with $VITAE_HOME"
        raise InputError(f"cannot write {path}: {why}; {advice}.") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_tensors(path: Path, state: dict) -> None:
    """Write a dictionary of tensors and plain values atomically, for `torch.load(..., weights_only=True)`."""
    # Through memory: on a full disk torch's own writer fails with one of several messages about its internals.
    content = io.BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())
