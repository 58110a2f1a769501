"""Writing so that a crash leaves the old file or the new one, never half of one."""

import contextlib
import errno
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from vitae.errors import InputError, reason


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary neighbour of `path`, open for writing, that is renamed into place when all is written.

    Raises:
        InputError: the disk is full or the folder cannot be written; what was at `path` before is still there.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        why = (error.strerror or reason(error)).lower()
        advice = "free some space" if error.errno == errno.ENOSPC else "choose another place"
        raise InputError(f"cannot write {path}: {why}; {advice}.") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def picture_kind(path: Path) -> str:
    """png or svg, by a file's name.

    Raises:
        InputError: another extension.
    """
    extension = path.suffix.lower().lstrip(".")
    if extension not in ("png", "svg"):
        raise InputError(f"cannot draw to {path}: name a .png or .svg file.")
    return extension


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically; raises as `_replacing`."""
    with _replacing(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def require_writable(path: Path) -> None:
    """Fail before the work rather than after it.

    Raises:
        InputError: a file could not be written at `path`.
    """
    probe = path.with_name(f".{path.name}.writable")
    write_text(probe, "")
    # Another run of the same name may have been here at the same time.
    probe.unlink(missing_ok=True)


def write_tensors(path: Path, state: dict) -> None:
    """Write a dictionary of tensors and plain values atomically, for `torch.load(..., weights_only=True)`."""
    # Through memory: on a full disk torch's own writer fails with one of several messages about its internals.
    content = io.BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array atomically, for `np.load(..., mmap_mode="r")`."""
    with _replacing(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write a compressed `.npz` atomically, the same bytes for the same arrays."""
    with _replacing(path) as file:
        np.savez_compressed(file, **arrays)
