"""Downloads that resume after an interruption and are checked against a published checksum.

pooch would restart an interrupted download from the beginning, and the largest file here has 268 MB.
"""

import contextlib
import hashlib
import http.client
import importlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from vitae.support.errors import InputError, reason

_CHUNK = 2**20  # bytes
_TIMEOUT = 30  # seconds without a byte


def fetch(url: str, target: Path, *, md5: str) -> None:
    """Download `url` to `target`, through `target.part`, which an interrupted download leaves behind to resume from.

    Args:
        md5: the published checksum; it detects damage, not tampering.

    Raises:
        InputError: no connection, an interrupted download, a full disk, or a wrong checksum.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part):
            _receive(url, part)
            if _md5(part) != md5:
                part.unlink()
                raise InputError(f"{url} is not the published file (wrong checksum): the download was deleted.")
            part.replace(target)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise InputError(_interrupted(url, part, reason(error))) from None
    except OSError as error:
        raise InputError(f"cannot write {part}: {(error.strerror or reason(error)).lower()}.") from None


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Let one process at a time write `part`; without file locks (Windows) the checksum detects a mixture."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with part.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another process is downloading {part}: wait until it is done and try again.") from None
        try:
            yield
        finally:
            part.with_suffix(".lock").unlink(missing_ok=True)


def torchvision_dataset(name: str, files: str) -> type:
    """A dataset class of torchvision, which vitae uses only for its downloads.

    Args:
        files: the files that the user can put in a folder instead, for the error message.

    Raises:
        InputError: torchvision cannot be imported.
    """
    try:
        return getattr(importlib.import_module("torchvision.datasets"), name)
    except (ImportError, RuntimeError, OSError) as error:
        # A torchvision built for another torch fails on import with a RuntimeError about missing operators.
        raise InputError(
            f"downloading {name} needs a torchvision built for torch {torch.__version__}, and importing torchvision "
            f"failed ({reason(error)}): install the pinned pair from requirements.lock, or put {files} and name ROOT "
            f"with --data-root."
        ) from None


def _interrupted(url: str, part: Path, why: str) -> str:
    received = part.stat().st_size if part.exists() else 0
    if not received:
        return f"{url} could not be downloaded ({why})."
    return (
        f"the download of {url} was interrupted after {received / 1e6:.1f} MB ({why}): run the command again to resume."
    )


def _receive(url: str, part: Path) -> None:
    received = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={received}-"} if received else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if received and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the file is complete, or too long, which the checksum detects
        raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            received = 0
        length = response.headers.get("Content-Length")
        total = received + int(length) if length and length.isdecimal() else None
        with (
            part.open("ab" if received else "wb") as file,
            tqdm(
                total=total, initial=received, desc=url.rsplit("/", 1)[-1], unit="B", unit_scale=True, disable=None
            ) as bar,
        ):
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))
    if total is not None and received < total:
        raise ConnectionError(f"the file has {total / 1e6:.1f} MB")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
