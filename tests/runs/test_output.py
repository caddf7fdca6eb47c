"""Output as it comes: prompts and progress bars are seen in time, and no cut splits a letter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weighthouse.runs.rules.output import LONGEST_LINE, STILL_S, Lines


def test_lines_come_whole_however_the_bytes_are_cut() -> None:
    lines, found = Lines(), []
    for byte in "one\nzwölf\r\n\nlast".encode():
        found += lines.feed(bytes([byte]), 0.0)
    assert (found, lines.end()) == (["one", "zwölf", ""], ["last"])


def test_a_prompt_is_shown_when_it_has_waited_and_its_end_makes_no_second_line() -> None:
    lines = Lines()
    assert lines.feed(b"continue? ", 1.0) == [] and lines.wait(1.0) == STILL_S
    assert lines.due(1.0 + STILL_S) == ["continue? "] and lines.wait(2.0) is None
    assert lines.feed(b"\nnext\n", 2.0) == ["next"]


def test_of_a_progress_bar_the_state_of_each_moment_is_kept() -> None:
    lines, found = Lines(), []
    for step in range(1001):  # drawn every millisecond for a second, as tqdm does
        found += lines.feed(f"\r{step / 10:.0f}%".encode(), step / 1000)
    found += lines.feed(b"\n", 1.001)
    assert found[-1] == "100%" and 2 <= len(found) <= 4, found


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=LONGEST_LINE // 2))
def test_a_long_line_is_cut_between_letters(text: str) -> None:
    text = text * 3
    lines, found = Lines(), []
    data = text.encode()
    for at in range(0, len(data), 1000):
        found += lines.feed(data[at : at + 1000], 0.0)
    found += lines.end()
    assert "".join(found) == text and max(len(line.encode()) for line in found) <= LONGEST_LINE


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    lines = Lines()
    assert lines.feed(b"\xff\xfe\x00\n", 0.0) == ["���"]
    assert lines.feed("ü".encode()[:1], 0.0) + lines.end() == ["�"]
