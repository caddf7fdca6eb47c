"""Holds. Guards a resource, a person or the whole lab when something is wrong: a hold beats every grant, at once.

Placing one is easy and safe; lifting one is not. A hold of the committee is lifted only by the ballots of its
members, each checked here again by its device's signature, whoever calls.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weighthouse.access.api.decision import authorise, explain
from weighthouse.access.api.facts import index_of, member, person_of
from weighthouse.access.api.holds_on import every_hold, was_placed
from weighthouse.access.api.mandate import recount
from weighthouse.access.api.owing import place
from weighthouse.access.api.requests import refuse
from weighthouse.access.api.seats import check_silence, may_silence, names_acts_of_committee
from weighthouse.access.api.stopping import stops
from weighthouse.access.api.subjects import check_actions, check_subject, things_of
from weighthouse.access.events import HoldLifted, HoldLookedAt, HoldPlaced
from weighthouse.access.model import Authority, Hold, Look
from weighthouse.access.ports import Refusals
from weighthouse.access.store import holds as rows
from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.canonical import digest
from weighthouse.core.errors import Denied, Invalid, NotFound, WeighthouseError
from weighthouse.core.ids import HoldId, PrincipalId, check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

HoldKind = Literal["security", "governance"]


@stops
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
    Invalid `access.bad_hold`, Denied, among them `access.committee_not_held` and `access.committee_silenced`.
    """
    text = _reason(reason)
    lab = policy.current(unit).lab
    check_subject(unit, subject, actions)
    check_actions(actions)
    if caller.kind != "system":
        needed = "committee.hold" if kind == "governance" else "hold.place"
        authorise(unit, caller, needed, subject if subject in lab.resources else policy.LAB_RESOURCE)
    actions = may_stand(unit, caller, subject, actions)
    hold = Hold(
        id=HoldId(new_id("hld")),
        subject=subject,
        kind=kind,
        reason=text,
        actions=tuple(sorted(set(actions))),
        placed_by=caller.principal,
        at=unit.now,
    )
    stand(unit, hold)
    return hold


def may_stand(unit: Unit, caller: Caller, subject: str, actions: tuple[str, ...]) -> tuple[str, ...]:
    """The actions of a hold that may stand. Attack: hold the votes of those who guard the release. What the system
    finds about a member stops all else of theirs; an order that would silence the committee is refused."""
    governing = names_acts_of_committee(actions)
    if subject not in policy.current(unit).lab.people:
        if governing:
            raise refuse(
                policy.current(unit), caller, "hold.place", subject, "access.committee_not_held",
                "Acts of the committee are held for no thing and not for the lab: guards are not guarded by those "
                "they guard.",
                "Leave out committee.hold and committee.vote; one member, by name, may be held.",
            )  # fmt: skip
        return actions
    if actions and not governing:
        return actions
    if caller.kind != "system":
        check_silence(unit, caller, "hold.place", subject)
    elif not may_silence(unit, subject):
        return tuple(one for one in actions or policy.ACTIONS if one not in policy.GOVERNING)
    return actions


def stand(unit: Unit, hold: Hold) -> None:
    """Store a hold whose placing was decided: the memory that a row cannot undo, its row, its line.

    Where the log tells of it, as when another server found the same doubt first, it is remembered here, too; row and
    line are the other's. What a row says of an id that can be foretold is no sign of that. Attack: plant one.
    """
    line = HoldPlaced(
        hold=hold.id,
        held=hold.subject,
        kind=hold.kind,
        actions=hold.actions,
        reason=hold.reason,
        by=hold.placed_by,
    )
    place(unit, hold, line)
    if _told(unit, hold.id):
        return
    rows.put(unit.conn, hold)
    audit.append(unit, line)


def _told(unit: Unit, hold_id: str) -> bool:
    try:
        return was_placed(unit, hold_id)
    except WeighthouseError:  # a log that cannot be read keeps nothing from being stopped
        return False


def _reason(reason: str) -> str:
    text = visible.cleaned(reason)
    if not 3 <= len(text) <= 2_000 or visible.hidden(reason, lines=True):
        raise Invalid("access.reason_length", "A reason has 3 to 2000 visible characters.", "Say why.")
    return text


def holds(unit: Unit, subject: str | None = None) -> list[Hold]:
    """Every hold that stands now, newest first; on one subject, if given."""
    shown = (_looked(unit, hold) if hold.kind == "log" else hold for hold in every_hold(unit, subject))
    return sorted(shown, key=lambda hold: (-hold.at, hold.id))


