"""A further key of somebody is told of though their own is hidden while the detection looks: the log tells of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.detect.conftest import Watched
from tests.identity.hiding import hide
from tests.identity.test_covered_words import restore
from tests.identity.test_new_keys import enrolled, grown
from weighthouse.core.clock import HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.detect.model import NEW_KEY
from weighthouse.identity.events import SessionEnded, SessionStarted


@pytest.fixture
def strict(any_database: Database, clock: ManualClock, tmp_path: Path) -> Watched:
    return Watched(any_database, clock, tmp_path, **{"identity.new_keys": "confirm"})


def told(lab: Watched) -> list[tuple[str, str]]:
    """Of which new keys somebody was told, and how loudly."""
    lab.follow()
    found = (one for one in lab.facts("detect.AlertRaised") if one["rule"] == NEW_KEY)
    return [(str(one["incident"]).rpartition(":")[2], str(one["severity"])) for one in found]


@pytest.mark.parametrize("hidden", ["nothing", "the key", "the state", "both", "the row deleted for good"])
def test_a_thiefs_key_is_told_of_though_the_owners_is_hidden_for_a_pass(strict: Watched, hidden: str) -> None:
    _, own = grown(strict, "dee")
    assert told(strict) == [], "it is the first one"
    _, thief = enrolled(strict, "dee")
    back = list[Callable[[], None]]()
    if hidden != "nothing" and hidden != "the state":
        back.append(hide(strict, "identity_device", "id", own))
    if hidden in ("the state", "both"):
        back.append(hide(strict, "identity_principal", "principal", "dee"))
    strict.follow()
    for one in back if "deleted" not in hidden else ():
        one()
    assert told(strict) == [(thief, "low")] == told(strict), "once"


@pytest.mark.parametrize("became", ["ended", "aside", "let count again"])
def test_whether_there_was_another_key_is_what_the_log_says_of_it(strict: Watched, became: str) -> None:
    chi, (client, own) = grown(strict, "chi"), grown(strict, "dee")
    if became == "ended":
        client.post(f"devices/{own}/end", {"reason": "an old laptop", "retired": True})
    else:
        client.post("sessions/not-me")
    strict.clock.advance(MINUTE)
    if became == "let count again":
        restore(strict, chi, chi[0], "dee", own)
    _, new = enrolled(strict, "dee")
    assert told(strict) == ([(new, "low")] if became == "let count again" else [])


def started(session: str, *reasons: str) -> SessionStarted:
    return SessionStarted(
        session=session,
        principal="dee",
        binding="dpop",
        level=2,
        method="provider",
        reasons=reasons,
        origin="o",
        ends=0,
        address="",
        user_agent="",
    )


@pytest.mark.parametrize("became", ["hidden", "over", "long ago"])
def test_a_new_key_is_told_of_loudly_where_a_session_came_from_afar(strict: Watched, became: str) -> None:
    grown(strict, "dee")
    afar = "ses_" + "0" * 25 + "1"
    strict.write(started(afar, "new_country"))
    if became == "over":
        strict.write(SessionEnded(session=afar, principal="dee", reason="signed out", by="dee", whose="own"))
    strict.clock.advance(9 * HOUR if became == "long ago" else MINUTE)
    strict.follow()
    _, new = enrolled(strict, "dee")
    assert told(strict) == [(new, "high" if became == "hidden" else "low")]
