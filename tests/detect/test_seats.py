"""A seat of the committee that falls empty is told once: when its member is stopped, and when a term ends, ahead too."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from tests.detect.conftest import Watched
from tests.identity.support import LAB
from weighthouse.access.events import Denied, HoldPlaced
from weighthouse.core.clock import DAY, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.events import Event
from weighthouse.detect import jobs
from weighthouse.detect.rules import seats as rules
from weighthouse.identity.events import DeviceEnded, KeyFellBack, PersonFrozen, SessionEnded

ALERT = "detect.AlertRaised"
SEAT = "committee-seat"


def held(who: str, *actions: str, by: str = "chi") -> HoldPlaced:
    return HoldPlaced(hold="hld_x", held=who, kind="security", actions=actions, reason="odd", by=by)


def told(watched: Watched) -> list[tuple[str, str, str]]:
    watched.settle()
    return [(one["rule"], one["severity"], one["principal"]) for one in watched.facts(ALERT)]


def ends(watched: Watched, days: int, *who: str) -> None:
    """Publish the lab with a term of each of these members whose last day is `days` from now."""
    day = datetime.datetime.fromtimestamp(watched.clock.now() / 1000 + days * 86_400, datetime.UTC).date().isoformat()
    text = LAB.read_text("utf-8")
    for one in who:
        at = text.index(f"    {one}: {{kind:")
        text = text[:at] + text[at:].replace("}", f', until: "{day}"}}', 1)
    watched.publish(text)


@pytest.mark.parametrize(
    ("fact", "alerts"),
    [
        (PersonFrozen(principal="gil", reason="", by="chi"), [("person-frozen", "high", "gil")]),
        (PersonFrozen(principal="gil", reason="", by="system"), [(SEAT, "high", "gil")]),
        (held("gil"), [(SEAT, "high", "gil")]),
        (held("gil", "committee.vote"), [(SEAT, "high", "gil")]),
        (SessionEnded(session="ses_x", principal="gil", reason="", by="chi"), [(SEAT, "medium", "gil")]),
        (DeviceEnded(device="dev_x", principal="gil", reason="", by="chi"), [(SEAT, "high", "gil")]),
        (KeyFellBack(device="dev_x", principal="gil", act="confirm", by="chi"), [(SEAT, "high", "gil")]),
        (KeyFellBack(device="dev_x", principal="gil", act="enrol", by="gil"), []),  # it counts on
        (DeviceEnded(device="dev_x", principal="gil", reason="", by="gil"), []),
        (DeviceEnded(device="dev_x", principal="ada", reason="", by="chi"), []),
        (held("gil", "weights.export"), []),
        (held("gil", by="system"), []),
        (held("ada"), []),
        (SessionEnded(session="ses_x", principal="gil", reason="", by="gil"), []),
    ],
)
def test_a_member_who_is_stopped_is_one_alert(
    watched: Watched, fact: Event, alerts: list[tuple[str, str, str]]
) -> None:
    watched.write(fact)
    watched.follow()
    watched.follow()
    assert told(watched) == alerts
    if isinstance(fact, PersonFrozen) or alerts == [(SEAT, "high", "gil")]:
        assert len(watched.facts("detect.ResponseTaken")) == 1


@pytest.mark.parametrize(
    "code", ["access.committee_silenced", "access.committee_not_held", "access.charter_needs_motion"]
)
def test_who_tries_to_silence_or_to_pack_the_committee_is_told_of(watched: Watched, code: str) -> None:
    line = Denied(
        principal="chi", kind="person", action="hold.place", resource="lab", code=code, rule="access", grant="",
        policy_digest="", context={},
    )  # fmt: skip
    watched.write(line, line)
    watched.follow()
    assert told(watched) == [("stopped-at-the-door", "high", "chi")]


def test_a_term_that_ends_is_told_ahead_and_at_the_moment_each_once(watched: Watched) -> None:
    ends(watched, 19, "hana")
    jobs.watch_seats(watched.system)
    assert told(watched) == []
    watched.clock.advance(7 * DAY)
    for _ in range(2):
        jobs.watch_seats(watched.system)
        watched.settle()
    assert told(watched) == [(SEAT, "medium", "hana")]
    watched.clock.advance(13 * DAY)
    for _ in range(2):
        jobs.watch_seats(watched.system)
        watched.settle()
    assert told(watched) == [(SEAT, "medium", "hana"), (SEAT, "high", "hana")]


def test_a_term_has_not_ended_before_its_last_day_has(watched: Watched) -> None:
    ends(watched, 1, "hana")
    jobs.watch_seats(watched.system)
    assert told(watched) == [(SEAT, "medium", "hana")]
    watched.clock.set((watched.clock.now() // DAY + 2) * DAY - 1)
    jobs.watch_seats(watched.system)
    assert told(watched) == [(SEAT, "medium", "hana")]
    watched.clock.advance(1)
    jobs.watch_seats(watched.system)
    assert told(watched) == [(SEAT, "medium", "hana"), (SEAT, "high", "hana")]


def test_the_alert_names_the_last_day() -> None:
    one = rules.Term(person="hana", day="2027-03-31", until=10 * DAY, ends=11 * DAY)
    told = [rules.term(one, at, 14 * DAY, ()) for at in (10 * DAY, 11 * DAY - 1, 11 * DAY)]
    assert [found.text.split("UTC)")[0] for found in told if found] == [
        "The term of a member ends with 2027-03-31 (",
        "The term of a member ends with 2027-03-31 (",
        "The term of a member ended with 2027-03-31 (",
    ]


def test_how_far_ahead_is_a_setting(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    watched = Watched(database, clock, tmp_path, **{"detect.seat_ahead_days": 30})
    ends(watched, 20, "hana")
    jobs.watch_seats(watched.system)
    assert told(watched) == [(SEAT, "medium", "hana")]


def test_a_committee_that_can_decide_nothing_any_more_is_told_of_once(watched: Watched) -> None:
    ends(watched, 3, "hana", "ivo")
    watched.clock.advance(4 * DAY)
    for _ in range(2):
        jobs.watch_seats(watched.system)
        watched.settle()
    assert told(watched) == [(SEAT, "high", "hana"), (SEAT, "high", "ivo"), (SEAT, "high", "")]
    assert watched.facts("identity.PersonFrozen") == []
