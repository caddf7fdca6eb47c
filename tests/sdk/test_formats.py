"""Strict forms: what is accepted is exactly what the reference writer makes, and every bomb is refused early."""

from __future__ import annotations

import json
import pickle
import string

import numpy
import pytest
import rfc8785
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from weighthouse_sdk import checkpoint_bundle, checkpoint_index, formats, limits, manifest_merkle
from weighthouse_sdk.errors import FormatError, ManifestError, SdkError


def entry(begin: int, end: int, **other: object) -> dict[str, object]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end], **other}


def parse(table: object, data: int) -> object:
    return formats.parse_header(json.dumps(table).encode(), data)


def test_the_reference_writers_files_are_read() -> None:
    arrays = {"a": numpy.zeros((3, 4), "float32"), "b": numpy.zeros((), "int64"), "c": numpy.zeros((0, 2), "float16")}
    data = safetensors.numpy.save(arrays, metadata={"made": "by a test"})
    length = formats.header_length(data)
    entries, metadata = formats.parse_header(data[8 : 8 + length], len(data) - 8 - length)
    assert metadata == {"made": "by a test"}
    assert {e.name: (e.dtype, e.shape) for e in entries} == {
        "a": ("F32", (3, 4)),
        "b": ("I64", ()),
        "c": ("F16", (0, 2)),
    }


def test_our_headers_are_read_by_the_reference_reader() -> None:
    header, entries = formats.build_header([("x", "F32", (2,), 8), ("é", "U8", (3,), 3)])
    assert len(header) % 8 == 0
    assert formats.parse_header(header[8:], 11) == (entries, {})
    loaded = safetensors.numpy.load(header + bytes(11))
    assert {name: array.shape for name, array in loaded.items()} == {"x": (2,), "é": (3,)}


BAD = {
    "overlap": ({"a": entry(0, 4), "b": entry(2, 6)}, 6),
    "hole": ({"a": entry(0, 4), "b": entry(5, 6)}, 6),
    "negative": ({"a": entry(0, 4, data_offsets=[-4, 0])}, 4),
    "backwards": ({"a": entry(0, 4, data_offsets=[4, 0])}, 4),
    "too short": ({"a": entry(0, 4)}, 5),
    "too long": ({"a": entry(0, 4)}, 3),
    "product": ({"a": entry(0, 4, shape=[1 << 40, 1 << 40])}, 4),
    "wrapping product": ({"a": entry(0, 0, shape=[1 << 32, 1 << 32, 0])}, 1),
    "negative side": ({"a": entry(0, 4, shape=[-2, -2])}, 4),
    "true side": ({"a": entry(0, 1, shape=[True])}, 1),
    "huge side": ({"a": entry(0, 0, shape=[0, 1 << 60])}, 0),
    "many sides": ({"a": entry(0, 1, shape=[1] * 17)}, 1),
    "dtype": ({"a": entry(0, 4, dtype="O")}, 4),
    "unknown field": ({"a": entry(0, 4, extra=1)}, 4),
    "missing field": ({"a": {"dtype": "U8", "shape": [4]}}, 4),
    "metadata": ({"__metadata__": {"a": 1}}, 0),
    "list": ([1, 2], 0),
    "nested": ({"a": {"a": {"a": {}}}}, 0),
    "empty name": ({"": entry(0, 4)}, 4),
    "NUL name": ({"a\0": entry(0, 4)}, 4),
    "long name": ({"a" * 1025: entry(0, 4)}, 4),
}


@pytest.mark.parametrize("name", BAD)
def test_weights_case_34_lying_headers(name: str) -> None:
    table, data = BAD[name]
    with pytest.raises(FormatError):
        parse(table, data)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"a":1,"a":1}',
        b'{"a":1.5}',
        b'{"a":NaN}',
        b'{"a":1e400}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b"",
        b"{}" + b"\0",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-32-le"),
    ],
)
def test_weights_case_34_hostile_json(raw: bytes) -> None:
    with pytest.raises(FormatError):
        formats.parse_header(raw, 0)


# Of a log named "lab": no bundle here comes as far as being signed by it.
KEY = "lab+9ff7fd24+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
OTHER_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize("encoding", OTHER_ENCODINGS)
def test_json_in_another_encoding_than_plain_utf_8_is_refused_by_name(encoding: str) -> None:
    data = '{"a":1}'.encode(encoding)
    with pytest.raises(FormatError) as caught:
        formats.strict_json(data, limits.INDEX, "It")
    assert caught.value.code == "formats.not_utf8"
    assert "only plain UTF-8" in caught.value.message
    with pytest.raises(FormatError) as caught:
        formats.strict_json(b'{"a":"\xe9"}', limits.INDEX, "It")
    assert caught.value.code == "formats.not_utf8"
    with pytest.raises(FormatError) as caught:
        checkpoint_bundle.parse_bundle(data, [KEY])
    assert caught.value.code == "formats.not_utf8"
    assert formats.strict_json('{"é":1}'.encode(), limits.INDEX, "It") == {"é": 1}


