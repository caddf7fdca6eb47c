"""What access learns from the log: every start, end, hold, lifting and policy that any server has put on record.

Guards this server from a row that was put back after another server ended it, and from one that was hidden after
another began it: what was given counts in separations and in how long, and its request is used up. Ids are closed for
good; a hold stands until its lifting is on record. Repeating any of it changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from weighthouse.access.model import Apart, Hold, grant_of
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.ids import GrantId, HoldId
from weighthouse.core.work import System
from weighthouse.policy import api as policy

log = logging.getLogger("weighthouse.access")
_REQUESTS = {"access.RequestDenied", "access.RequestWithdrawn", "access.RequestLapsed", "access.RequestOvertaken"}
_HOLDS = {"access.HoldPlaced", "access.HoldLifted"}
_GIVEN = {"access.RequestApproved", "access.GrantStarted", "access.GrantEnded"}
KINDS = frozenset({"access.PolicyPublished", "access.VoteVoided", *_GIVEN, *_HOLDS, *_REQUESTS})
_UNSAID = "Placed on another server; its reason stands in the log."


def learn(system: System, entries: Sequence[audit.Entry]) -> None:
    """Remember what these entries refuse."""
    refusals = system.part(Refusals)
    closed: list[str] = []
    for entry in entries:
        if entry.kind == "access.GrantEnded":
            closed.append(str(entry.data["grant"]))
            _over(refusals, entry)
        elif entry.kind == "access.GrantStarted":
            _begun(refusals, entry)
        elif entry.kind == "access.RequestApproved":
            closed.append(entry.subject)  # a vote on it makes no second grant
        elif entry.kind == "access.VoteVoided":
            closed.append(str(entry.data["vote"]))
        elif entry.kind in _REQUESTS:
            closed += [entry.subject, grant_of(entry.subject)]
        elif entry.kind == "access.HoldPlaced":
            _place(refusals, entry)
        elif entry.kind == "access.PolicyPublished":
            policy.learn(system, int(entry.data["version"]), str(entry.data["digest"]))
        else:
            _lift(refusals, entry)
    if closed:
        refusals.close(closed)


def _lift(refusals: Refusals, entry: audit.Entry) -> None:
    """Let a hold go that was lifted as one of its kind is: whoever was told of another kind has lifted nothing.

    Attack: let a row call the committee's hold one of security's, at a server that has not heard of it yet.
    """
    id_ = str(entry.data["hold"])
    if refusals.lifted(id_):
        return
    hold, lifted_as = refusals.hold(id_), str(entry.data.get("kind", ""))
    if hold is not None and (
        (hold.kind == "governance" and not entry.data["authority"]) or lifted_as not in ("", hold.kind)
    ):
        log.critical("hold %s was lifted without the authority that its kind needs, so it stands here", id_)
        return
    refusals.lift(id_)


def _place(refusals: Refusals, entry: audit.Entry) -> None:
    hold = Hold(
        id=HoldId(entry.data["hold"]),
        subject=entry.data["held"],
        kind=entry.data["kind"],
        reason=_UNSAID,
        actions=tuple(entry.data["actions"]),
        placed_by=entry.data["by"],
        at=entry.at,
    )
    if not refusals.placed(hold.id):
        refusals.place(hold)


def _begun(refusals: Refusals, entry: audit.Entry) -> None:
    data = entry.data
    held = Apart(
        grant=GrantId(data["grant"]),
        person=data["principal"],
        entitlement=data["entitlement"],
        start=data["not_before"],
        end=data["end"],
        resource=data["resource"],
    )
    known = refusals.given(held.grant)
    if known is None or known.end == known.start:  # the second, where its commit was thought to have failed
        refusals.keep_apart(held)


def _over(refusals: Refusals, entry: audit.Entry) -> None:
    """Let what was given end when it did, so that it counts for no longer than it was held."""
    known = refusals.given(str(entry.data["grant"]))
    if known is not None and entry.at < known.end:
        refusals.keep_apart(msgspec.structs.replace(known, end=max(known.start, entry.at)))


def close_for_good(system: System, ids: Sequence[str]) -> None:
    """Remember that things of upper rooms are over, as another server has put on record."""
    system.part(Refusals).close(ids)


def learnt(system: System) -> int:
    """Up to which place of the log this server's memory of refusals is whole."""
    return system.part(Refusals).learnt()


def learnt_to(system: System, place: int) -> None:
    """Keep that place in the memory itself."""
    system.part(Refusals).learnt_to(place)


def doubt_after(system: System, seconds: float, since: float | None = None) -> None:
    """Let every decision be refused unless the log is learnt from again within `seconds` of when it was asked last:
    `since`, a reading of `core.clock.since_start`."""
    system.part(Refusals).doubt_after(seconds, since)