def _looked(unit: Unit, hold: Hold) -> Hold:
    return msgspec.structs.replace(hold, looked=tuple(sorted({one.person for one in looks(unit, hold.id)})))


def remembered_holds(unit: Unit, subject: str) -> list[Hold]:
    """The holds on a subject that stand outside the database, newest first.

    A row alone stops what it names, for that is the safe side; but it never answers that nothing more is needed, or
    whoever writes it could take it away again after somebody was told so.
    """
    found = [hold for hold in unit.part(Refusals).holds() if hold.subject == subject]
    return sorted(found, key=lambda hold: (-hold.at, hold.id))


def log_doubts(unit: Unit) -> list[str]:
    """Why the log is in doubt, as the holds on the lab say that stand for it; empty if nothing speaks against it."""
    return [hold.reason for hold in holds(unit, policy.LAB_RESOURCE) if hold.kind == "log"]


def list_holds(unit: Unit, caller: Caller, subject: str | None = None) -> list[Hold]:
    """Holds that stand now on what the caller may know of: resources, the lab, themselves; on others for those who
    may place holds or read the log."""
    bundle = policy.current(unit)
    person = person_of(unit, bundle, caller)
    one = member(unit, bundle, person)
    teams = one.teams if one is not None else frozenset()
    return [hold for hold in holds(unit, subject) if _may_know(unit, bundle, hold, person, teams)]


def _may_know(unit: Unit, bundle: policy.Bundle, hold: Hold, person: str, teams: frozenset[str]) -> bool:
    index, lab = index_of(bundle), bundle.lab.resources[policy.LAB_RESOURCE]
    if hold.subject in (person, policy.LAB_RESOURCE) or teams & index.answering(lab):
        return True
    return any(teams & index.knowers(thing) for thing in things_of(unit, bundle.lab, hold.subject))


def lift_hold(
    unit: Unit,
    caller: Caller,
    hold_id: str,
    reason: str,
    *,
    authority: Authority | None = None,
    signed: identity.KeySignature | None = None,
) -> Hold:
    """Lift a hold. A security hold needs `hold.place`, a second factor and a signature by a grown key, both for it
    (`identity.require_opening`), and not its own subject; one of the log needs two different people, one of that kind
    and another of that kind or a reader of the log, and is returned unlifted to the first; one of the committee needs
    `authority`, and nothing else will do. Who has lifted it gets the same answer again, and nothing is written.

    Raises NotFound `access.no_such_hold`, Denied `access.hold_needs_committee`, `access.authority_refused`,
    `access.hold_on_oneself`, Unauthenticated `identity.act_unconfirmed`, and as `identity.require_opening` does.
    """
    text = _reason(reason)
    bundle = policy.current(unit)
    found = next((hold for hold in holds(unit) if hold.id == check_id(hold_id, "hld")), None)
    if found is None:
        return _already(unit, caller, hold_id)
    if unit.part(Refusals).hold(found.id) is None:
        raise _unproven(bundle, caller, found)
    by = ""
    if found.kind == "governance":
        by = _authorised(unit, bundle, caller, found, authority)
    elif found.kind == "security" or explain(unit, caller, "hold.place", policy.LAB_RESOURCE).allowed:
        _security(unit, bundle, caller, found, signed)
    else:
        _auditor(unit, caller, found, signed)
    if found.kind == "log" and not _second_look(unit, caller, found, text):
        return msgspec.structs.replace(found, looked=(caller.principal,))
    rows.lift(unit.conn, found.id, unit.now, caller.principal, text)
    refusals = unit.part(Refusals)
    unit.after_commit(lambda: refusals.lift(found.id))
    line = HoldLifted(
        hold=found.id,
        held=found.subject,
        kind=found.kind,
        reason=text,
        by=caller.principal,
        authority=by,
        session=str(caller.session or ""),
    )
    audit.append(unit, line)
    return msgspec.structs.replace(found, lifted=unit.now)


def _unproven(bundle: policy.Bundle, caller: Caller, hold: Hold) -> Denied:
    """The refusal to lift what a row alone tells of: it stops, which is the safe side, but whose hold it is, and so
    who may lift it, is never taken from a row. Attack: rename the committee's hold to one of security's."""
    return refuse(
        bundle, caller, "hold.lift", hold.subject, "access.hold_unproven",
        "This server knows of this hold by its row alone, so it does not know who may lift it.",
        "If it was placed at another server, try again once the log tells of it; otherwise somebody wrote the row: "
        "tell security, and let the database's administrator take it out.",
    )  # fmt: skip


