"""Tensors as this package sees them: a dtype name, a shape and bytes the caller owns. NumPy is optional.

Guards callers from surprises: object arrays (which are pickles) are refused, non-contiguous arrays are copied on save
and refused as destinations, and a destination must match dtype and length exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import CheckpointError

_NUMPY = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "F16": "float16", "I32": "int32",
    "U32": "uint32", "F32": "float32", "I64": "int64", "U64": "uint64", "F64": "float64", "C64": "complex64",
}  # fmt: skip
_NAMES = {numpy: name for name, numpy in _NUMPY.items()} | {
    "bfloat16": "BF16", "float8_e5m2": "F8_E5M2", "float8_e4m3fn": "F8_E4M3",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor without any array library: `data` is its bytes, little-endian, row-major."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def as_tensor(name: str, value: Any) -> Tensor:
    """See a NumPy array, or what has `dtype`, `shape` and `reshape` like one, as a `Tensor`."""
    if isinstance(value, Tensor):
        return Tensor(
            value.dtype, value.shape, memoryview(value.data).cast("B") if len(value.data) else memoryview(b"")
        )
    kind = _NAMES.get(str(getattr(value, "dtype", "")))
    if kind is None:
        why = f"Tensor {name!r} has a type that is not stored; object arrays are pickles and never are."
        raise CheckpointError("checkpoint.dtype", why, "Convert it to a numeric array.")
    return Tensor(kind, tuple(int(side) for side in value.shape), _bytes(name, value, copy=True))


def _bytes(name: str, array: Any, *, copy: bool) -> memoryview:
    if array.size == 0:
        return memoryview(b"")
    if array.dtype.byteorder == ">" or not (array.flags.c_contiguous or copy):
        why = f"Array {name!r} is not contiguous and little-endian."
        raise CheckpointError("checkpoint.layout", why, "Give a contiguous little-endian array.")
    return memoryview(array.reshape(-1).view("uint8"))


def destination(name: str, value: Any, dtype: str, shape: tuple[int, ...], length: int) -> memoryview:
    """The writable bytes of a caller's buffer for a tensor; a mismatch is refused before anything is read."""
    if hasattr(value, "dtype"):
        if _NAMES.get(str(value.dtype)) not in (dtype, None) or tuple(value.shape) != shape:
            raise _mismatch(name)
        view = _bytes(name, value, copy=False)
    else:
        view = memoryview(value).cast("B") if length else memoryview(bytearray())
    if len(view) != length or (length and view.readonly):
        raise _mismatch(name)
    return view


def _mismatch(name: str) -> CheckpointError:
    why = f"The buffer given for {name!r} has another dtype, shape or length, or cannot be written."
    return CheckpointError("checkpoint.destination", why, "Give a writable buffer of exactly the tensor's size.")


def fresh(name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    """A new NumPy array for a tensor; dtypes that NumPy lacks need a buffer from the caller."""
    if dtype not in _NUMPY:
        why = f"Tensor {name!r} is {dtype}, which NumPy does not have."
        raise CheckpointError("checkpoint.dtype", why, "Pass a buffer of your own for it with `into=`.")
    import numpy

    return numpy.empty(shape, _NUMPY[dtype])


def plan_shards(tensors: Mapping[str, Any], limit: int = 2 << 30) -> list[list[str]]:
    """Divide tensors over shards of about `limit` bytes, largest alignment first inside each, in a stable order.

    Sorting by dtype size keeps every tensor on its own alignment, as the reference safetensors writer does.
    """
    plan: list[list[str]] = [[]]
    filled = 0
    for name, value in tensors.items():
        size = len(as_tensor(name, value).data)
        if plan[-1] and filled + size > limit:
            plan.append([])
            filled = 0
        plan[-1].append(name)
        filled += size
    return plan
