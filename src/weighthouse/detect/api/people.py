"""What a responder does about people and sessions. Guards people from whoever may not act on them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from weighthouse.access import api as access
from weighthouse.core import paging, visible
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict, NotFound, WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity


def _whose(unit: Unit, person: str) -> str:
    """The id of somebody whom the lab knows or knew: what was done in a leaver's name is looked at and taken back
    like anybody's. Raises `identity.person_unknown`."""
    return person if identity.knew(unit, person) else identity.person(unit, person).id


def sessions_of(unit: Unit, caller: Caller, person: str) -> list[identity.Session]:
    """Return a person's live sessions for a responder. Raises Denied, or `identity.person_unknown`."""
    access.require(unit, caller, "session.end", "lab")
    return identity.sessions_of(unit, _whose(unit, person))


def ended_page(
    unit: Unit, caller: Caller, person: str, limit: int, cursor: str | None
) -> paging.Page[identity.Session]:
    """A page of a person's sessions that are over, of which something may live on. Raises as `sessions_of` does."""
    access.require(unit, caller, "session.end", "lab")
    return identity.ended_page(unit, _whose(unit, person), limit, cursor)


def keys_of(unit: Unit, caller: Caller, person: str) -> list[identity.Device]:
    """Return a person's live keys, for a responder. Raises Denied, or `identity.person_unknown`."""
    access.require(unit, caller, "person.freeze", "lab")
    return identity.devices_of(unit, _whose(unit, person))


def keys_about(unit: Unit, caller: Caller, people: Iterable[str]) -> dict[str, list[identity.Device]]:
    """Return the live keys of each of these whom the lab knows, as far as they can be read; none for who may not."""
    found = dict[str, list[identity.Device]]()
    if not access.explain(unit, caller, "person.freeze", "lab").allowed:
        return found
    for one in set(people):
        with suppress(WeighthouseError):
            found[one] = keys_of(unit, caller, one)
    return found


@access.stops
def end_key(
    unit: Unit, caller: Caller, person: str, device: str, reason: str, *, since: Millis | None = None
) -> None:
    """End one key of somebody for good, as stolen: what was done with it, from `since` or for a week, is taken back
    as with a session that is ended. It only stops, so it takes no more than the right to freeze them. Raises Denied,
    `identity.device_unknown`, `identity.since_ahead`, and `access.committee_silenced` for the last key of a member
    without whom the committee could decide nothing."""
    access.require(unit, caller, "person.freeze", "lab")
    visible.check(reason, "The reason")
    person = _whose(unit, person)
    if identity.is_only_voice(unit, person, device):
        access.check_silence(unit, caller, "person.freeze", person)
    identity.end_device_of(unit, person, device, reason, by=caller, since=since)


@access.stops
def end_session(unit: Unit, caller: Caller, person: str, session: str, reason: str) -> None:
    """End one session of a person; nothing works for it any more. Raises Denied, `detect.no_such_session`."""
    access.require(unit, caller, "session.end", "lab")
    person = _whose(unit, person)
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


@access.stops
def freeze(unit: Unit, caller: Caller, person: str, reason: str) -> None:
    """End every session of a person and let nobody sign in as them. Raises Denied, `identity.person_unknown`, and
    `access.committee_silenced` for a member without whom the committee could decide nothing."""
    access.require(unit, caller, "person.freeze", "lab")
    visible.check(reason, "The reason")
    access.check_silence(unit, caller, "person.freeze", person, disowns=True)
    identity.freeze(unit, identity.person(unit, person).id, reason, caller)


def keys_aside(unit: Unit, caller: Caller, person: str) -> list[identity.Device]:
    """Return the keys of a person that were set aside and may count again. Raises Denied."""
    access.require(unit, caller, "person.freeze", "lab")
    return identity.keys_aside(unit, _whose(unit, person))


def restore_key(
    unit: Unit, caller: Caller, person: str, device: str, *, signed: identity.KeySignature | None = None
) -> identity.Device:
    """Let one key of somebody else count again that was set aside. Raises Denied, `identity.key_not_aside`,
    `identity.key_never_counted`, and as `identity.require_opening` does."""
    access.require(unit, caller, "person.freeze", "lab")
    if person == caller.principal:
        raise Conflict("detect.own_keys", "This is your own key.", "Ask another responder to look at it.")
    return identity.restore_key(unit, identity.person(unit, person).id, device, caller, signed=signed)


def confirm_key(unit: Unit, caller: Caller, person: str, device: str, *, signed: identity.KeySignature) -> None:
    """Confirm a new key of somebody else as the second person, signed by a grown key of the caller's own. Raises
    Denied, and as `identity.confirm_others_key` does."""
    access.require(unit, caller, "person.freeze", "lab")
    identity.confirm_others_key(unit, caller, device, of=person, signed=signed)


def thaw(
    unit: Unit, caller: Caller, person: str, reason: str, *, signed: identity.KeySignature | None = None
) -> None:
    """Let a frozen person sign in again. Raises Denied, `identity.person_unknown`, and as `identity.require_opening`
    does."""
    access.require(unit, caller, "person.freeze", "lab")
    visible.check(reason, "The reason")
    identity.thaw(unit, identity.person(unit, person).id, reason, caller, signed=signed)
