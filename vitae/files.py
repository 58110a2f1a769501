"""Writing so that a crash leaves the old file or the new one, never half of one."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from vitae.errors import InputError, reason


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary neighbour of `path`, then rename it into place.

    Raises:
        InputError: the disk is full or the folder cannot be written; what was at `path` before is still there.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        temporary = Path(name)
        write(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        # torch reports a full disk as a RuntimeError of its zip writer, without an errno.
        if isinstance(error, RuntimeError) and "file" not in str(error).lower():
            raise
        why = (getattr(error, "strerror", None) or reason(error)).lower()
        raise InputError(f"cannot write {path}: {why}. Free some space or name another folder.") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
