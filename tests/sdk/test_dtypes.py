"""Every type, stride and byte order that NumPy (with ml_dtypes) can hold comes back equal, or is refused by its name."""

from __future__ import annotations

import array
import os
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from tests.sdk.vault import Vault

from weighthouse_sdk import checkpoint, dtypes, floe, limits
from weighthouse_sdk.checkpoint_tensors import Tensor
from weighthouse_sdk.errors import CheckpointError, SdkError

ALL = {**dtypes.NUMPY, **dtypes.ML_DTYPES}
REFUSED = (
    "float8_e4m3", "float8_e3m4", "float8_e4m3b11fnuz", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "int4",
    "uint4", "int2", "uint2",
)  # fmt: skip


def dtype(name: str) -> Any:
    return numpy.dtype(dtypes.NUMPY[name]) if name in dtypes.NUMPY else numpy.dtype(getattr(ml_dtypes, ALL[name]))


def bits(name: str, *shape: int) -> Any:
    """An array of random bits: NaNs, infinities, denormals and padding values included."""
    count = int(numpy.prod(shape)) * dtypes.DTYPES[name]
    raw = numpy.frombuffer(os.urandom(count), "uint8")
    return (raw & 1 if name == "BOOL" else raw).view(dtype(name)).reshape(shape)


def same(left: Any, right: Any) -> bool:
    left, right = numpy.asarray(left), numpy.asarray(right)
    little = left.dtype.newbyteorder("<") if left.dtype.byteorder == ">" else left.dtype
    return bool(
        little == right.dtype
        and left.shape == right.shape
        and left.astype(little).tobytes() == numpy.ascontiguousarray(right).tobytes()
    )


@pytest.mark.parametrize("name", ALL)
def test_each_type_comes_back_into_fresh_arrays_and_into_the_callers_own(tmp_path: Path, name: str) -> None:
    made = bits(name, 5, 7)
    vault = Vault(tmp_path, tensors={"t": made, "empty": made[:0], "scalar": made[2, 3]}).save()
    found = vault.load()
    assert {key: value.dtype for key, value in found.items()} == dict.fromkeys(vault.tensors, dtype(name))
    assert all(same(vault.tensors[key], found[key]) for key in found)
    mine = {key: numpy.zeros_like(value) for key, value in found.items()}
    vault.load(into=mine)
    assert all(same(vault.tensors[key], mine[key]) for key in mine)
    assert {(t.name, t.dtype, t.shape) for t in vault.describe().tensors} == {
        ("t", name, (5, 7)), ("empty", name, (0, 7)), ("scalar", name, ()),
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ALL if name in dtypes.NUMPY])
def test_the_reference_reader_reads_each_type_with_our_metadata(tmp_path: Path, name: str) -> None:
    vault = Vault(tmp_path, tensors={"t": bits(name, 3, 4)}).save(metadata={"format": "np"})
    binding = vault.manifest().binding(vault.manifest().shards[0])
    plain = floe.decrypt(vault.keys[0], binding.aad(), vault.shard(0).read_bytes())
    assert same(vault.tensors["t"], safetensors.numpy.load(plain)["t"])
    file = tmp_path / "plain"
    file.write_bytes(plain)
    with safetensors.safe_open(file, "np") as opened:
        assert opened.metadata() == {"format": "np"}


def test_strided_arrays_are_copied_as_they_look(tmp_path: Path) -> None:
    f, m = numpy.arange(40, dtype="float32"), numpy.arange(60, dtype="int64").reshape(3, 4, 5)
    half = bits("BF16", 8, 8)
    tensors = {
        "every other": f[::2], "backwards": f[::-1], "column": m[:, 0], "inner": m[:, :, 1], "turned": m.T,
        "fortran": numpy.asfortranarray(m), "broadcast": numpy.broadcast_to(f[:1], (4, 5)), "newaxis": f[None, ::3],
        "zero-d": numpy.array(2.5), "number": numpy.float64(2.5), "empty": m[:, :0], "half": half.T[::3],
        "unaligned": numpy.frombuffer(bytes(range(33)), "uint8")[1:].view("float64"),
        "locked": numpy.frombuffer(b"12345678", "int32"),
    }  # fmt: skip
    vault = Vault(tmp_path, tensors=tensors).save()
    assert [name for name, value in vault.load().items() if not same(tensors[name], value)] == []


