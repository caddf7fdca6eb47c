"""Tensors as this package sees them: a dtype name, a shape and bytes the caller owns. NumPy is optional.

Guards callers from surprises: what NumPy can hold is stored bit for bit, whatever its strides or byte order, or
refused by its own name. A destination must be of the tensor's very dtype, shape and layout: bytes of one 8-bit float
read as another would halve values in silence.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from . import limits
from .dtypes import DTYPES, ML_DTYPES, NUMPY, check_dtype, name_of, why_not
from .errors import CheckpointError, FormatError
from .names import check_name

# Letters of the buffer protocol (PEP 3118) by what they hold; "B" is plain bytes and fits every dtype.
_LETTERS = {"?": "BOOL", "e": "F16", "f": "F32", "d": "F64", "Zf": "C64"}
_HEADER_ROOM = limits.HEADER.most - 7 * limits.METADATA.most  # metadata may be all escapes
_SIGNED, _UNSIGNED = "bhilqn", "HILQN"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor without any array library: `data` is its bytes, little-endian, row-major."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True, slots=True)
class Measured:
    """What a tensor will be in the file, before any of its bytes are copied."""

    dtype: str
    shape: tuple[int, ...]
    length: int


def measure(name: str, value: Any) -> Measured:
    """Dtype, shape and length of what `as_tensor` will give; copies nothing."""
    if isinstance(value, Tensor):
        return Measured(value.dtype, _shape(name, value.shape), _view(name, value).nbytes)
    array, kind = _array(name, value)
    return Measured(kind, tuple(int(side) for side in array.shape), int(array.nbytes))


def as_tensor(name: str, value: Any) -> Tensor:
    """See a NumPy array, or what gives one, as a `Tensor`; what is strided or big-endian is copied."""
    if isinstance(value, Tensor):
        view = _view(name, value)
        flat = view if view.c_contiguous else memoryview(view.tobytes())
        return Tensor(value.dtype, _shape(name, value.shape), flat.cast("B") if flat.nbytes else memoryview(b""))
    array, kind = _array(name, value)
    shape = tuple(int(side) for side in array.shape)
    if array.size == 0:
        return Tensor(kind, shape, memoryview(b""))
    import numpy

    plain = array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype
    try:
        return Tensor(kind, shape, _flat(numpy.ascontiguousarray(array, dtype=plain)))
    except MemoryError:
        why = f"Tensor {name!r} of {array.nbytes} bytes is strided, and there is no memory for a copy."
        raise CheckpointError("checkpoint.memory", why, "Give a contiguous little-endian array.") from None


def _shape(name: str, shape: object) -> tuple[int, ...]:
    if not isinstance(shape, list | tuple):
        why = f"Tensor {name!r} has a shape that is no tuple of lengths."
        raise FormatError("formats.shape", why, "Give a tuple of whole numbers.")
    return tuple(shape)


def _view(name: str, value: Tensor) -> memoryview:
    """The data of a `Tensor`: plain bytes, or elements of the dtype that it claims, judged as a destination is."""
    kind = check_dtype(value.dtype, f"Tensor {name!r}")
    try:
        view = memoryview(value.data)
    except (TypeError, ValueError, BufferError):
        raise _refused(name, "has data that is no buffer", "Give a memoryview over its bytes.") from None
    if not _fits(view, kind):
        why = f"is said to be {kind}, and its data holds elements of format {view.format!r}"
        raise _refused(name, why, "Give its bytes, little-endian and row-major: `data.cast('B')`.")
    return view


def _fits(view: memoryview, dtype: str) -> bool:
    """Whether a buffer holds plain bytes, or elements of exactly the dtype."""
    return view.format == "B" or _held(view.format, view.itemsize) == dtype


def _array(name: str, value: Any) -> tuple[Any, str]:
    """The value as a plain `ndarray` and the format's name of its dtype; raise `checkpoint.dtype` by name."""
    if not hasattr(value, "dtype"):
        raise _refused(name, f"is of type {type(value).__name__}, which has no dtype", "Give a NumPy array.")
    import numpy

    if not isinstance(value.dtype, numpy.dtype):
        why = f"is a {type(value).__module__}.{type(value).__name__}, which is no NumPy array"
        raise _refused(name, why, "Convert it with its `numpy()`, or give a `Tensor` over its bytes.")
    if isinstance(value, numpy.ma.MaskedArray):
        raise _refused(name, "is a masked array, whose mask the format cannot hold", "Fill it: `array.filled(...)`.")
    dtype, kind = value.dtype, _kind(value.dtype)
    if kind is None:
        raise _refused(name, *why_not("a structured type" if dtype.names else dtype.name, dtype.kind))
    if dtype.byteorder == ">" and dtype.itemsize > 1 and kind in ML_DTYPES:
        raise _refused(name, f"is big-endian {dtype.name}, which cannot be converted", "Give it little-endian.")
    return numpy.asarray(value), kind


@lru_cache(maxsize=256)
def _kind(dtype: Any) -> str | None:
    """The format's name of a NumPy dtype. Remembered: NumPy works its own name out anew each time, in Python."""
    return name_of(dtype.name) if dtype.names is None else None


