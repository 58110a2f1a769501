"""Atomic writing, so that a crash leaves the old file or the new one; and the one place that opens files of others.

Both take regular files only: writing would replace a device by a file, and reading would wait for a pipe's other end.
Tensors are stored as safetensors, which can be loaded without executing code.
"""

import contextlib
import errno
import json
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from vitae.support.errors import DamagedError, InputError, MemoryShortError, is_memory_shortage, reason

# Text and JSON that a person or this package wrote; the largest record has a few hundred kilobytes.
_MOST_TEXT = 2**26  # bytes
# Arrays of an .npz, unpacked: a small archive can hold more than any memory.
_MOST_UNPACKED = 2**35  # bytes
_DEEPEST_JSON = 64  # levels; a record has six


class DiskFullError(InputError):
    """The disk or the quota is full."""


def _kind(mode: int) -> str:
    """What a file is that is no regular one."""
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for holds, name in kinds if holds(mode)), "no regular file")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file that somebody else may have made, open for reading.

    Raises:
        OSError: there is no such file, or it cannot be read.
        MemoryShortError: memory was too short for what the block did with the file.
        InputError: it is no regular file.
    """
    # First by name, because opening a device can do something to it; then again, in case it was exchanged.
    _require_regular(path, os.stat(path).st_mode)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        with open(descriptor, "rb") as file:
            _require_regular(path, os.fstat(descriptor).st_mode)
            yield file
    except Exception as error:
        if not isinstance(error, InputError) and is_memory_shortage(error):
            raise MemoryShortError(
                f"there is not enough memory to read {path}, which may well be in order: close other programs, or use "
                f"a machine with more memory."
            ) from None
        raise


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise InputError(f"cannot read {path}: it is {_kind(mode)}, not a regular file.")


def read_text(path: Path) -> str:
    """The UTF-8 text of a file that somebody else may have made, without a byte order mark.

    Raises:
        OSError, MemoryShortError, InputError: as `opened`.
        UnicodeDecodeError: it is not UTF-8.
        DamagedError: it is larger than any text that is read here.
    """
    with opened(path) as file:
        content = file.read(_MOST_TEXT + 1)
        if len(content) > _MOST_TEXT:
            raise DamagedError(f"{path} is too large for text, more than {_MOST_TEXT // 2**20} MiB")
        return content.decode("utf-8-sig")


def read_json(path: Path):
    """The content of a JSON file that somebody else may have made.

    Raises:
        FileNotFoundError: there is no such file.
        MemoryShortError, InputError: as `opened`, or it cannot be read.
        DamagedError: it is no JSON, or nested deeper than anything that is read here.
    """
    try:
        return _json(read_text(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or reason(error)).lower()}.") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise DamagedError(f"{path} is not JSON ({reason(error)})") from None


def _json(text: str):
    """Parse JSON of bounded depth; raises ValueError."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(_DEEPEST_JSON):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        if not inner:
            return value
        level = [each for values in inner for each in values]
    raise ValueError("nested too deeply")


def _target(path: Path) -> Path:
    """The file that writing to a name replaces: where links lead, so that the links stay.

    Raises:
        InputError: the name leads to what is no regular file.
    """
    target = path
    for _ in range(_MOST_LINKS):
        # Names of what a process has open, such as /dev/stdout: replacing the file would take it from that process.
        if os.path.realpath(target.parent) == "/dev" or os.path.realpath(target.parent).startswith(
            ("/proc/", "/dev/fd")
        ):
            raise InputError(f"cannot write {path}: it is no regular file; name a file.")
        if not target.is_symlink():
            break
        target = target.parent / os.readlink(target)
    else:
        raise InputError(f"cannot write {path}: it is a link that leads in a circle; name a file.")
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"cannot write {path}: it is {_kind(mode)}; name a file.")
    return target


