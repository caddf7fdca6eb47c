"""Holds. Guards a resource, a person or the whole lab when something is wrong: a hold beats every grant, at once.

Placing one is easy and safe; lifting one is not. A hold of the committee is lifted only by the ballots of its
members, each checked here again by its device's signature, whoever calls.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weighthouse.access.api.decision import authorise
from weighthouse.access.api.facts import index_of, member, person_of
from weighthouse.access.api.held import is_held
from weighthouse.access.api.requests import refuse
from weighthouse.access.api.sealing import unb64
from weighthouse.access.events import HoldLifted, HoldPlaced
from weighthouse.access.model import Authority, AuthorityBallot, Hold
from weighthouse.access.ports import Refusals
from weighthouse.access.store import holds as rows
from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import digest, encode
from weighthouse.core.errors import Denied, Invalid, NotFound, Unauthenticated, WeighthouseError
from weighthouse.core.ids import HoldId, check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

HoldKind = Literal["security", "governance"]


def place_hold(
    unit: Unit,
    caller: Caller,
    subject: str,
    reason: str,
    *,
    actions: tuple[str, ...] = (),
    kind: HoldKind = "security",
) -> Hold:
    """Stop `actions` (all, if none are named) on a resource, by a person, or in the whole lab.

    Needs `hold.place` (`committee.hold` for the kind governance) on the resource, or the system as caller. Raises
    Invalid `access.bad_hold`, Denied.
    """
    text = _reason(reason)
    lab = policy.current(unit).lab
    if subject not in lab.resources and subject not in lab.people:
        raise Invalid(
            "access.bad_hold",
            "A hold is on a resource, a person or `lab`.",
            "Name one as the lab configuration does.",
        )
    unknown = [action for action in actions if action not in policy.ACTIONS]
    if unknown:
        raise Invalid("access.bad_hold", f"'{unknown[0]}' is not an action.", "Name actions of the lab, or none.")
    if caller.kind != "system":
        needed = "committee.hold" if kind == "governance" else "hold.place"
        authorise(unit, caller, needed, subject if subject in lab.resources else policy.LAB_RESOURCE)
    hold = Hold(
        id=HoldId(new_id("hld")),
        subject=subject,
        kind=kind,
        reason=text,
        actions=tuple(sorted(set(actions))),
        placed_by=caller.principal,
        at=unit.now,
    )
    rows.add(unit.conn, hold)
    refusals = unit.part(Refusals)
    unit.before_commit(lambda: refusals.place(hold))
    audit.append(
        unit,
        HoldPlaced(hold=hold.id, held=subject, kind=kind, actions=hold.actions, reason=text, by=caller.principal),
    )
    return hold


def _reason(reason: str) -> str:
    text = visible.cleaned(reason)
    if not 3 <= len(text) <= 2_000 or visible.hidden(reason, lines=True):
        raise Invalid("access.reason_length", "A reason has 3 to 2000 visible characters.", "Say why.")
    return text


def holds(unit: Unit, subject: str | None = None) -> list[Hold]:
    """Every hold that stands now, newest first; on one subject, if given."""
    refusals = unit.part(Refusals)
    found = {hold.id: hold for hold in refusals.holds() if subject in (None, hold.subject)}
    for hold in rows.everything(unit.conn, subject):
        if hold.lifted is None and not refusals.lifted(hold.id):
            found.setdefault(hold.id, hold)
    return sorted(found.values(), key=lambda hold: (-hold.at, hold.id))


def list_holds(unit: Unit, caller: Caller, subject: str | None = None) -> list[Hold]:
    """Holds that stand now on what the caller may know of: resources, the lab, themselves; on others for those who
    may place holds or read the log."""
    bundle = policy.current(unit)
    person = person_of(unit, bundle, caller)
    one = member(unit, bundle, person)
    teams = one.teams if one is not None else frozenset()
    return [hold for hold in holds(unit, subject) if _may_know(bundle, hold, person, teams)]


def _may_know(bundle: policy.Bundle, hold: Hold, person: str, teams: frozenset[str]) -> bool:
    index, lab = index_of(bundle), bundle.lab.resources[policy.LAB_RESOURCE]
    if hold.subject in (person, policy.LAB_RESOURCE) or teams & index.answering(lab):
        return True
    thing = bundle.lab.resources.get(hold.subject)
    return thing is not None and bool(teams & index.knowers(thing))


def lift_hold(unit: Unit, caller: Caller, hold_id: str, reason: str, *, authority: Authority | None = None) -> Hold:
    """Lift a hold. A security hold needs `hold.place` with a fresh second factor, and not its own subject; one of the
    committee needs `authority`, and nothing else will do.

    Raises NotFound `access.no_such_hold`, Denied `access.hold_needs_committee`, `access.authority_refused`,
    `access.hold_on_oneself`, Unauthenticated `identity.step_up_required`.
    """
    text = _reason(reason)
    bundle = policy.current(unit)
    found = next((hold for hold in holds(unit) if hold.id == check_id(hold_id, "hld")), None)
    if found is None:
        raise NotFound("access.no_such_hold", "No such hold stands.", "Pick one from the list of holds.")
    by = ""
    if found.kind == "governance":
        by = _authorised(unit, bundle, caller, found, authority)
    else:
        _security(unit, bundle, caller, found)
    rows.lift(unit.conn, found.id, unit.now, caller.principal, text)
    refusals = unit.part(Refusals)
    unit.after_commit(lambda: refusals.lift(found.id))
    audit.append(unit, HoldLifted(hold=found.id, held=found.subject, reason=text, by=caller.principal, authority=by))
    return msgspec.structs.replace(found, lifted=unit.now)


def _security(unit: Unit, bundle: policy.Bundle, caller: Caller, hold: Hold) -> None:
    resource = hold.subject if hold.subject in bundle.lab.resources else policy.LAB_RESOURCE
    if caller.principal == hold.subject:
        raise refuse(
            bundle, caller, "hold.lift", hold.subject, "access.hold_on_oneself",
            "Nobody lifts a hold on themselves.", "Ask security.",
        )  # fmt: skip
    authorise(unit, caller, "hold.place", resource)
    if caller.assurance.level < 2 or unit.now - caller.assurance.at > policy.STEP_UP_FRESH:
        raise Unauthenticated(
            "identity.step_up_required", "Lifting a hold needs a fresh second factor.", "Confirm it, then lift again."
        )


def _authorised(unit: Unit, bundle: policy.Bundle, caller: Caller, hold: Hold, authority: Authority | None) -> str:
    """The digest of the motion that lifts this hold; raises Denied unless a quorum of the charter signed for it."""
    charter = bundle.lab.committee
    rule = charter.quorums.get("release") if charter is not None else None
    if authority is None or charter is None:
        raise refuse(
            bundle, caller, "hold.lift", hold.subject, "access.hold_needs_committee",
            "A hold of the committee is lifted only by a decision of the committee.",
            "Open a motion; its ballots lift the hold.",
        )  # fmt: skip
    motion = digest(authority.motion)
    if authority.motion.get("act") != "lift" or authority.motion.get("hold") != hold.id:
        raise _refused(bundle, caller, hold, "the motion is about something else")
    independent = {seat.person: seat.independent for seat in charter.seats if seat.voting and seat.sits(unit.now)}
    counted: set[str] = set()
    for ballot in authority.ballots:
        if ballot.voter in independent and _sound(unit, bundle, ballot, motion):
            counted.add(ballot.voter)
    needed = max(rule.approve if rule else 0, 2)
    least = max(rule.independent if rule else 0, charter.min_independent)
    enough = sum(independent[one] for one in counted) >= least
    if len(counted) < needed or not enough:
        raise _refused(bundle, caller, hold, f"{len(counted)} of {needed} valid ballots, or too few independent")
    return motion


def _sound(unit: Unit, bundle: policy.Bundle, ballot: AuthorityBallot, motion: str) -> bool:
    one = member(unit, bundle, ballot.voter)
    if one is None or not one.active or ballot.device not in one.devices or is_held(unit, ballot.voter):
        return False
    signed = {
        "type": "weighthouse/ballot/1",
        "motion_digest": motion,
        "ballot": "for",
        "voter": ballot.voter,
        "device": ballot.device,
        "at": ballot.at,
    }
    try:
        identity.verify_device_signature(unit, ballot.device, ballot.voter, encode(signed), unb64(ballot.signature))
    except WeighthouseError:
        return False
    return True


def _refused(bundle: policy.Bundle, caller: Caller, hold: Hold, why: str) -> Denied:
    return refuse(
        bundle, caller, "hold.lift", hold.subject, "access.authority_refused",
        f"The decision does not lift this hold: {why}.", "Close a quorate motion about exactly this hold.",
    )  # fmt: skip