def _already(unit: Unit, caller: Caller, hold_id: str) -> Hold:
    """The answer to an order that is repeated because its answer was lost; the row alone is not believed."""
    mine = rows.lifted_by(unit.conn, hold_id, caller.principal)
    if mine is None or not unit.part(Refusals).lifted(hold_id):
        raise NotFound("access.no_such_hold", "No such hold stands.", "Pick one from the list of holds.")
    return mine


def _second_look(unit: Unit, caller: Caller, hold: Hold, reason: str) -> bool:
    """Whether somebody else has looked at what puts the log in doubt before; if not, keep that the caller has."""
    refusals, me = unit.part(Refusals), (str(caller.principal), caller.account)
    looked = {(one.person, one.account) for one in looks(unit, hold.id)}
    others = [one for one in looked if one[0] != me[0] and one[1] != me[1]]  # one account never is two people
    if any(_may_settle(unit, me, other) for other in others):
        return True
    if me not in looked:
        session = str(caller.session or "")
        look = Look(person=me[0], account=me[1], session=session, at=unit.now)
        unit.after_commit(lambda: refusals.look(hold.id, look))
        line = HoldLookedAt(hold=hold.id, held=hold.subject, reason=reason, by=caller.principal, session=session)
        audit.append(unit, line)
    return False


def looks(unit: Unit, hold: str) -> list[Look]:
    """Who has looked at what a hold of the log is about, in a session that is theirs by all that is known.

    Attack: give the first look at somebody's laptop, and one honest person is enough. One from before sessions were
    kept counts as it did.
    """
    found = unit.part(Refusals).looked(hold)
    return [one for one in found if not one.at or not identity.disowned(unit, one.person, one.session, one.at)]


def _may_settle(unit: Unit, one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two people together settle a doubt at this moment: who looked first may have left since."""
    if not (_may(unit, other, "hold.place") or _may(unit, other, "audit.read")):
        return False
    return _may(unit, one, "hold.place") or _may(unit, other, "hold.place")


def _may(unit: Unit, who: tuple[str, str], action: str) -> bool:
    asked = Caller(
        principal=PrincipalId(who[0]),
        kind="person",
        account=who[1],
        assurance=Assurance(2, unit.now, "assumed"),
        binding="none",
    )
    return explain(unit, asked, action, policy.LAB_RESOURCE).allowed


def _auditor(unit: Unit, caller: Caller, hold: Hold, signed: identity.KeySignature | None) -> None:
    """An auditor is the natural second pair of eyes on the log, and may lift nothing else."""
    authorise(unit, caller, "audit.read", policy.LAB_RESOURCE)
    _confirmed(unit, caller, hold, signed)


def _security(
    unit: Unit, bundle: policy.Bundle, caller: Caller, hold: Hold, signed: identity.KeySignature | None
) -> None:
    resource = hold.subject if hold.subject in bundle.lab.resources else policy.LAB_RESOURCE
    if caller.principal == hold.subject:
        raise refuse(
            bundle, caller, "hold.lift", hold.subject, "access.hold_on_oneself",
            "Nobody lifts a hold on themselves.", "Ask security.",
        )  # fmt: skip
    authorise(unit, caller, "hold.place", resource)
    _confirmed(unit, caller, hold, signed)


def _confirmed(unit: Unit, caller: Caller, hold: Hold, signed: identity.KeySignature | None) -> None:
    identity.require_opening(unit, caller, identity.Act(type="hold.lift", subject=hold.id), signed)


def _authorised(unit: Unit, bundle: policy.Bundle, caller: Caller, hold: Hold, authority: Authority | None) -> str:
    """The digest of the motion that lifts this hold; raises Denied unless, counted again, it is carried."""
    if authority is None or bundle.lab.committee is None:
        raise refuse(
            bundle, caller, "hold.lift", hold.subject, "access.hold_needs_committee",
            "A hold of the committee is lifted only by a decision of the committee.",
            "Open a motion; its ballots lift the hold.",
        )  # fmt: skip
    motion = digest(authority.motion)
    if authority.motion.get("act") != "lift" or authority.motion.get("hold") != hold.id:
        raise _refused(bundle, caller, hold, "the motion is about something else")
    count = recount(unit, "lift_hold", motion, authority.ballots)
    if not count.carried:
        raise _refused(bundle, caller, hold, f"counted again now, {policy.short(count)}")
    return motion


def _refused(bundle: policy.Bundle, caller: Caller, hold: Hold, why: str) -> Denied:
    return refuse(
        bundle, caller, "hold.lift", hold.subject, "access.authority_refused",
        f"The decision does not lift this hold: {why}.", "Close a quorate motion about exactly this hold.",
    )  # fmt: skip
