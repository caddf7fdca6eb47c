"""Ids that cannot be mistaken, and one canonical form for every value that is signed."""

from __future__ import annotations

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.core import canonical
from weighthouse.core.errors import Invalid
from weighthouse.core.ids import check_id, check_slug, new_id
from weighthouse.core.signing import MemorySigners, verify_ed25519
from weighthouse.identity.rules import jwks
from weighthouse_verify import leaf

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def test_ids_are_ordered_by_time_and_checked_by_kind() -> None:
    first, second = new_id("req"), new_id("req")
    assert first[:12] <= second[:12]
    assert check_id(first, "req") == first
    for bad in (first.upper(), first + "0", "grt" + first[3:], first + "\n", ""):
        with pytest.raises(Invalid):
            check_id(bad, "req")


@pytest.mark.parametrize("bad", ["", "Model/tern", "model//tern", "../x", "a/b/c/d/e", "m\u043edel", "x" * 65, "a\n"])
def test_data_case_26_names_that_play_tricks_are_refused(bad: str) -> None:
    with pytest.raises(Invalid):
        check_slug(bad)


@given(values)
def test_canonical_bytes_read_back_as_the_same_value(value: object) -> None:
    assert canonical.decode(canonical.encode(value)) == value


@given(values)
def test_canonical_bytes_are_those_of_the_rfc_8785_library(value: object) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [b'{"a":1,"a":2}', b'{"b":1,"a":2}', b"1.0", b"NaN", b'"\\u0041"', b"\xff", b"[1, 2]", b"[" * 100_000]
)
def test_data_case_30_bytes_with_two_readings_are_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        canonical.decode(data)


@pytest.mark.parametrize("value", [1.5, float("nan"), 2**53, "\ud800", {1: 2}, b"x", {"a": [1.0]}])
def test_values_without_a_canonical_form_are_refused(value: object) -> None:
    with pytest.raises(Invalid):
        canonical.encode(value)


def test_signers_keep_purposes_apart() -> None:
    signers = MemorySigners()
    signature = signers.signer("grant").sign(b"data")
    assert verify_ed25519(signers.signer("grant").public, signature, b"data")
    assert not verify_ed25519(signers.signer("policy").public, signature, b"data")
    assert not verify_ed25519(b"short", signature, b"data")
    assert signers.mac("session", b"x") != signers.mac("device", b"x")


# RFC 8785, sections 3.2.2 and 3.2.3: what its examples hold besides fractions, which this software does not write.
RFC_8785 = [
    (
        {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One"}
        | {
            "\U0001f600": "Emoji: Grinning Face",
            "\u0080": "Control",
            "\u00f6": "Latin Small Letter O With Diaeresis",
        },
        '{"\\r":"Carriage Return","1":"One","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis",'
        '"\u20ac":"Euro Sign","\U0001f600":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    ),
    (
        {"string": '\u20ac$\u000f\nA\'B"\\\\"/', "literals": [None, True, False]},
        '{"literals":[null,true,false],"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    ),
    (
        {"peach": 1, "p\u00e9ch\u00e9": 2, "p\u00eache": 3, "sin": 4},
        '{"peach":1,"p\u00e9ch\u00e9":2,"p\u00eache":3,"sin":4}',
    ),
    ([56, {"d": True, "10": None, "1": []}], '[56,{"1":[],"10":null,"d":true}]'),
    ([9007199254740991, -9007199254740991, 0], "[9007199254740991,-9007199254740991,0]"),
]


@pytest.mark.parametrize(("value", "text"), RFC_8785)
def test_canonical_bytes_are_those_of_the_examples_of_rfc_8785(value: object, text: str) -> None:
    assert canonical.encode(value) == text.encode()
    assert canonical.decode(text.encode()) == value
    assert leaf.canonical(value) == text.encode()  # the verifier's own


@pytest.mark.parametrize("text", ["-0", "4.50", "2e-3", "1E30", "333333333.33333329", "9007199254740992", "NaN"])
def test_numbers_of_rfc_8785_that_are_not_whole_and_exact_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        canonical.decode(text.encode())


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_json_in_another_encoding_than_plain_utf_8_is_refused_by_name(encoding: str) -> None:
    data = '{"a":1}'.encode(encoding)
    with pytest.raises(Invalid) as caught:
        canonical.decode(data)
    assert "only plain UTF-8" in caught.value.message
    with pytest.raises(Invalid) as caught:
        jwks.parse_key_set('{"keys":[]}'.encode(encoding))
    assert (caught.value.code, "only plain UTF-8" in caught.value.message) == ("identity.bad_key_set", True)
    assert "not strict JSON" in str(leaf.defect(data))