@pytest.mark.parametrize("bundle", [b"", b"[]", b"1", b"[" * 100_000, b"{" * 1000, b"x" * (limits.BUNDLE.most + 1)])
def test_a_hostile_bundle_is_refused_and_never_a_traceback(bundle: bytes) -> None:
    with pytest.raises(SdkError):
        checkpoint_bundle.parse_bundle(bundle, [KEY])


def test_weights_case_34_header_bombs_are_refused_by_their_length_alone() -> None:
    for length in (0, 1, limits.HEADER.most + 1, (1 << 64) - 1):
        with pytest.raises(FormatError):
            formats.header_length(length.to_bytes(8, "little"))
    with pytest.raises(FormatError):
        formats.header_length(b"\x10\0\0")
    many = {str(at): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for at in range(limits.TENSORS.most + 1)}
    with pytest.raises(FormatError) as caught:
        parse(many, 0)
    assert caught.value.code == "formats.too_large"
    assert "TENSORS" in caught.value.message


def test_weights_case_35_pickles_in_any_wrapping_are_refused() -> None:
    for protocol in (2, 3, 4, 5):
        for value in ({"w": 1}, [], {"{": "{"}, "{" * 99):
            with pytest.raises(FormatError) as caught:
                formats.refuse_code(pickle.dumps(value, protocol))
            assert caught.value.code == "formats.pickle"
            with pytest.raises(FormatError):
                formats.parse_header(pickle.dumps(value, protocol), 0)
    for head, name in (
        (b"PK\x03\x04", ""),
        (b"\x93NUMPY\x01", ""),
        (b"", "model.bin"),
        (b"", "x.PT"),
        (b"", "dir/.metadata"),
    ):
        with pytest.raises(FormatError) as caught:
            formats.refuse_code(head, name)
        assert caught.value.code == "formats.pickle"
    formats.refuse_code(b"\x40\0\0\0\0\0\0\0", "model.safetensors")
    formats.refuse_code((640).to_bytes(8, "little") + b'{"a":{', "model.safetensors")


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
KEYS = st.text(string.printable, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_canonical_json_equals_an_independent_rfc_8785(value: object) -> None:
    try:
        ours = formats.canonical(value)
    except FormatError:
        return  # deeper than this package signs
    assert ours == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1.5, float("nan"), 2**53, {1: 2}, {"é": 1}, "\ud800", b"x", {"a": object()}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(FormatError):
        formats.canonical(value)


def tree(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, by its recursive definition."""
    from blake3 import blake3

    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return bytes(blake3(b"\x01" + tree(leaves[:split]) + tree(leaves[split:])).digest())


@pytest.mark.parametrize("count", [*range(1, 34), 63, 64, 65, 100])
def test_the_root_is_that_of_rfc_6962(count: int) -> None:
    leaves = [manifest_merkle.leaf_hash(bytes([at % 256]) * at) for at in range(count)]
    root = manifest_merkle.root_of(leaves)
    assert root == tree(leaves)
    assert manifest_merkle.split_leaves(b"".join(leaves), count, root) == leaves
    for wrong in (leaves[:-1], [*leaves, leaves[0]], list(reversed(leaves)) if count > 1 else [b"x" * 32]):
        with pytest.raises(ManifestError):
            manifest_merkle.split_leaves(b"".join(wrong), count, root)
    with pytest.raises(ManifestError):
        manifest_merkle.root_of([])


def test_an_index_must_cover_its_shards_exactly() -> None:
    _, entries = formats.build_header([("a", "U8", (4,), 4), ("b", "F32", (2,), 8)])
    good = checkpoint_index.build([(64, entries)])
    index = checkpoint_index.parse(good, [76])
    assert index.entries(0) == entries
    document = json.loads(good)
    old = {"format": "weighthouse-index/1", "headers": document["headers"], "tensors": document["tensors"]}
    assert checkpoint_index.parse(formats.canonical(old), [76]) == index
    rows = document["tensors"]
    bad_rows = [
        [rows[0], rows[0], rows[1]],
        [rows[0]],
        [rows[0], ["b", "F32", [2], 0, 60, 8]],
        [rows[0], ["b", "F32", [2], 1, 68, 8]],
        [rows[0], ["b", "F32", [2], -1, 68, 8]],
        [rows[0], ["b", "F32", [2], 0, 69, 8]],
        [rows[0], ["b", "F32", [3], 0, 68, 8]],
        [rows[0], ["a", "F32", [2], 0, 68, 8]],
        [rows[0], ["b"]],
        [rows[0], 7],
    ]
    for bad in [{**document, "tensors": each} for each in bad_rows] + [
        {**document, "headers": []},
        {**document, "headers": [80]},
        {**document, "format": "other"},
        {**document, "metadata": [["a", "b"], ["a", "c"]]},
        {**document, "metadata": [["b", ""], ["a", ""]]},
        {**document, "metadata": [["a", 1]]},
        {**document, "format": checkpoint_index.OLD_FORMAT},
        {"format": checkpoint_index.FORMAT},
        [],
    ]:
        with pytest.raises(FormatError):
            checkpoint_index.parse(formats.canonical(bad), [76])
    for other in (json.dumps(document).encode(), good[:-1] + b" }", good.replace(b"[4]", b"[ 4]")):
        with pytest.raises(FormatError):
            checkpoint_index.parse(other, [76])
