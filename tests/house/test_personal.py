"""Free text that people write, and where they were, never enters a leaf of the log in the clear.

A leaf is for ever: what is in it cannot be erased when a person asks. Fields of these names hold such text, so every
event must name them as personal; then the leaf holds a salted commitment, and the text lies beside it, erasable.
"""

from __future__ import annotations

import importlib

import pytest

from tests.house import source
from weighthouse.core.events import Event

FREE_TEXT = {"reason", "text", "comment", "note", "justification", "user_agent", "address", "name"}


def events() -> list[type[Event]]:
    """Return every event of the product; importing a room's `events` declares them."""
    for room in source.rooms():
        if (source.PACKAGE / room / "events.py").is_file() or (source.PACKAGE / room / "events").is_dir():
            importlib.import_module(f"weighthouse.{room}.events")
    found = [one for one in Event.__subclasses__() if one.__module__.startswith("weighthouse.")]
    return sorted(found, key=lambda one: one.KIND)


@pytest.mark.parametrize("event", events(), ids=lambda one: one.KIND)
def test_free_text_is_personal(event: type[Event]) -> None:
    clear = FREE_TEXT.intersection(event.__struct_fields__) - event.PERSONAL
    assert not clear, f"{event.KIND} would keep {sorted(clear)} for ever: add it to PERSONAL"
    ghosts = event.PERSONAL - set(event.__struct_fields__)
    assert not ghosts, f"{event.KIND} names personal fields that it does not have: {sorted(ghosts)}"


def test_every_declared_event_is_looked_at() -> None:
    assert {event.KIND for event in events()} == set(source.event_kinds())
