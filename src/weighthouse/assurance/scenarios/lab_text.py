"""The policy text of the lab that an attack plays in, and changes of it. No attack is in here."""

from __future__ import annotations

from collections.abc import Iterable

from weighthouse.assurance.ports import Ground, not_here
from weighthouse.core.work import read
from weighthouse.policy import api as policy


def current(ground: Ground) -> str:
    """The text in force."""
    with read(ground.system) as unit:
        return policy.current_text(unit)


def with_added(ground: Ground, places: Iterable[tuple[str, str]]) -> str:
    """The text in force with something added above a line, for each pair of a line and what is added."""
    text = current(ground)
    for above, added in places:
        if text.count(above) != 1:
            not_here("the example lab")
        text = text.replace(above, added + above)
    return text
