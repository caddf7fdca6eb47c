"""The one rule for text that people sign or read: what hides is found, what a writing needs is let through."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.core import visible
from weighthouse.core.errors import Invalid

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    "text",
    [
        "Load the checkpoint — “as agreed” é 猫, 100 %",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u06a9\u0627\u0631\u200c\u0647\u0627",  # Persian, with ZWNJ
        "\u0915\u094d\u200d\u0937 \u0930\u094d\u200d\u092f",  # Hindi and Marathi, with ZWJ after a virama
        "\u0d9a\u0dca\u200d\u0dbb",  # Sinhala
        "\U0001f469\U0001f3fd\u200d\U0001f52c and \U0001f9d1\u200d\U0001f680",  # emoji joined, with a skin
        "\u2764\ufe0f\u200d\U0001f525, 1\ufe0f\u20e3, \u2601\ufe0f \u00a9\ufe0e",
        "\U0001fae9 and \U0001faf9",  # newer than the tables of the oldest Python we run on
        ENGLAND + "\U0001f1eb\U0001f1f7",
        "\u845b\U000e0100\u98fe",  # a name in Japanese, with the form its bearer writes
        "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd e\u0301 \u1100\u1161",
    ],
)
def test_what_people_write_is_let_through(text: str) -> None:
    assert visible.hidden(text) == "" and visible.line_problem(text) == "" and visible.marked(text) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\u202eb", "U+202E"),
        ("a\u200bb", "U+200B"),
        ("\x1b[0m", "U+001B"),
        ("a\u2066b", "U+2066"),
        ("a\u061cb", "U+061C"),
        ("a\u00adb", "U+00AD"),
        ("a\u034fb", "U+034F"),
        ("\u3164" * 12, "U+3164"),
        ("\u115f\u1160", "U+115F"),
        ("\uffa0" * 12, "U+FFA0"),
        ("\u2800" * 12, "U+2800"),
        ("a\u2028b", "U+2028"),
        ("a\ufeffb", "U+FEFF"),
        ("a\u2062b", "U+2062"),
        ("a\ufff9b", "U+FFF9"),
        ("a\ufe0fb", "U+FE0F"),  # a selector on a letter
        ("a\U000e0100b", "U+E0100"),
        ("a\U000e0061b", "U+E0061"),  # a tag outside a flag
        (ENGLAND[:-1] + "x", "U+E0067"),
        (ENGLAND + ENGLAND[1:], "U+E0067"),  # a second message behind the flag
        ("a\u200db", "U+200D"),
        ("pass\u200cword", "U+200C"),
        ("\u0645\u200c\u200c\u062e", "U+200C"),  # twice where once is enough
        ("\u0645\u200c\u0915", "U+200C"),  # between two writings
        ("1\u200d2", "U+200D"),
        ("a\U0001d159b", "U+1D159"),
        ("a\ue000b", "U+E000"),
        ("a\ud800b", "U+D800"),
        ("a\uffffb", "U+FFFF"),
        ("z" + "\u0335" * 9, "U+0335"),
        ("\u0301 first", "U+0301"),
    ],
)
def test_what_hides_is_found_and_named(text: str, found: str) -> None:
    assert visible.hidden(text) == found and found in visible.marked(text)
    with pytest.raises(Invalid) as error:
        visible.check(text, "The reason")
    assert error.value.code == "core.hidden_text" and found in error.value.message


def test_lines_are_wanted_in_a_reason_and_not_in_a_value() -> None:
    assert visible.hidden("a\n\tb\r\nc", lines=True) == ""
    assert visible.hidden("over\rwritten", lines=True) == "U+000D"
    assert visible.hidden("a\nb") == "U+000A"
    assert visible.cleaned("  a\n b\t c ") == "a b c"
    for value in ("a\u00a0b", "a  b", " a", "a ", "a\u3000b", "a\nb"):
        assert visible.line_problem(value)
    assert visible.line_problem("two words") == ""


def test_words_that_mix_alphabets_are_marked() -> None:
    assert visible.mixes_alphabets("p\u0430ypal") and not visible.mixes_alphabets(
        "\u043f\u0440\u0438\u0432\u0435\u0442 paypal"
    )


@given(st.text())
def test_nothing_that_formats_or_is_private_is_taken_for_seen(text: str) -> None:
    """A second opinion by this interpreter's own tables: every format or private character is found or in its place."""
    found = set(visible.places(text))
    allowed = {0x200C, 0x200D, *range(0xE0020, 0xE0080)}
    for place, letter in enumerate(text):
        if unicodedata.category(letter) in ("Cc", "Cs", "Co", "Zl", "Zp"):
            assert place in found
        if unicodedata.bidirectional(letter) in ("RLO", "LRO", "RLE", "LRE", "PDF", "LRI", "RLI", "FSI", "PDI"):
            assert place in found
        if unicodedata.category(letter) == "Cf" and ord(letter) not in allowed:
            assert place in found or 0x600 <= ord(letter) <= 0x8E2 or ord(letter) in (0x110BD, 0x110CD)
