"""Filling large arrays of images in parallel, once: what took long is kept in the cache and found again.

An entry of the cache is named by everything that determines its bytes and appears under that name only when it is
whole, so an interrupted generation leaves nothing that a later run takes for it.
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

_BLOCK = 64  # images a job
# Fewer images than this are soon made again, and more bytes than that would fill a disk unasked.
_FEWEST, _MOST_BYTES = 1_000, 2**30

Fill = Callable[[slice, np.ndarray], None]


def cached(name: str, arguments: dict, shape: tuple[int, ...], fill: Fill) -> np.ndarray:
    """The array that `fill` makes, uint8, from the cache if it was made before.

    Args:
        name: of the dataset.
        arguments: plain values that, with the name and the shape, determine every byte.
        shape: of the array, `n x ...`.
        fill: is given rows and the part of the array to fill, from several threads.
    """
    return kept(name, arguments, shape, lambda: filled(shape, fill, name))


def kept(
    name: str,
    arguments: dict,
    shape: tuple[int, ...],
    make: Callable[[], np.ndarray],
    most: int | None = _MOST_BYTES,
) -> np.ndarray:
    """The array that `make` returns, from the cache if it was made before; see `cached`.

    Few images, or more than `most` bytes of them, are made every time.
    """
    if shape[0] < _FEWEST or (most is not None and np.prod(shape, dtype=np.int64) > most):
        return make()
    path = _entry(name, arguments, shape)
    if (found := _read(path, shape)) is not None:
        return np.array(found)
    made = make()
    _keep(path, made)
    return made


def _keep(path: Path, array: np.ndarray) -> None:
    try:
        write_array(path, array)
    except InputError as error:
        print(f"{error} Going on without the cache.", file=sys.stderr)


def filled(shape: tuple[int, ...], fill: Fill, label: str) -> np.ndarray:
    """An array of uint8, filled in blocks by as many threads as torch uses, under a progress bar."""
    array = np.empty(shape, np.uint8)
    blocks = [slice(start, min(start + _BLOCK, shape[0])) for start in range(0, shape[0], _BLOCK)]
    pool = ThreadPoolExecutor(torch.get_num_threads())
    try:
        jobs = [pool.submit(fill, rows, array[rows]) for rows in blocks]
        with tqdm(total=shape[0], desc=label, unit="image", disable=None, delay=1) as bar:
            for job, rows in zip(jobs, blocks, strict=True):
                job.result()
                bar.update(rows.stop - rows.start)
    finally:
        pool.shutdown(cancel_futures=True)
    return array


def converted(name: str, file: Path, shape: tuple[int, ...], convert: Callable[[], np.ndarray]) -> np.ndarray:
    """What `convert` makes of a file, mapped from the cache, where it is put once for each state of the file."""
    path = _entry(name, {"file": fingerprint([file], file.parent)}, shape)
    if (found := _read(path, shape)) is not None:
        return found
    made = convert()
    _keep(path, made)
    return made


def digest(array: np.ndarray) -> str:
    """Names an array's content."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def contents() -> list[tuple[Path, int]]:
    """The entries of the cache and their sizes in bytes."""
    return sorted((path, path.stat().st_size) for path in paths.generated().glob("*.npy"))


def _entry(name: str, arguments: dict, shape: tuple[int, ...]) -> Path:
    stated = json.dumps([name, arguments, shape], sort_keys=True)
    digest = hashlib.sha256(stated.encode()).hexdigest()[:16]
    return paths.generated() / f"{name}-{'x'.join(map(str, shape))}-{digest}.npy"


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        found = np.lib.format.open_memmap(path, "r")
    except Exception:  # not there, or damaged from outside, which numpy says in many ways
        return None
    return found if (found.shape, found.dtype) == (shape, np.uint8) else None


def fingerprint(files: list[Path], within: Path) -> str:
    """Names files by where they are and when they changed, without reading them.

    The time of the last change of status and the file's number are what no copying tool sets back.
    """
    digest = hashlib.sha256()
    for path in files:
        status = os.stat(path)
        changed = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino
        digest.update(f"{path.relative_to(within)}|{changed}\n".encode())
    return digest.hexdigest()[:16]
