"""Atomic writing, so that a crash leaves the old file or the new one; and reading of arrays and tensors.

Tensors are stored as safetensors, which can be loaded without executing code.
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
    """The disk or the quota is full."""


@contextlib.contextmanager
def _atomic_writer(path: Path, previous: Path | None = None) -> Iterator[BinaryIO]:
    """A temporary file beside `path`, open for writing, that is renamed to `path` when the context ends.

    Args:
        previous: where to move the file that was at `path` before; None replaces it.

    Raises:
        DiskFullError: the disk or quota is full; the file that was at `path` before is still there.
        InputError: the folder cannot be written; the file that was at `path` before is still there.
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


def image_format(path: Path) -> str:
    """The format that a file's extension names, png or svg.

    Raises:
        InputError: any other extension.
    """
    extension = path.suffix.lower().lstrip(".")
    if extension not in ("png", "svg"):
        raise InputError(f"cannot draw to {path}: name a .png or .svg file.")
    return extension


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically.

    Raises:
        DiskFullError: the disk or quota is full; a previous file is still there.
        InputError: the file cannot be written for another reason; a previous file is still there.
    """
    with _atomic_writer(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; raises as `write_bytes`."""
    write_bytes(path, text.encode())


def require_writable(path: Path) -> None:
    """Check that a file can be written, before the work of computing its content.

    Raises:
        InputError: it cannot be written.
    """
    if path.is_dir() or not path.name.strip("."):
        raise InputError(f"cannot write {path}: is a directory; name a file.")
    probe = path.with_name(f".{path.name}.writable")
    write_text(probe, "")
    # missing_ok: another process may check the same path at the same time.
    probe.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict, previous: Path | None = None) -> None:
    """Write tensors and metadata atomically, as safetensors; raises as `write_bytes`.

    Args:
        metadata: anything that JSON can represent.
        previous: where to move the file that was there before; None replaces it.
    """
    on_host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(on_host, {_METADATA_KEY: json.dumps(metadata)})
    with _atomic_writer(path, previous) as file:
        file.write(content)


# The key of the safetensors header that holds the metadata, as JSON, since the header's values are strings.
_METADATA_KEY = "vitae"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {})[_METADATA_KEY])
            if not isinstance(metadata, dict):
                raise ValueError
            yield file, metadata
    except FileNotFoundError:
        raise
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} is damaged, or was not written by vitae ({type(error).__name__})") from None


def read_metadata(path: Path) -> dict:
    """The metadata of a file of tensors, without its tensors; raises as `read_tensors`."""
    with _opened(path) as (_, metadata):
        return metadata


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the metadata of a file; loading executes no code.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is damaged, or was not written by `write_tensors`; the message has no final full stop, so
            that callers can append advice.
    """
    with _opened(path) as (file, metadata):
        return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 (not a dictionary)


def append_line(path: Path, text: str) -> None:
    """Append a line to a UTF-8 text file.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {(error.strerror or reason(error)).lower()}.") from None


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array as `.npy` atomically, for `np.load(..., mmap_mode="r")`; raises as `write_bytes`."""
    with _atomic_writer(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays as a compressed `.npz` atomically, equal bytes for equal arrays; raises as `write_bytes`."""
    with _atomic_writer(path) as file:
        np.savez_compressed(file, **arrays)


def read_arrays(path: Path, required: Sequence[str] = (), others: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`, by name; loading executes no code.

    Args:
        required: names of arrays that the file must hold.
        others: names of optional arrays; None reads all arrays.

    Raises:
        InputError: the file is missing, is not an `.npz`, lacks an array, or an array holds Python objects.
    """
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds a single array without a name: write it with np.savez.")
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
        raise InputError(f"the arrays of {path} do not fit into memory: store fewer points.") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or reason(error)).lower()}.") from None
    except Exception as error:  # numpy raises many kinds of errors on damaged archives
        raise InputError(
            f"cannot read arrays from {path} ({reason(error)}): write arrays of numbers or text with np.savez."
        ) from None
