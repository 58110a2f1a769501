"""Reading a pickle from a stranger without running its code.

A pickle is a program: it may call anything that can be imported. This reader knows what arrays are made of and
refuses everything else by name. Old SMPL files hold arrays inside objects of chumpy and scipy; those objects are read
as the plain dictionaries that they were saved from, so neither package is needed or run.
"""

import io
import math
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from vitae.support.errors import InputError, reason

_MOST_NUMBERS = 2**28  # of a sparse matrix spread out; SMPL's has 165,360
_NUMBERS = re.compile(r"[<>=|]?[?biuf]\d{0,2}")


class RecordedObject:
    """What an object of a foreign class was saved from, its class's code never run."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.state: dict = {}

    def __setstate__(self, state):
        self.state = state if isinstance(state, dict) else {"state": state}


# numpy's own classes are recorded too: its constructors take pointers and layouts from their arguments and trust them.
class _DType:
    """The kind of an array's numbers; None of what is no plain number, such as objects, text or structures."""

    def __init__(self, name: str, *arguments):
        self.dtype = np.dtype(name) if isinstance(name, str) and _NUMBERS.fullmatch(name) else None

    def __setstate__(self, state):
        _, order, *structure = state
        if self.dtype is None or any(part is not None for part in structure[:3]):
            self.dtype = None
        else:
            self.dtype = self.dtype.newbyteorder(str(order))


class _Array:
    """An array, made of its bytes when they are there; of anything else than numbers, none."""

    array: np.ndarray | None = None

    def __setstate__(self, state):
        *_, shape, dtype, fortran, content = state
        self.array = _array(content, dtype, shape, "F" if fortran else "C")


def _array(content: Any, dtype: Any, shape: Any, order: str) -> np.ndarray | None:
    content = content.encode("latin1") if isinstance(content, str) else content
    shape = tuple(shape)
    if not isinstance(dtype, _DType):
        raise pickle.UnpicklingError("an array without a kind of numbers")
    if dtype.dtype is None or not isinstance(content, bytes | bytearray):
        return None
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise pickle.UnpicklingError("an array without a shape")
    if len(content) != math.prod(shape) * dtype.dtype.itemsize:
        raise pickle.UnpicklingError("an array that is not as long as its shape says")
    return np.frombuffer(bytes(content), dtype.dtype).reshape(shape, order=order)


def _scalar(dtype: _DType, content: Any) -> Any:
    found = _array(content, dtype, (1,), "C")
    return None if found is None else found[0]


def _reconstruct(kind: Any, shape: Any, letter: Any) -> _Array:
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError("a foreign kind of array")
    return _Array()


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    # Python 3 writes bytes for Python 2 as this call, with this encoding; codecs of any other name stay unused.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes in an unknown encoding")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    # And empty ones as this.
    return b""


def _reconstructed(kind: type, base: type, state: Any) -> Any:
    if kind is not RecordedObject or base is not object:
        raise pickle.UnpicklingError("an object that is not made of arrays")
    return RecordedObject()


_NDARRAY = object()  # a name to be handed around, not to be called
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DType,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,
    ("copyreg", "_reconstructor"): _reconstructed,
    ("copy_reg", "_reconstructor"): _reconstructed,
}
for _module in ("builtins", "__builtin__"):
    _KNOWN |= {(_module, kind.__name__): kind for kind in (object, set, frozenset)}
    _KNOWN[_module, "bytes"] = _no_bytes
# How numpy rebuilds an array and a number, in modules that moved with numpy 2.
for _module in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_module}.multiarray", "_reconstruct"] = _reconstruct
    _KNOWN[f"{_module}.multiarray", "scalar"] = _scalar
    _KNOWN[f"{_module}.numeric", "_frombuffer"] = _array
# Classes of these are recorded, not run: chumpy's arrays, and scipy's sparse matrices under any of their old names.
_RECORDED = ("chumpy", "scipy.sparse")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if any(module == package or module.startswith(package + ".") for package in _RECORDED) and name[:1].isupper():
            return RecordedObject
        if module.startswith("scipy.sparse") and name.endswith("_matrix"):
            return RecordedObject
        raise _RefusedError(f"{module}.{name}")


class _RefusedError(pickle.UnpicklingError):
    pass


def read(path: Path) -> Any:
    """The content of a pickle made of dictionaries, lists, numbers, strings and arrays.

    Raises:
        InputError: it names something else, which it would have run; or it is damaged.
    """
    try:
        return _Reader(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except _RefusedError as error:
        raise InputError(
            f"{path} was not loaded: it asks for {error}, which no file of arrays needs and which could run code on "
            f"this machine. Fetch the file from its publisher."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    except Exception as error:  # a damaged pickle can make any of its opcodes fail in any way
        raise InputError(f"{path} is damaged or no pickle ({reason(error)}): fetch it again.") from None


def as_array(value: Any) -> np.ndarray:
    """The numbers of an array, of a chumpy object or of a scipy sparse matrix as `read` leaves them.

    Raises:
        ValueError: there are none to be found.
    """
    if isinstance(value, _Array):
        if value.array is None:
            raise ValueError("an array of something else than numbers")
        return value.array
    if not isinstance(value, RecordedObject):
        return np.asarray(value)
    state = value.state
    if {"data", "indices", "indptr"} <= state.keys():
        return _dense(state)
    if "x" in state:  # chumpy.ch.Ch
        return as_array(state["x"])
    if {"a", "idxs"} <= state.keys():  # chumpy.reordering.Select: some elements of another array
        chosen = as_array(state["a"]).ravel()[as_array(state["idxs"])]
        shape = state.get("preferred_shape")
        return chosen if shape is None else chosen.reshape(tuple(shape))
    raise ValueError("an object without numbers of its own")


def _dense(state: dict) -> np.ndarray:
    """A sparse matrix stored by columns, as SMPL's are."""
    data, indices, indptr = (as_array(state[name]) for name in ("data", "indices", "indptr"))
    shape = tuple(int(side) for side in state.get("_shape", state.get("shape")))
    if len(indptr) != shape[1] + 1:
        raise ValueError("a sparse matrix that is not stored by columns")
    if len(data) != len(indices) or math.prod(shape) > _MOST_NUMBERS:
        raise ValueError("a sparse matrix that cannot be right")
    dense = np.zeros(shape)
    dense[indices, np.repeat(np.arange(shape[1]), np.diff(indptr))] = data
    return dense