def _refused(name: str, why: str, remedy: str) -> CheckpointError:
    return CheckpointError("checkpoint.dtype", f"Tensor {name!r} {why}.", remedy)


def _flat(array: Any) -> memoryview:
    return memoryview(array.reshape(-1).view("uint8"))


def destination(name: str, value: Any, dtype: str, shape: tuple[int, ...], length: int) -> memoryview:
    """The writable bytes of a caller's buffer for a tensor; a mismatch is refused before anything is read."""
    if isinstance(value, Tensor):
        if value.dtype != dtype or tuple(value.shape) != shape:
            raise _mismatch(name, dtype, shape)
        value = value.data
    view = _bytes_of_array(name, value, dtype, shape) if hasattr(value, "dtype") else _bytes_of(name, value, dtype)
    if view is None or view.nbytes != length or (length and view.readonly):
        raise _mismatch(name, dtype, shape)
    return view


def _bytes_of_array(name: str, value: Any, dtype: str, shape: tuple[int, ...]) -> memoryview | None:
    import numpy

    if not isinstance(value, numpy.ndarray) or isinstance(value, numpy.ma.MaskedArray):
        return None
    if _kind(value.dtype) != dtype or value.shape != shape:
        return None
    if (value.dtype.byteorder == ">" and value.dtype.itemsize > 1) or not value.flags.c_contiguous:
        why = f"The array given for {name!r} is not contiguous and little-endian."
        raise CheckpointError("checkpoint.layout", why, "Give a contiguous little-endian array.")
    return _flat(numpy.asarray(value)) if value.size else memoryview(b"")


def _bytes_of(name: str, value: Any, dtype: str) -> memoryview | None:
    """A buffer that is no array: plain bytes, or elements of exactly the dtype."""
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        return None
    if not _fits(view, dtype):
        return None
    if not view.c_contiguous:
        why = f"The buffer given for {name!r} is not contiguous."
        raise CheckpointError("checkpoint.layout", why, "Give a contiguous buffer.")
    return view.cast("B") if view.nbytes else memoryview(b"")


def _held(letter: str, size: int) -> str | None:
    """The dtype that a buffer's format letter means, or None; big-endian means none."""
    letter = letter[1:] if letter[:1] in ("@", "=", "<") else letter
    if letter in _LETTERS:
        return _LETTERS[letter]
    if len(letter) == 1 and letter in _SIGNED + _UNSIGNED:
        return f"{'I' if letter in _SIGNED else 'U'}{size * 8}"
    return None


def _mismatch(name: str, dtype: str, shape: tuple[int, ...]) -> CheckpointError:
    why = f"The buffer given for {name!r} is not a writable one of {dtype} with shape {list(shape)}."
    return CheckpointError(
        "checkpoint.destination", why, "Give a writable buffer of exactly the tensor's type and size."
    )


def apart(views: Iterable[memoryview]) -> bool:
    """Whether no two writable buffers share a byte: of two tensors read into one place, one would be lost."""
    ranges = sorted((ctypes.addressof(ctypes.c_char.from_buffer(view)), view.nbytes) for view in views if view.nbytes)
    return all(start + length <= after for (start, length), (after, _) in pairwise(ranges))


def fresh(name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    """A new NumPy array for a tensor; BF16 and the 8-bit floats are those of ml_dtypes."""
    try:
        import numpy

        if dtype in NUMPY:
            return numpy.empty(shape, NUMPY[dtype])
        import ml_dtypes

        return numpy.empty(shape, getattr(ml_dtypes, ML_DTYPES[dtype]))
    except ImportError as error:
        why = f"Tensor {name!r} is {dtype}, and {error.name} is not installed."
        raise CheckpointError("checkpoint.dtype", why, "Install it, or pass a buffer with `into=`.") from None
    except MemoryError:
        why = f"There is no memory for tensor {name!r}, {dtype} with shape {list(shape)}."
        raise CheckpointError("checkpoint.memory", why, "Load fewer tensors at once with `names=`.") from None


def plan_shards(tensors: Mapping[str, Any], limit: int = 2 << 30) -> list[list[str]]:
    """Divide tensors, in their order, over shards of about `limit` bytes; one larger than that has its own.

    A shard's header stays below its limit too, however many and long the names are.
    """
    plan: list[list[str]] = [[]]
    filled = described = 0
    for name, value in tensors.items():
        found = measure(check_name(name), value)
        # At most 4 bytes of JSON a character, 16 digits a number, and the words between them.
        row = 4 * len(name) + 17 * len(found.shape) + 128
        if plan[-1] and (filled + found.length > limit or described + row > _HEADER_ROOM):
            plan.append([])
            filled = described = 0
        plan[-1].append(name)
        filled, described = filled + found.length, described + row
    return plan


__all__ = [
    "DTYPES", "Measured", "Tensor", "apart", "as_tensor", "destination", "fresh", "measure", "plan_shards",
]  # fmt: skip
