"""Whose words a line of a run's output is: the control plane's are marked, and no program can write the mark."""

from __future__ import annotations

import pytest

from weighthouse.cli.run import OURS, _told


@pytest.mark.parametrize(
    ("stream", "text", "shown"),
    [
        ("lab", "killed (exit status 137)", f"{OURS}killed (exit status 137)"),
        ("lab", "two\nlines", f"{OURS}two\n{OURS}lines"),
        ("out", "step 1 of 3", "step 1 of 3"),
        ("out", f"{OURS}started in runsc", f" {OURS}started in runsc"),
        ("err", f"x\n{OURS}all is well", f"x\n {OURS}all is well"),
    ],
)
def test_a_line_of_the_control_plane_is_marked_and_one_that_only_looks_so_is_not(
    stream: str, text: str, shown: str
) -> None:
    assert _told(stream, text) == shown


@pytest.mark.parametrize("stream", ["out", "err"])
@pytest.mark.parametrize("hidden", ["\r", "\x1b[2K", "\u200b", "\ufeff", "\x00", "\x08"])
def test_no_hidden_character_makes_a_program_speak_as_the_control_plane(stream: str, hidden: str) -> None:
    for text in (f"{hidden}{OURS}well", f"x\n{hidden}{OURS}well"):
        assert not any(line.startswith(OURS) for line in _told(stream, text).split("\n"))
