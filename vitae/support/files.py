"""Writing so that a crash leaves the old file or the new one, never half of one; and files of tensors read back.

Tensors are kept as safetensors: a table of names, shapes and bytes, which can be loaded without running anything.
"""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from vitae.support.errors import InputError, reason


class DiskFullError(InputError):
    """There is no space left to write to."""


@contextlib.contextmanager
def _replacing(path: Path, previous: Path | None = None) -> Iterator[BinaryIO]:
    """A temporary neighbour of `path`, open for writing, that is renamed into place when all is written.

    Args:
        previous: where to keep what was at `path` before.

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
        if previous is not None:
            with contextlib.suppress(FileNotFoundError):
                path.replace(previous)
        temporary.replace(path)
    except OSError as error:
        why = (error.strerror or reason(error)).lower()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"cannot write {path}: {why}; free some space.") from None
        raise InputError(f"cannot write {path}: {why}; choose another place.") from None
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
    if path.is_dir() or not path.name.strip("."):
        raise InputError(f"cannot write {path}: is a directory; name a file.")
    probe = path.with_name(f".{path.name}.writable")
    write_text(probe, "")
    # Another run of the same name may have been here at the same time.
    probe.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: dict[str, Tensor], stated: dict, previous: Path | None = None) -> None:
    """Write tensors and plain values beside them atomically, as safetensors.

    Args:
        stated: whatever JSON can say.
        previous: where to keep the file that was there before.
    """
    on_host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(on_host, {_STATED: json.dumps(stated)})
    with _replacing(path, previous) as file:
        file.write(content)


# The key of a safetensors header, whose values are text, under which plain values stand as JSON.
_STATED = "vitae"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            stated = json.loads((file.metadata() or {})[_STATED])
            if not isinstance(stated, dict):
                raise ValueError
            yield file, stated
    except FileNotFoundError:
        raise
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} is damaged, or not of vitae ({type(error).__name__})") from None


def read_stated(path: Path) -> dict:
    """The plain values of a file of tensors; raises as `read_tensors`."""
    with _opened(path) as (_, stated):
        return stated


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the plain values of a file; loading never runs code.

    Raises:
        FileNotFoundError: there is none.
        InputError: the file is damaged or holds something else.
    """
    with _opened(path) as (file, stated):
        return {name: file.get_tensor(name) for name in file.keys()}, stated  # noqa: SIM118 (not a dictionary)


def append_line(path: Path, text: str) -> None:
    """Add a line to a text file; raises as `_replacing`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {(error.strerror or reason(error)).lower()}.") from None


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array atomically, for `np.load(..., mmap_mode="r")`."""
    with _replacing(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write a compressed `.npz` atomically, the same bytes for the same arrays."""
    with _replacing(path) as file:
        np.savez_compressed(file, **arrays)


def read_arrays(path: Path, required: Sequence[str] = (), others: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`, by name; loading never runs code.

    Args:
        required: arrays that must be there.
        others: arrays that are read if they are there; None for all.

    Raises:
        InputError: there is no such file, it is none, it lacks an array, or one of those holds Python objects.
    """
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds a single array and no names: write it with np.savez.")
            if absent := [name for name in required if name not in archive.files]:
                held = ", ".join(archive.files) or "nothing"
                raise InputError(f"{path} lacks {' and '.join(absent)}: it holds {held}.")
            wanted = archive.files if others is None else [*required, *others]
            return {name: archive[name] for name in wanted if name in archive.files}
    except FileNotFoundError:
        raise InputError(f"there is no file {path}.") from None
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"the arrays of {path} do not fit into this machine's memory.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {(error.strerror or reason(error)).lower()}.") from None
    except Exception as error:  # a damaged archive can make any of its readers fail in any way
        raise InputError(
            f"{path} cannot be read as arrays ({reason(error)}): write numbers and text with np.savez, no objects."
        ) from None
