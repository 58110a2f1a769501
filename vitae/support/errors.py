"""Errors that users can fix themselves: one sentence each, and exit code 2 on the command line."""

import difflib
import errno
import functools
import numbers
import re
from collections.abc import Callable, Iterable


class InputError(ValueError):
    """A request that cannot be fulfilled; the message says what is wrong, where, and what to do instead."""

    def _render_traceback_(self) -> list[str]:
        """What IPython and papermill show: the sentence, not the way through the package to it."""
        return [f"{type(self).__name__}: {self}"]


class DamagedError(InputError):
    """A file whose content is not what it should be; the message has no final full stop, so that callers add advice."""


class MemoryShortError(InputError):
    """There is not enough memory to read a file, which says nothing about the file."""


class NotFiniteError(InputError):
    """A number that must be finite is infinite or NaN; in training this means that the run has diverged."""


def reason(error: Exception) -> str:
    """The first line of an error's message without its final punctuation, or its class if it has no message."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")


def is_memory_shortage(error: BaseException) -> bool:
    """Whether an error of any library says that memory is short; torch and Pillow have no class for that."""
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or re.search(r"not enough memory|allocate memory|out of memory", str(error), re.IGNORECASE) is not None
    )


# Control characters, of which \x1b starts the escape codes of terminals.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNPRINTABLE = re.compile(rf"{CONTROL.pattern}|[\ud800-\udfff]")


def printable(text: str) -> str:
    """Text with escapes for control characters, which a terminal would obey, and for bytes that are no UTF-8."""
    # Such bytes are lone surrogates in Python's names of files.
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)


def require_number(name: str, value, smallest: float, *, whole: bool = False, largest: float = 2**62) -> None:
    """Refuse a value that is not a number from `smallest` to `largest`, or not a whole number where one is required.

    Python's and numpy's numbers are accepted, booleans are not.

    Args:
        largest: beyond which a number is a typing error; by default what 64 bits hold with room to add.

    Raises:
        InputError: naming the setting and the value.
    """
    kinds = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool) or not isinstance(value, kinds) or not smallest <= value <= largest:
        kind = "a whole number" if whole else "a number"
        most = ""
        if isinstance(value, kinds) and value > largest:
            most = f" ({'2^62' if largest == 2**62 else f'{largest:,}'} at most)"
        raise InputError(f"{name} must be {kind} of {smallest} or more, got {str(value)[:40]}{most}.")


def require_known(kind: str, name: str, known: Iterable[str]) -> str:
    """Return `name` if it is one of `known`.

    Raises:
        InputError: the message suggests the closest known name, if one is close, and lists all.
    """
    known = list(known)
    if name in known:
        return name
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise InputError(f"unknown {kind} '{name}'.{hint} Known: {', '.join(known)}.")


def system_errors_as_input_errors(function: Callable) -> Callable:
    """Decorator: raise `InputError` where the function fails on a file, or for lack of memory."""

    @functools.wraps(function)
    def wrapped(*arguments, **settings):
        try:
            return function(*arguments, **settings)
        except (OSError, MemoryError, RuntimeError) as error:
            if is_memory_shortage(error):
                raise InputError("the images do not fit into memory: ask for fewer or smaller images.") from None
            if not isinstance(error, OSError):
                raise
            where = error.filename if error.filename is not None else "a file"
            raise InputError(f"cannot use {where}: {(error.strerror or reason(error)).lower()}.") from None

    return wrapped
