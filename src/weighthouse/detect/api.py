"""The public face of detection: read and acknowledge alerts, and what a responder does about people and sessions.

Guards alerts from those they are about: who may see them is decided by access, like everything else. Alerts are
raised by the followers in `jobs`, never by a caller.
"""

from __future__ import annotations

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import paging, visible
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Conflict, Invalid, NotFound
from weighthouse.core.ids import check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.detect import store
from weighthouse.detect.events import AlertAcknowledged, AlertRaised, ResponseTaken
from weighthouse.detect.model import TITLES, Alert, Incident
from weighthouse.identity import api as identity

NOTE_LIMIT = 2_000

__all__ = [
    "NOTE_LIMIT",
    "Alert",
    "acknowledge",
    "alert",
    "alerts",
    "alerts_page",
    "end_session",
    "freeze",
    "frozen",
    "record",
    "sessions_of",
    "thaw",
]


def alerts(unit: Unit, caller: Caller, *, limit: int = 100) -> list[Alert]:
    """Return the first of `alerts_page`."""
    return alerts_page(unit, caller, limit=limit).items


def alerts_page(unit: Unit, caller: Caller, *, cursor: str | None = None, limit: int = 100) -> paging.Page[Alert]:
    """Return alerts, newest first. Raises Denied unless the caller may end sessions or read the log."""
    _may_see(unit, caller)
    place = paging.place_of(cursor, "alerts", (int, str))
    found = store.newest_alerts(unit.conn, limit + 1, place)
    return paging.page(found, limit, "alerts", lambda one: (one.at, one.id), place)


def alert(unit: Unit, caller: Caller, alert_id: str) -> Alert:
    """Return one alert. Raises Denied, or `detect.no_such_alert`."""
    _may_see(unit, caller)
    return _found(unit, alert_id)


def acknowledge(unit: Unit, caller: Caller, alert_id: str, note: str = "") -> Alert:
    """Put on record that a responder has seen the alert. Raises Denied, `detect.no_such_alert`, `detect.own_alert`,
    `detect.already_acknowledged` or `detect.note_too_long`."""
    access.require(unit, caller, "session.end", "lab")
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
    store.change_alert(unit.conn, changed)
    audit.append(unit, AlertAcknowledged(alert=found.id, by=caller.principal, note=note))
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
        response=(*actions, *(f"failed: {one}" for one in failed)),
        acknowledged_by=None,
        acknowledged_at=None,
        note="",
    )
    store.add_alert(unit.conn, incident.key, made)
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
        ),
    )
    audit.append(
        unit,
        ResponseTaken(alert=made.id, rule=made.rule, principal=made.principal, actions=actions, failed=failed),
    )
    return made


def _may_see(unit: Unit, caller: Caller) -> None:
    if not access.explain(unit, caller, "session.end", "lab").allowed:
        access.require(unit, caller, "audit.read", "lab")


def _found(unit: Unit, alert_id: str) -> Alert:
    found = store.find_alert(unit.conn, check_id(alert_id, "alr"))
    if found is None:
        raise NotFound(
            "detect.no_such_alert", "There is no alert with this id.", "List the alerts and copy the id whole."
        )
    return found


def sessions_of(unit: Unit, caller: Caller, person: str) -> list[identity.Session]:
    """Return a person's live sessions for a responder. Raises Denied, or `identity.unknown_person`."""
    access.require(unit, caller, "session.end", "lab")
    return identity.sessions_of(unit, identity.person(unit, person).id)


def end_session(unit: Unit, caller: Caller, person: str, session: str, reason: str) -> None:
    """End one session of a person; nothing works for it any more. Raises Denied, `detect.no_such_session`."""
    access.require(unit, caller, "session.end", "lab")
    person = identity.person(unit, person).id
    if not identity.is_of(unit, person, session):
        raise NotFound(
            "detect.no_such_session", "This person has, and lately had, no such session.", "List their sessions."
        )
    visible.check(reason, "The reason")
    identity.end_session(unit, session, reason, caller, of=person)


def frozen(unit: Unit, caller: Caller) -> list[identity.Person]:
    """Return who is frozen, with the reason. Raises Denied unless the caller may freeze people or read the log.

    A reason can name what a person is suspected of, so it is for nobody else.
    """
    if not access.explain(unit, caller, "person.freeze", "lab").allowed:
        access.require(unit, caller, "audit.read", "lab")
    return [one for one in identity.people(unit) if one.frozen]


def freeze(unit: Unit, caller: Caller, person: str, reason: str) -> None:
    """End every session of a person and let nobody sign in as them. Raises Denied, `identity.unknown_person`."""
    access.require(unit, caller, "person.freeze", "lab")
    visible.check(reason, "The reason")
    identity.freeze(unit, identity.person(unit, person).id, reason, caller)


def keys_aside(unit: Unit, caller: Caller, person: str) -> list[identity.Device]:
    """Return the keys of a person that were set aside and may count again. Raises Denied."""
    access.require(unit, caller, "person.freeze", "lab")
    return identity.keys_aside(unit, identity.person(unit, person).id)


def restore_key(
    unit: Unit, caller: Caller, person: str, device: str, *, signed: identity.KeySignature | None = None
) -> identity.Device:
    """Let one key of somebody else count again that was set aside. Raises Denied, `identity.key_not_aside`,
    `identity.key_never_counted`, and as `identity.require_opening` does."""
    access.require(unit, caller, "person.freeze", "lab")
    if person == caller.principal:
        raise Conflict("detect.own_keys", "This is your own key.", "Ask another responder to look at it.")
    return identity.restore_key(unit, identity.person(unit, person).id, device, caller, signed=signed)


def confirm_key(unit: Unit, caller: Caller, person: str, device: str, *, by: str, signature: bytes) -> None:
    """Confirm a new key of somebody else as the second person, signed by the caller's own grown key `by`. Raises
    Denied, `identity.device_unknown`, `identity.bad_signature`, `identity.key_young`."""
    access.require(unit, caller, "person.freeze", "lab")
    identity.confirm_others_key(unit, caller, device, of=person, by=by, signature=signature)


def thaw(
    unit: Unit, caller: Caller, person: str, reason: str, *, signed: identity.KeySignature | None = None
) -> None:
    """Let a frozen person sign in again. Raises Denied, `identity.unknown_person`, and as `identity.require_opening`
    does."""
    access.require(unit, caller, "person.freeze", "lab")
    visible.check(reason, "The reason")
    identity.thaw(unit, identity.person(unit, person).id, reason, caller, signed=signed)
