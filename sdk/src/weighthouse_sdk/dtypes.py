"""Element types: the name in a safetensors header, the bytes of one element, and NumPy's name for it.

Guards against bytes read as something else: a type is the same on both sides or it is refused by its own name. Types
that pack several elements into a byte, and types that the format has no name for, say so when they are refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from .errors import FormatError

DTYPES: Mapping[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
    "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
PACKED = frozenset({"F4", "F6_E2M3", "F6_E3M2"})
NUMPY: Mapping[str, str] = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "F16": "float16", "I32": "int32",
    "U32": "uint32", "F32": "float32", "I64": "int64", "U64": "uint64", "F64": "float64", "C64": "complex64",
}  # fmt: skip
ML_DTYPES: Mapping[str, str] = {
    "BF16": "bfloat16", "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip
_NAMES = {numpy: name for name, numpy in (*NUMPY.items(), *ML_DTYPES.items())}
_SUB_BYTE = ("int1", "uint1", "int2", "uint2", "int4", "uint4", "float4", "float6")
_OTHER_FLOAT8 = ("float8_e4m3", "float8_e3m4", "float8_e4m3b11fnuz")
_FORMAT_HAS = "The format has " + ", ".join(DTYPES) + "."


def check_dtype(dtype: object, what: str) -> str:
    """Return a dtype of the format that has whole bytes; refuse any other by name (`formats.dtype`)."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    if isinstance(dtype, str) and dtype in PACKED:
        why = f"{what} is {dtype}, which packs several elements into one byte; such types are not stored."
        raise FormatError("formats.dtype", why, "Store the packed bytes as U8, and the type's name in the metadata.")
    raise FormatError("formats.dtype", f"{what} is {str(dtype)[:40]!r}, which is no type of the format.", _FORMAT_HAS)


def name_of(numpy: str) -> str | None:
    """The format's name for a type that NumPy (with ml_dtypes) calls `numpy`, or None."""
    return _NAMES.get(numpy)


def why_not(numpy: str, kind: str) -> tuple[str, str]:
    """Why a NumPy type, by its name and kind, is not stored, and what to do about it."""
    if kind == "O":
        return "is an object array, which is a pickle and never stored", "Convert it to a numeric array."
    if numpy.startswith(_SUB_BYTE):
        return (
            f"is {numpy}, whose elements are smaller than a byte",
            "Store the packed bytes as uint8, and the type's name in the metadata.",
        )
    if kind == "c":
        return (
            f"is {numpy}, and the only complex type of the format is complex64",
            "Store real and imaginary part as float64: `array.view('float64')`.",
        )
    if numpy in _OTHER_FLOAT8:
        return f"is {numpy}, which the format has no name for", "Store `array.view('uint8')`, or convert it."
    if kind == "f":
        return f"is {numpy}, which differs between machines", "Convert it to float64."
    return f"is {numpy}, which is no number of the format", _FORMAT_HAS
