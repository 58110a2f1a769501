"""A disk cache for arrays of images that are slow to render or to read, and parallel rendering into such arrays.

The file name of an entry is a hash of everything that determines its bytes. Entries are written atomically, so an
interrupted run leaves no partial entry.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vitae.support import paths
from vitae.support.errors import InputError
from vitae.support.files import write_array

_BLOCK = 64  # images per job
# Fewer images are quick to make again; more bytes would fill the user's disk.
_MIN_IMAGES, _MAX_BYTES = 1_000, 2**30

# Called as `write_block(rows, block)`: fills `block`, the part of the array at `rows`. Called from several threads.
BlockWriter = Callable[[slice, np.ndarray], None]


def cached_images(name: str, key: dict, shape: tuple[int, ...], write_block: BlockWriter) -> np.ndarray:
    """Render images in parallel, or read them from the cache.

    Args:
        name: of the dataset.
        key: JSON values that, with the name and the shape, determine every byte.
        shape: of the array, `n x ...`.
        write_block: renders a block of rows.

    Returns:
        uint8, `shape`.
    """
    return load_or_make(name, key, shape, lambda: fill_in_parallel(shape, write_block, name))


def load_or_make(
    name: str,
    key: dict,
    shape: tuple[int, ...],
    make: Callable[[], np.ndarray],
    max_bytes: int | None = _MAX_BYTES,
) -> np.ndarray:
    """Read an array from the cache, or call `make` and store the result; see `cached_images` for the arguments.

    Arrays of fewer than 1,000 images, or of more than `max_bytes`, are not cached.
    """
    if shape[0] < _MIN_IMAGES or (max_bytes is not None and np.prod(shape, dtype=np.int64) > max_bytes):
        return make()
    path = _entry_path(name, key, shape)
    if (entry := _read(path, shape)) is not None:
        return np.array(entry)
    array = make()
    _store(path, array)
    return array


def convert_file(name: str, file: Path, shape: tuple[int, ...], convert: Callable[[], np.ndarray]) -> np.ndarray:
    """The result of `convert`, memory-mapped from the cache; converted again when `file` changes."""
    path = _entry_path(name, {"file": file_state_hash([file], file.parent)}, shape)
    if (entry := _read(path, shape)) is not None:
        return entry
    array = convert()
    _store(path, array)
    return array


def fill_in_parallel(shape: tuple[int, ...], write_block: BlockWriter, label: str) -> np.ndarray:
    """Fill a uint8 array in blocks, on as many threads as torch uses, with a progress bar."""
    array = np.empty(shape, np.uint8)
    blocks = [slice(start, min(start + _BLOCK, shape[0])) for start in range(0, shape[0], _BLOCK)]
    pool = ThreadPoolExecutor(torch.get_num_threads())
    try:
        jobs = [pool.submit(write_block, rows, array[rows]) for rows in blocks]
        with tqdm(total=shape[0], desc=label, unit="image", disable=None, delay=1) as bar:
            for job, rows in zip(jobs, blocks, strict=True):
                job.result()
                bar.update(rows.stop - rows.start)
    finally:
        pool.shutdown(cancel_futures=True)
    return array


def array_hash(array: np.ndarray) -> str:
    """Hash of an array's bytes, to be part of a key."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def file_state_hash(files: list[Path], folder: Path) -> str:
    """Hash of the files' paths below `folder`, sizes, times and inodes, without reading their content.

    The change time and the inode are included because copying tools cannot restore them.
    """
    content = hashlib.sha256()
    for path in files:
        status = os.stat(path)
        state = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino
        content.update(os.fsencode(f"{path.relative_to(folder)}|{state}\n"))
    return content.hexdigest()[:16]


def entries() -> list[tuple[Path, int]]:
    """The files in the cache with their sizes in bytes."""
    return sorted((path, path.stat().st_size) for path in paths.generated().glob("*.npy"))


def _entry_path(name: str, key: dict, shape: tuple[int, ...]) -> Path:
    text = json.dumps([name, key, shape], sort_keys=True)
    key_hash = hashlib.sha256(text.encode()).hexdigest()[:16]
    return paths.generated() / f"{name}-{'x'.join(map(str, shape))}-{key_hash}.npy"


def _store(path: Path, array: np.ndarray) -> None:
    try:
        write_array(path, array)
    except InputError as error:
        print(f"{error} Continuing without the cache.", file=sys.stderr)


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        array = np.lib.format.open_memmap(path, "r")
    except Exception:  # missing, or damaged, for which numpy raises many kinds of errors
        return None
    return array if (array.shape, array.dtype) == (shape, np.uint8) else None
