"""Values read the same everywhere: times in UTC, spans, sizes, and text that cannot pretend to be something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND
from weighthouse.web import words


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (0, "0 s"),
        (90 * SECOND, "1 min 30 s"),
        (2 * HOUR, "2 h"),
        (DAY + 4 * HOUR, "1 d 4 h"),
        (HOUR + 59 * SECOND, "1 h"),
    ],
)
def test_a_span_is_said_in_its_two_largest_units(span: int, text: str) -> None:
    assert words.duration(span) == text


@pytest.mark.parametrize(
    ("gap", "text"),
    [
        (0, "now"),
        (-3 * MINUTE, "3 min ago"),
        (2 * HOUR, "in 2 h"),
        (-(2 * HOUR + 5 * MINUTE), "2 h 5 min ago"),
        (30 * DAY, "in 30 d"),
    ],
)
def test_a_time_is_said_relative_to_now(gap: int, text: str) -> None:
    assert words.relative(1_790_000_000_000 + gap, 1_790_000_000_000) == text


def test_a_moment_carries_its_exact_utc_time() -> None:
    made = words.moment(1_790_000_000_000, 1_790_000_060_000)
    assert made == (
        '<time datetime="2026-09-21T14:13:20Z" title="2026-09-21 14:13:20 UTC" data-at="1790000000000">1 min ago</time>'
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (26 * 2**30, "26 GiB"), (2**50, "1024 TiB")],
)
def test_a_size_is_said_in_binary_units(count: int, text: str) -> None:
    assert words.size(count) == text


@given(st.text())
def test_access_case_34_what_somebody_wrote_has_no_markup_and_no_hidden_character(text: str) -> None:
    shown = str(words.said(text))
    inside = shown.removeprefix('<bdi class="said">').removesuffix("</bdi>")
    assert "<" not in inside and ">" not in inside and '"' not in inside
    assert not any(0x202A <= ord(char) <= 0x202E or 0x2066 <= ord(char) <= 0x2069 for char in inside)
    assert all(char in "\n\t" or ord(char) >= 32 for char in inside)
