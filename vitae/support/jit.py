"""numba, configured so that equal inputs give equal bits on every machine."""

from collections.abc import Callable

from vitae.support.errors import InputError, reason

try:
    from numba import njit
except ImportError:
    raise InputError(
        "rendering and boosted trees need numba, which is not installed: run 'pip install numba', or load your own "
        "images with --data-root."
    ) from None
except ValueError as error:
    raise InputError(
        f"numba does not start ({reason(error)}): correct the variables NUMBA_... of this shell."
    ) from None


def compiled(function: Callable) -> Callable:
    """Decorator: compile a function, without the interpreter's lock, and cache the result on disk if possible.

    Without fast mathematics, since its results differ between machines. numba's cache only detects changes in the file
    of the function itself, so a compiled function must not call functions of other files.
    """
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba finds no writable folder for its cache
        return njit(nogil=True, error_model="numpy")(function)
