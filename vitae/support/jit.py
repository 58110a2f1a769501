"""numba, set so that equal input gives equal bits on any machine."""

from collections.abc import Callable

from vitae.support.errors import InputError

try:
    from numba import njit
except ImportError:
    raise InputError(
        "rendering images and boosting trees need numba, which is not installed: run 'pip install numba', or take data "
        "from files of yours with --data-root."
    ) from None


def compiled(function: Callable) -> Callable:
    """Compile without fast mathematics, which would let the result depend on the machine; keep it on disk if possible.

    numba notices a change only in the file of the function itself, so a compiled function calls none of another file.
    """
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # there is no folder in which numba could keep it
        return njit(nogil=True, error_model="numpy")(function)
