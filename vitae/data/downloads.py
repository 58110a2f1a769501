"""Downloads that resume where they broke off and count only when their checksum is right."""

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

_CHUNK = 2**20
_PATIENCE = 30  # seconds without a byte


def fetch(url: str, target: Path, *, md5: str) -> None:
    """Download to `target`, by way of `target.part`, which a broken download leaves to be continued.

    Args:
        md5: the file's checksum, as published; it guards against damage, not against malice.

    Raises:
        InputError: no connection, it broke off, the disk is full, or the content is not what was published.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(part):
            _receive(url, part)
            if _md5(part) != md5:
                part.unlink()
                raise InputError(
                    f"{url} is not the file that was published (its checksum differs): it was thrown away."
                )
            part.replace(target)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise InputError(_broken(url, part, reason(error))) from None
    except OSError as error:
        raise InputError(f"cannot write {part}: {(error.strerror or reason(error)).lower()}.") from None


@contextlib.contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Only one process writes a part; where the system has no locks, the checksum has to do."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with part.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another process is downloading {part}: wait for it, and ask again.") from None
        try:
            yield
        finally:
            part.with_suffix(".lock").unlink(missing_ok=True)


def of_torchvision(name: str, instead: str) -> type:
    """A dataset's class of torchvision, which is imported for nothing else.

    Args:
        instead: what the user may put under a root of theirs.

    Raises:
        InputError: torchvision cannot be imported.
    """
    try:
        return getattr(importlib.import_module("torchvision.datasets"), name)
    except (ImportError, RuntimeError, OSError) as error:
        # A torchvision built for another torch fails on import with a RuntimeError about missing operators.
        raise InputError(
            f"downloading {name} needs a torchvision built for torch {torch.__version__}, and importing torchvision "
            f"failed ({reason(error)}): install the pinned pair from requirements.lock, or put {instead} and name ROOT "
            f"with --data-root."
        ) from None


def _broken(url: str, part: Path, why: str) -> str:
    have = part.stat().st_size if part.exists() else 0
    if not have:
        return f"{url} could not be downloaded ({why})."
    return f"the download of {url} broke off after {have / 1e6:.1f} MB ({why}): the same command continues it."


def _receive(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is here already, as the checksum will tell
        raise
    with answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else None
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(
                total=total, initial=have, desc=url.rsplit("/", 1)[-1], unit="B", unit_scale=True, disable=None
            ) as bar,
        ):
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if total is not None and have < total:
        raise ConnectionError(f"{total / 1e6:.1f} MB were promised")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
