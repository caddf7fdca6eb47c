"""Alerts: listed, read, acknowledged, put on record. Guards them from those they are about, and from their rows.

What is shown is what the log says: a row that was inserted is no alert, one that was deleted or edited changes none,
and none is acknowledged but by its line. The row is there to be locked by whoever acknowledges.
"""

from __future__ import annotations

from typing import Any

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import paging, visible
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Conflict, Invalid, NotFound, WeighthouseError
from weighthouse.core.ids import check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.detect import store
from weighthouse.detect.api import told
from weighthouse.detect.events import AlertAcknowledged, AlertRaised, ResponseTaken
from weighthouse.detect.model import TITLES, Alert, Incident
from weighthouse.identity import api as identity

NOTE_LIMIT = 2_000
_EVERY = audit.Lines(AlertRaised.KIND, by="")
_RAISED, _TAKEN, _SEEN = (audit.Lines(one.KIND) for one in (AlertRaised, ResponseTaken, AlertAcknowledged))


def alerts(unit: Unit, caller: Caller, *, limit: int = 100) -> list[Alert]:
    """Return the first of `alerts_page`."""
    return alerts_page(unit, caller, limit=limit).items


def alerts_page(unit: Unit, caller: Caller, *, cursor: str | None = None, limit: int = 100) -> paging.Page[Alert]:
    """Return alerts, newest first. Raises Denied unless the caller may end sessions or read the log."""
    _may_see(unit, caller)
    place = paging.place_of(cursor, "alerts", (int,))
    if place is None:
        found = _EVERY.of(unit, limit=limit + 1, newest_first=True)
    elif place.back:
        found = _EVERY.of(unit, start=int(place.key[0]) + 1, limit=limit + 1)
    else:
        found = _EVERY.of(unit, end=max(0, int(place.key[0])), limit=limit + 1, newest_first=True)
    cut = paging.page(found, limit, "alerts", lambda line: (line.index,), place)
    return cut.of(lambda line: _shown(unit, line))


def alert(unit: Unit, caller: Caller, alert_id: str) -> Alert:
    """Return one alert. Raises Denied, or `detect.no_such_alert`."""
    _may_see(unit, caller)
    return _found(unit, alert_id)


def acknowledge(unit: Unit, caller: Caller, alert_id: str, note: str = "") -> Alert:
    """Put on record that a responder has seen the alert. Raises Denied, `detect.no_such_alert`, `detect.own_alert`,
    `detect.already_acknowledged` or `detect.note_too_long`."""
    access.require(unit, caller, "session.end", "lab")
    store.lock(unit.conn, check_id(alert_id, "alr"))
    found = _found(unit, alert_id)
    if len(note) > NOTE_LIMIT:
        raise Invalid(
            "detect.note_too_long", f"A note has at most {NOTE_LIMIT} characters.", "Shorten the note, or link to it."
        )
    visible.check(note, "The note")
    if found.principal == caller.principal:
        raise Conflict(
            "detect.own_alert",
            "This alert is about you, so you cannot be the one who acknowledges it.",
            "Ask another responder to look at it.",
        )
    if found.acknowledged_by is not None:
        raise Conflict(
            "detect.already_acknowledged",
            "Another responder has acknowledged this alert already.",
            "Read their note; nothing else is needed.",
        )
    changed = msgspec.structs.replace(
        found, acknowledged_by=str(caller.principal), acknowledged_at=unit.now, note=note
    )
    session = str(caller.session or "")
    audit.append(unit, AlertAcknowledged(alert=found.id, by=caller.principal, note=note, session=session))
    return changed


def record(unit: Unit, incident: Incident, actions: tuple[str, ...], failed: tuple[str, ...]) -> Alert:
    """Put an incident and its response on record: one alert, one fact of each kind. For followers only."""
    made = Alert(
        id=new_id("alr"),
        rule=incident.rule,
        title=TITLES[incident.rule],
        severity=incident.severity,
        principal=incident.principal,
        session=incident.session,
        evidence=incident.evidence,
        text=incident.text,
        at=unit.now,
        response=_response(actions, failed),
        acknowledged_by=None,
        acknowledged_at=None,
        note="",
    )
    store.add_alert(unit.conn, incident.key, made)
    told.note(unit, incident)
    audit.append(
        unit,
        AlertRaised(
            alert=made.id,
            rule=made.rule,
            severity=made.severity,
            principal=made.principal,
            session=made.session,
            evidence=made.evidence,
            text=made.text,
            incident=incident.key,
        ),
    )
    audit.append(
        unit,
        ResponseTaken(alert=made.id, rule=made.rule, principal=made.principal, actions=actions, failed=failed),
    )
    return made


def _response(actions: tuple[str, ...], failed: tuple[str, ...]) -> tuple[str, ...]:
    return (*actions, *(f"failed: {one}" for one in failed))


def _may_see(unit: Unit, caller: Caller) -> None:
    if not access.explain(unit, caller, "session.end", "lab").allowed:
        access.require(unit, caller, "audit.read", "lab")


def _found(unit: Unit, alert_id: str) -> Alert:
    line = _RAISED.newest(unit, check_id(alert_id, "alr"))
    if line is None:
        raise NotFound(
            "detect.no_such_alert", "There is no alert with this id.", "List the alerts and copy the id whole."
        )
    return _shown(unit, line)


def _shown(unit: Unit, line: audit.Entry) -> Alert:
    """The alert that a line tells of, with what its other lines say was done and who has seen it."""
    data, id_ = line.data, line.subject
    taken, seen = _TAKEN.newest(unit, id_), _acknowledged(unit, id_)
    done: dict[str, Any] = taken.data if taken is not None else {"actions": (), "failed": ()}
    return Alert(
        id=id_,
        rule=data["rule"],
        title=TITLES.get(data["rule"], data["rule"]),
        severity=data["severity"],
        principal=data["principal"],
        session=data["session"],
        evidence=tuple(data["evidence"]),
        text=_words(unit, line, "text"),
        at=line.at,
        response=_response(tuple(done["actions"]), tuple(done["failed"])),
        acknowledged_by=str(seen.data["by"]) if seen is not None else None,
        acknowledged_at=seen.at if seen is not None else None,
        note=_words(unit, seen, "note") if seen is not None else "",
    )


def _acknowledged(unit: Unit, id_: str) -> audit.Entry | None:
    """By which line somebody has seen an alert. One in a session that was somebody else's counts for nothing, so that
    the alert is open again; one from before sessions were kept stands."""
    for one in _SEEN.of(unit, id_, newest_first=True):
        by, session = str(one.data["by"]), str(one.data.get("session", ""))
        if not session or not identity.disowned(unit, by, session, one.at):
            return one
    return None


def _words(unit: Unit, line: audit.Entry, name: str) -> str:
    try:
        said = audit.reveal(unit, line)[name]
    except WeighthouseError as refusal:
        return refusal.message
    return said if isinstance(said, str) else "no longer kept"
