"""Errors that users can fix themselves: one sentence each, and exit code 2 on the command line."""

import difflib
import functools
import numbers
import re
from collections.abc import Callable, Iterable


class InputError(ValueError):
    """A request that cannot be fulfilled; the message says what is wrong, where, and what to do instead."""

    def _render_traceback_(self) -> list[str]:
        """What IPython and papermill show: the sentence, not the way through the package to it."""
        return [f"{type(self).__name__}: {self}"]


class NotFiniteError(InputError):
    """A number that must be finite is infinite or NaN; in training this means that the run has diverged."""


def reason(error: Exception) -> str:
    """The first line of an error's message without its final punctuation, or its class if it has no message."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")


def require_number(name: str, value, smallest: float, *, whole: bool = False) -> None:
    """Refuse a value that is not a number from `smallest` to 2^62, or not a whole number where one is required.

    Python's and numpy's numbers are accepted, booleans are not.

    Raises:
        InputError: naming the setting and the value.
    """
    kinds = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool) or not isinstance(value, kinds) or not smallest <= value <= 2**62:
        kind = "a whole number" if whole else "a number"
        most = " (2^62 at most)" if isinstance(value, kinds) and value > 2**62 else ""
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
        except OSError as error:
            where = error.filename if error.filename is not None else "a file"
            raise InputError(f"cannot use {where}: {(error.strerror or reason(error)).lower()}.") from None
        except (MemoryError, RuntimeError) as error:
            # torch has no class of its own for this error on a CPU, only these messages.
            if isinstance(error, RuntimeError) and not re.search(r"not enough memory|allocate memory", str(error)):
                raise
            raise InputError("the images do not fit into memory: ask for fewer or smaller images.") from None

    return wrapped
