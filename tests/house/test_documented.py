"""What a reader may meet is written down: each setting, error code and event has its entry, and no entry is a ghost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house import source

SHARED: set[str] = set()
REFERENCE = source.ROOT / "docs" / "reference"


def entries(path: Path) -> set[str]:
    """Return what the second-level headings and table rows of a page name in backticks."""
    if not path.is_file():
        return set()
    return set(re.findall(r"^(?:## |\| ?)`([^`]+)`", source.text(path), re.M))


def test_every_setting_is_documented() -> None:
    documented = entries(REFERENCE / "settings.md")
    declared = source.settings()
    missing = {name: where for name, where in declared.items() if name not in documented}
    assert not missing, f"add a row to docs/reference/settings.md for: {missing}"
    ghosts = documented - set(declared)
    assert not ghosts, f"docs/reference/settings.md names settings that do not exist: {sorted(ghosts)}"


@pytest.mark.parametrize("room", source.rooms())
def test_every_error_code_is_documented(room: str) -> None:
    path = REFERENCE / "errors" / f"{room}.md"
    documented = entries(path)
    raised = {code: where for code, where in source.error_codes().items() if code.startswith(room + ".")}
    missing = {code: where for code, where in raised.items() if code not in documented}
    assert not missing, f"add `## \\`code\\`` entries to {source.shown(path)} for: {missing}"
    ghosts = {code for code in documented if code not in source.constants()}
    assert not ghosts, f"{source.shown(path)} explains codes that nothing raises: {sorted(ghosts)}"


@pytest.mark.parametrize("room", source.rooms())
def test_every_event_is_documented(room: str) -> None:
    path = REFERENCE / "events" / f"{room}.md"
    documented = entries(path)
    declared = {kind: where for kind, where in source.event_kinds().items() if kind.startswith(room + ".")}
    missing = {kind: where for kind, where in declared.items() if kind not in documented}
    assert not missing, f"add entries to {source.shown(path)} for: {missing}"
    ghosts = {kind for kind in documented if source.KIND.fullmatch(kind)} - set(declared)
    assert not ghosts, f"{source.shown(path)} explains events that do not exist: {sorted(ghosts)}"


def test_an_event_is_named_after_its_room() -> None:
    strange = {
        kind: where
        for kind, where in source.event_kinds().items()
        if not source.KIND.fullmatch(kind) or f"/{kind.split('.')[0]}/" not in where
    }
    assert not strange, f"an event's kind is `room.PastTenseName` of the room that declares it: {strange}"


def test_an_error_is_named_after_the_room_that_raises_it() -> None:
    """A code tells a reader where to look; core's and shared session errors may be raised higher up."""
    strange = {
        code: where
        for code, where in source.error_codes().items()
        if f"/{code.split('.')[0]}/" not in where and not code.startswith("core.") and code not in SHARED
    }
    assert not strange, f"raised outside the room that its code names: {strange}"