@pytest.mark.parametrize("code", [">f4", ">i8", ">c8", ">f2", ">u2"])
def test_big_endian_arrays_are_converted(tmp_path: Path, code: str) -> None:
    made = numpy.arange(12).astype(code).reshape(3, 4)[:, ::2]
    vault = Vault(tmp_path, tensors={"t": made, "one": made[0, 0]}).save()
    found = vault.load()
    assert (found["t"] == made).all()
    assert found["t"].dtype == numpy.dtype(code).newbyteorder("<")
    assert found["one"] == made[0, 0]


def refused(value: Any, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.plan_shards({"t": value})
    assert caught.value.code == "checkpoint.dtype"
    assert all(word in caught.value.message for word in ("'t'", *words)), caught.value
    assert ("pickle" in caught.value.message) == ("pickle" in words)


def test_what_the_format_cannot_hold_is_refused_by_its_own_name() -> None:
    for name in REFUSED:
        refused(numpy.zeros(4, getattr(ml_dtypes, name)), name)
    refused(numpy.zeros(4, "complex128"), "complex128", "complex64")
    refused(numpy.zeros(4, "longdouble"), numpy.dtype("longdouble").name)
    refused(numpy.zeros(4, "S3"), "bytes24")
    refused(numpy.zeros(4, "U3"), "str96")
    refused(numpy.zeros(4, "M8[s]"), "datetime64")
    refused(numpy.zeros(4, "V3"), "void24")
    refused(numpy.zeros(4, [("a", "f4"), ("b", "i4")]), "structured")
    refused(numpy.zeros(4, numpy.dtype(ml_dtypes.bfloat16).newbyteorder(">")), "big-endian bfloat16")
    refused(numpy.ma.masked_array([1.0, 2.0], [True, False]), "masked")
    refused(numpy.array([object()], dtype=object), "pickle")
    refused([1.0, 2.0], "list")
    refused(None, "NoneType")


@pytest.mark.parametrize("name", ["F4", "F6_E2M3", "F6_E3M2", "C128", "F8_E3M4", "", 7])
def test_a_raw_tensor_of_no_whole_type_is_refused_by_name(name: Any) -> None:
    with pytest.raises(SdkError) as caught:
        checkpoint.plan_shards({"t": Tensor(name, (2,), memoryview(b"x"))})
    assert caught.value.code == "formats.dtype"
    assert str(name) in caught.value.message
    assert ("several elements" in caught.value.message) == (name in dtypes.PACKED)


def test_a_raw_tensor_over_a_strided_buffer_is_copied(tmp_path: Path) -> None:
    tensors = {"t": Tensor("U8", (3,), memoryview(b"a-b-c-")[::2]), "f": Tensor("F32", (), memoryview(b"1234"))}
    vault = Vault(tmp_path, tensors=tensors).save()
    assert vault.load()["t"].tobytes() == b"abc"
    mine = {"t": Tensor("U8", (3,), memoryview(bytearray(3)))}
    vault.load(into=mine, names=["t"])
    assert bytes(mine["t"].data) == b"abc"


@pytest.mark.parametrize("stored", ALL)
def test_a_destination_of_another_type_of_the_same_width_is_refused(tmp_path: Path, stored: str) -> None:
    vault = Vault(tmp_path, tensors={"t": bits(stored, 4)}).save()
    width = dtypes.DTYPES[stored]
    others: list[Any] = [numpy.zeros(4, dtype(name)) for name in ALL if name != stored]
    others += [numpy.zeros(4, getattr(ml_dtypes, name)) for name in REFUSED]
    others += [Tensor(name, (4,), memoryview(bytearray(4 * width))) for name in ALL if name != stored]
    others += [numpy.zeros(4, dtype(stored).newbyteorder(">"))] if width > 1 else []
    others += [
        numpy.ma.zeros(4, dtype(stored)),
        numpy.zeros(4, "O"),
        numpy.zeros(4, f"V{width}"),
        7,
        "text",
        [0.0] * 4,
    ]
    codes = {
        "b": "I8",
        "h": "I16",
        "H": "U16",
        "i": "I32",
        "I": "U32",
        "f": "F32",
        "q": "I64",
        "Q": "U64",
        "d": "F64",
    }
    others += [array.array(code, [0] * 4) for code, name in codes.items() if name != stored]
    for other in others:
        with pytest.raises(CheckpointError) as caught:
            vault.load(into={"t": other})
        assert caught.value.code in ("checkpoint.destination", "checkpoint.layout")
    for fitting in [bytearray(4 * width), *(array.array(c, [0] * 4) for c, name in codes.items() if name == stored)]:
        vault.load(into={"t": fitting})
        assert bytes(fitting) == vault.tensors["t"].tobytes()


def test_two_destinations_that_share_memory_are_refused(tmp_path: Path) -> None:
    vault = Vault(tmp_path, tensors={"a": bits("U8", 8), "b": bits("U8", 8)}).save()
    whole = numpy.zeros(15, "uint8")
    with pytest.raises(CheckpointError) as caught:
        vault.load(into={"a": whole[:8], "b": whole[7:]})
    assert caught.value.code == "checkpoint.destination"
    assert not whole.any()
    mine = numpy.zeros(16, "uint8")
    vault.load(into={"a": mine[8:], "b": mine[:8]}, names=["a", "b", "a"])
    assert mine.tobytes() == vault.tensors["b"].tobytes() + vault.tensors["a"].tobytes()


ANY = st.sampled_from([*(dtype(name) for name in ALL), *(getattr(ml_dtypes, name) for name in REFUSED)]).map(
    numpy.dtype
)
NUMPYS = (
    arrays_of.scalar_dtypes()
    | arrays_of.floating_dtypes(endianness=">")
    | arrays_of.complex_number_dtypes()
    | arrays_of.array_dtypes(max_size=2)
)
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def values(draw: st.DrawFn) -> Any:
    """An array of any type and shape, seen through any basic index, turned or not."""
    made = numpy.zeros(draw(SHAPES), draw(ANY | NUMPYS))
    if made.dtype.kind not in "OSUMm" and made.dtype.names is None and made.dtype.subdtype is None:
        raw = draw(st.binary(min_size=made.nbytes, max_size=made.nbytes))
        if made.dtype != bool and made.flags.c_contiguous:
            made = numpy.frombuffer(raw, made.dtype).reshape(made.shape) if made.size else made
    seen = made[draw(arrays_of.basic_indices(made.shape, allow_newaxis=True))] if made.ndim else made
    return seen.T if draw(st.booleans()) else seen


NAMES = st.text(st.characters(), max_size=8) | st.sampled_from(["__metadata__", "a.b[0]", "[" * 30, "n" * 1025])
TEXTS = st.text(st.characters(), max_size=20)


@given(st.dictionaries(NAMES, values(), max_size=5), st.dictionaries(TEXTS, TEXTS, max_size=3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_save_accepts_is_loaded_equal_and_a_refusal_says_why(
    tensors: dict[str, Any], metadata: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            vault = Vault(Path(folder), tensors=tensors).save(metadata=metadata)
        except SdkError as error:
            assert not (Path(folder) / "shards").exists()
            judge(error, tensors, metadata)
            return
        found = vault.load()
        assert list(found) == list(tensors)
        assert all(same(tensors[name], found[name]) for name in tensors)
        described = vault.describe()
        assert described.metadata == metadata
        assert [(t.name, t.shape) for t in described.tensors] == [(n, numpy.shape(t)) for n, t in tensors.items()]


def judge(error: SdkError, tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    """The reason names what is wrong, and it is wrong."""
    if error.code == "checkpoint.dtype":
        bad = [t.dtype for t in tensors.values() if t.dtype.name not in ALL.values() or t.dtype.byteorder == ">"]
        assert any(each.names or each.name in error.message for each in bad)
    elif error.code == "formats.too_large":
        assert "NAME" in error.message
        assert any(len(name) > limits.NAME.most for name in tensors)
    elif error.code == "formats.name":
        assert any(not name.isprintable() or name in ("", "__metadata__") for name in tensors)
    else:
        assert error.code == "formats.metadata"
        assert any("\ud800" <= letter <= "\udfff" for pair in metadata.items() for text in pair for letter in text)
