"""The one kind of error that is the user's to mend: a single sentence, exit code 2 on the command line."""

import difflib
import functools
import numbers
import re
from collections.abc import Callable, Iterable


class InputError(ValueError):
    """What was asked for cannot be done as asked; the message says what, where and what to do instead."""


class NotFiniteError(InputError):
    """A number that has to be finite is not; in training, a sign that it has diverged."""


def reason(error: Exception) -> str:
    """The first line of what an error says, or its kind if it says nothing: to be part of a sentence."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")


def require_number(name: str, value, smallest: float, *, whole: bool = False) -> None:
    """Refuse what is no number, not finite, below `smallest`, beyond 2^62, or not whole where it has to be.

    Numbers of numpy are numbers.

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
        InputError: naming the nearest known name, if one is near, and all of them.
    """
    known = list(known)
    if name in known:
        return name
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise InputError(f"unknown {kind} '{name}'.{hint} Known: {', '.join(known)}.")


def said_plainly(work: Callable) -> Callable:
    """Turn what the machine refuses, a file or memory, into one sentence."""

    @functools.wraps(work)
    def worked(*arguments, **settings):
        try:
            return work(*arguments, **settings)
        except OSError as error:
            where = error.filename if error.filename is not None else "a file"
            raise InputError(f"{where} cannot be used: {(error.strerror or reason(error)).lower()}.") from None
        except (MemoryError, RuntimeError) as error:
            # torch says it in these words; its other runtime errors are no matter of memory.
            if isinstance(error, RuntimeError) and not re.search(r"not enough memory|allocate memory", str(error)):
                raise
            raise InputError("that does not fit into this machine's memory: ask for fewer or smaller images.") from None

    return worked
