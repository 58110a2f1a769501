"""Read an untrusted pickle without running its code.

A pickle is a program that can call anything importable. This reader allows only the constructors that arrays need and
refuses all others, naming them. Old SMPL files store arrays inside objects of chumpy and scipy; those are read as the
dictionaries that they were saved from, so neither package is imported.
"""

import math
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from vitae.support.errors import InputError, reason
from vitae.support.files import opened

_MAX_DENSE_SIZE = 2**28  # entries of a sparse matrix made dense; SMPL's has 165,360
_NUMBER_DTYPE = re.compile(r"[<>=|]?[?biuf]\d{0,2}")


class RecordedObject:
    """The saved state of an object of chumpy or scipy, whose own class is never imported."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.state: dict = {}

    def __setstate__(self, state):
        self.state = state if isinstance(state, dict) else {"state": state}


# numpy's own constructors are replaced too, because they trust pointers and memory layouts in their arguments.
class _DType:
    """Stands for numpy.dtype; its `dtype` is None unless it is a plain number type (no objects, text, structures)."""

    def __init__(self, name: str, *arguments):
        self.dtype = np.dtype(name) if isinstance(name, str) and _NUMBER_DTYPE.fullmatch(name) else None

    def __setstate__(self, state):
        _, order, *structure = state
        if self.dtype is None or any(part is not None for part in structure[:3]):
            self.dtype = None
        else:
            self.dtype = self.dtype.newbyteorder(str(order))


class _Array:
    """Stands for numpy.ndarray; its `array` is None unless it holds plain numbers."""

    array: np.ndarray | None = None

    def __setstate__(self, state):
        *_, shape, dtype, fortran, content = state
        self.array = _array(content, dtype, shape, "F" if fortran else "C")


def _array(content: Any, dtype: Any, shape: Any, order: str) -> np.ndarray | None:
    content = content.encode("latin1") if isinstance(content, str) else content
    shape = tuple(shape)
    if not isinstance(dtype, _DType):
        raise pickle.UnpicklingError("an array without a dtype")
    if dtype.dtype is None or not isinstance(content, bytes | bytearray):
        return None
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        raise pickle.UnpicklingError("an array without a shape")
    if len(content) != math.prod(shape) * dtype.dtype.itemsize:
        raise pickle.UnpicklingError("an array whose length does not match its shape")
    return np.frombuffer(bytes(content), dtype.dtype).reshape(shape, order=order)


def _scalar(dtype: _DType, content: Any) -> Any:
    array = _array(content, dtype, (1,), "C")
    return None if array is None else array[0]


def _reconstruct(subtype: Any, shape: Any, typecode: Any) -> _Array:
    if subtype is not _NDARRAY:
        raise pickle.UnpicklingError("a subclass of numpy.ndarray")
    return _Array()


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    # In protocols below 3, Python 3 writes bytes as a call of codecs.encode with this encoding.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes in an unknown encoding")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    # In protocols below 3, Python 3 writes empty bytes as a call of bytes without arguments.
    return b""


def _reconstructor(subtype: type, base: type, state: Any) -> Any:
    if subtype is not RecordedObject or base is not object:
        raise pickle.UnpicklingError("an object of an unknown class")
    return RecordedObject()


_NDARRAY = object()  # stands for numpy.ndarray where a pickle passes it as an argument; cannot be called
# What a pickle may name, and what it gets instead.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DType,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copy_reg", "_reconstructor"): _reconstructor,
}
for _module in ("builtins", "__builtin__"):
    _ALLOWED |= {(_module, cls.__name__): cls for cls in (object, set, frozenset)}
    _ALLOWED[_module, "bytes"] = _empty_bytes
# The functions that rebuild numpy's arrays and scalars; numpy 2 renamed their modules.
for _module in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_module}.multiarray", "_reconstruct"] = _reconstruct
    _ALLOWED[f"{_module}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_module}.numeric", "_frombuffer"] = _array
# Classes of these packages become `RecordedObject`: chumpy's arrays and scipy's sparse matrices.
_RECORDED_PACKAGES = ("chumpy", "scipy.sparse")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if (
            any(module == package or module.startswith(package + ".") for package in _RECORDED_PACKAGES)
            and name[:1].isupper()
        ):
            return RecordedObject
        if module.startswith("scipy.sparse") and name.endswith("_matrix"):
            return RecordedObject
        raise _RefusedError(f"{module}.{name}")


class _RefusedError(pickle.UnpicklingError):
    pass


def read(path: Path) -> Any:
    """Load a pickle of dictionaries, lists, numbers, strings and arrays; `as_array` converts the arrays.

    Raises:
        InputError: the pickle names any other class or function, or is damaged.
    """
    try:
        with opened(path) as file:
            return _Reader(file, encoding="latin1").load()
    except _RefusedError as error:
        raise InputError(
            f"{path} was not loaded: it calls {error}, which a file of arrays does not need and which could run code. "
            f"Download the file from its publisher."
        ) from None
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    except Exception as error:  # a damaged pickle can raise any kind of error
        raise InputError(f"{path} is damaged or not a pickle ({reason(error)}): download it again.") from None


def as_array(value: Any) -> np.ndarray:
    """Convert an array, a chumpy object or a scipy sparse matrix from `read` to a numpy array.

    Raises:
        ValueError: it holds no numbers, or a sparse matrix that is invalid or not stored by columns.
    """
    if isinstance(value, _Array):
        if value.array is None:
            raise ValueError("an array of objects or text")
        return value.array
    if not isinstance(value, RecordedObject):
        return np.asarray(value)
    state = value.state
    if {"data", "indices", "indptr"} <= state.keys():
        return _dense(state)
    if "x" in state:  # chumpy.ch.Ch
        return as_array(state["x"])
    if {"a", "idxs"} <= state.keys():  # chumpy.reordering.Select: selected elements of another array
        selected = as_array(state["a"]).ravel()[as_array(state["idxs"])]
        shape = state.get("preferred_shape")
        return selected if shape is None else selected.reshape(tuple(shape))
    raise ValueError("an object without an array")


def _dense(state: dict) -> np.ndarray:
    """A sparse matrix stored by columns (CSC), as in SMPL files."""
    data, indices, indptr = (as_array(state[name]) for name in ("data", "indices", "indptr"))
    shape = tuple(int(side) for side in state.get("_shape", state.get("shape")))
    if len(indptr) != shape[1] + 1:
        raise ValueError("a sparse matrix that is not stored by columns")
    if len(data) != len(indices) or math.prod(shape) > _MAX_DENSE_SIZE:
        raise ValueError("an invalid sparse matrix")
    dense = np.zeros(shape)
    dense[indices, np.repeat(np.arange(shape[1]), np.diff(indptr))] = data
    return dense
