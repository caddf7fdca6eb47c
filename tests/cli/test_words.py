"""What the terminal shows is what was meant: durations, times, sizes, and nobody's control characters."""

from __future__ import annotations

import pytest

from weighthouse.cli.words import clean, milliseconds, size, span, utc, when

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90m", 90 * MINUTE), ("2h", 2 * HOUR), ("1d", DAY), ("1h30m", 90 * MINUTE), ("45s", 45_000), ("1w", 7 * DAY)],
)
def test_a_duration_is_read(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-2h", "2h!", "0m", "1.5h", "9999999d", "2H", "２h"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a (duration|length)"):
        milliseconds(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("approve\x1b[2K\x1b[1Adeny", "approve�[2K�[1Adeny"),
        ("over\rwritten", "over�written"),
        ("two\nlines\tone", "two lines one"),
        ("tern\u202egnp.exe", "tern�gnp.exe"),
        ("ad\u200ba", "ad�a"),
        ("\x9b31mred", "�31mred"),
        ("Zürich, 東京", "Zürich, 東京"),
    ],
)
def test_text_that_others_wrote_cannot_repaint_the_screen(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_time_is_utc_and_says_how_far_away_it_is() -> None:
    now = 1_790_000_000_000
    assert utc(now) == "2026-09-21 14:13:20Z"
    assert when(now + 2 * HOUR, now) == "2026-09-21 16:13:20Z (in 2 h)"
    assert when(now - 90_000, now) == "2026-09-21 14:11:50Z (1 min 30 s ago)"
    assert when(now + 400, now) == "2026-09-21 14:13:20Z (now)"
    assert when(None) == "-"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0 s"), (59_000, "59 s"), (28 * HOUR, "1 d 4 h"), (DAY + 5_000, "1 d"), (61 * MINUTE, "1 h 1 min")],
)
def test_a_span_has_its_two_largest_units(ms: int, text: str) -> None:
    assert span(ms) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB"), (None, "-")]
)
def test_a_size_is_in_binary_units(count: int | None, text: str) -> None:
    assert size(count) == text
