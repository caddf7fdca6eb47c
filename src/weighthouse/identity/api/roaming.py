"""Sessions on the move. Guards what a session may do abroad, and writes down where it goes, once for each place.

The same mark or key from another address is the owner's telephone or train: nothing ends. Abroad, or where nothing is
known, the session falls back to one factor unless policy says otherwise, so that a second one is asked for what needs
it. Nobody can make the log grow by changing to and fro.
"""

from __future__ import annotations

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core import faults
from weighthouse.core.brief import within_a_moment
from weighthouse.core.caller import Assurance
from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import Unauthenticated, Unavailable
from weighthouse.core.work import Unit, begin
from weighthouse.identity.api import owing
from weighthouse.identity.api.results import place_of
from weighthouse.identity.api.sealing import mark_of_origin
from weighthouse.identity.api.sessions import end_session, rewrite
from weighthouse.identity.events import SessionMoved
from weighthouse.identity.model import Place, Session
from weighthouse.identity.rules.arrival import origin_of
from weighthouse.identity.rules.roaming import Along, Outcome, judge

PLACES = 8  # remembered of one session: the two addresses of one machine, an office, a train
AT_MOST_EVERY = MINUTE


def settle(unit: Unit, session: Session, address: str) -> Session:
    """Return the session as it goes on from `address`; its mark or key has been shown.

    Raises `identity.session_abroad` if policy ends what leaves its country.
    """
    if origin_of(address) == origin_of(session.address):
        return session
    place, origin = place_of(unit, address), mark_of_origin(unit, address)
    country = place.country if place else ""
    known = origin in session.places and country == session.country
    if known or (unit.now - session.moved < AT_MOST_EVERY and origin in session.places):
        return session
    outcome = judge(_along(session, place))
    moved = _changed(unit, session, address, place, origin, outcome)
    if unit.read_only:
        _write_alone(unit, session, moved, origin, outcome)
    else:
        _write(unit, session, moved, origin, outcome)
    if outcome == "abroad" and unit.system.settings.text("identity.roaming") == "end":
        raise Unauthenticated(
            "identity.session_abroad",
            "This session is used from another country than before, so it has been ended.",
            "Sign in again where you are.",
        )
    return moved


def _write_alone(unit: Unit, session: Session, moved: Session, origin: str, outcome: Outcome) -> None:
    """Write it down in a unit of its own. Where a lock is in the way, the session goes on as it has become, the line
    follows, and the next use is judged as this one: whoever would say no is not turned away for having moved."""
    try:
        with begin(unit.system, request_id=unit.request_id) as own:
            within_a_moment(own)
            owing.owe(own, _line(unit, session, moved, origin, outcome), of=session.person)
            _write(own, session, moved, origin, outcome)
    except Unavailable as refusal:
        if refusal.code != faults.UNAVAILABLE:
            raise


def _been(session: Session) -> tuple[str, ...]:
    return session.countries or ((session.country,) if session.country else ())


def _along(session: Session, place: Place | None) -> Along:
    return Along(
        mark=True,
        address=False,
        network=place is not None and bool(place.network) and place.network == session.network,
        country=place is not None and bool(place.country) and place.country == session.country,
    )


def _changed(
    unit: Unit, session: Session, address: str, place: Place | None, origin: str, outcome: Outcome
) -> Session:
    assurance = session.assurance
    if outcome == "abroad" and unit.system.settings.text("identity.roaming") == "step_up":
        assurance = Assurance(min(assurance.level, 1), assurance.at, assurance.method)
    country = place.country if place else ""
    been = _been(session)
    gone = (*(one for one in been if one != country), country) if country else been
    return msgspec.structs.replace(
        session,
        address=address,
        network=place.network if place else "",
        country=country,
        countries=gone[-PLACES:],
        places=(*session.places, mark_of_origin(unit, session.address), origin)[-PLACES:],
        moved=unit.now,
        assurance=assurance,
    )


def _write(unit: Unit, session: Session, moved: Session, origin: str, outcome: Outcome) -> None:
    if outcome == "abroad" and unit.system.settings.text("identity.roaming") == "end":
        end_session(unit, session.id, "used from another country", "system")
    else:
        rewrite(unit, moved, was=session)
    audit.append(unit, _line(unit, session, moved, origin, outcome))


def _line(unit: Unit, session: Session, moved: Session, origin: str, outcome: Outcome) -> SessionMoved:
    return SessionMoved(
        session=session.id,
        principal=session.person,
        binding=session.binding,
        outcome=outcome,
        countries=len(moved.countries),
        returned=bool(moved.country) and moved.country in _been(session) and moved.country != session.country,
        since=unit.now - session.moved if session.moved else 0,
        origin=origin,
        address=moved.address,
    )


owing.again(SessionMoved, audit.append, unsure=("since",))