# As many as Linux follows.
_MOST_LINKS = 40


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
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        temporary = Path(name)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        temporary.chmod(0o644)
        if previous is not None:
            with contextlib.suppress(FileNotFoundError):
                target.replace(previous)
        temporary.replace(target)
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
    """Write UTF-8 text atomically, with escapes for bytes of file names that are no UTF-8; raises as `write_bytes`."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def require_writable(path: Path) -> None:
    """Check that a file can be written, before the work of computing its content.

    Raises:
        InputError: it cannot be written.
    """
    if not path.name.strip("."):
        raise InputError(f"cannot write {path}: it is a folder; name a file.")
    try:
        target = _target(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {(error.strerror or reason(error)).lower()}; name a file.") from None
    probe = target.with_name(f".{target.name}.writable")
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


# A header states names, types and shapes; safetensors has the same limit.
_MOST_HEADER = 100_000_000  # bytes


def read_metadata(path: Path) -> dict:
    """The metadata of a file of tensors, without its tensors; raises as `read_tensors`."""
    with _damage_named(path), opened(path) as file:
        return _metadata_in(file)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the metadata of a file; loading executes no code.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: the file is damaged, or was not written by `write_tensors`.
        MemoryShortError, InputError: as `opened`, or it cannot be read.
    """
    with _damage_named(path), opened(path) as file:
        metadata = _metadata_in(file)
        file.seek(0)
        # From memory and not by name, because safetensors takes no name that is not UTF-8.
        return safetensors.torch.load(file.read()), metadata


def _metadata_in(file: BinaryIO) -> dict:
    """What `write_tensors` stored beside the tensors; raises KeyError or ValueError."""
    length = int.from_bytes(file.read(8), "little")
    if length > _MOST_HEADER:
        raise ValueError("too long a header")
    header = _json(file.read(length).decode())
    metadata = _json(header["__metadata__"][_METADATA_KEY])
    if not isinstance(metadata, dict):
        raise ValueError("no metadata")
    return metadata


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, InputError):
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or reason(error)).lower()}.") from None
    except Exception as error:  # safetensors and torch raise many kinds of errors on damaged files
        raise DamagedError(f"{path} is damaged, or was not written by vitae ({type(error).__name__})") from None


def append_line(path: Path, text: str) -> None:
    """Append a line to a UTF-8 text file.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(_target(path), "a", encoding="utf-8", errors="backslashreplace") as file:
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


def require_unpackable(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that states more content than any memory holds.

    Raises:
        InputError: it does.
    """
    if (size := sum(entry.file_size for entry in archive.infolist())) > _MOST_UNPACKED:
        raise InputError(
            f"the arrays of {path} take {size / 2**30:,.0f} GiB, more than the {_MOST_UNPACKED // 2**30} that are read "
            f"here: store fewer points."
        )


def read_arrays(path: Path, required: Sequence[str] = (), others: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`, by name; loading executes no code.

    Args:
        required: names of arrays that the file must hold.
        others: names of optional arrays; None reads all arrays.

    Raises:
        InputError: the file is missing, is not an `.npz`, lacks an array, or an array holds Python objects.
    """
    try:
        with opened(path) as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds a single array without a name: write it with np.savez.")
            require_unpackable(path, archive.zip)
            if absent := [name for name in required if name not in archive.files]:
                held = ", ".join(archive.files) or "nothing"
                raise InputError(f"{path} lacks {' and '.join(absent)}: it holds {held}.")
            wanted = archive.files if others is None else [*required, *others]
            return {name: archive[name] for name in wanted if name in archive.files}
    except FileNotFoundError:
        raise InputError(f"there is no file {path}.") from None
    except MemoryShortError:
        raise InputError(f"the arrays of {path} do not fit into memory: store fewer points.") from None
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or reason(error)).lower()}.") from None
    except Exception as error:  # numpy raises many kinds of errors on damaged archives
        raise InputError(
            f"cannot read arrays from {path} ({reason(error)}): write arrays of numbers or text with np.savez."
        ) from None
