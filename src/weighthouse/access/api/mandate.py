"""Decisions of the committee as access takes them. Guards releases and the charter from a second, weaker count.

Ballots are signed by members' devices and counted here again, by the rule that governance closes motions with. For a
text that changes who decides, the motion is read from the log: what a database says of it counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.access.api.requests import refuse
from weighthouse.access.api.sealing import unb64
from weighthouse.access.api.seating import seating
from weighthouse.access.model import AuthorityBallot
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import encode
from weighthouse.core.errors import Denied, WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

# Of governance, by name: access stands below it, and believes the log.
_OPENED = audit.Lines("governance.MotionOpened", by="cls")
_CLOSED = audit.Lines("governance.MotionClosed")
_BALLOTS = audit.Lines("governance.BallotCast")
_SHOWN = 6


def recount(
    unit: Unit, cls: policy.MotionClass, motion_digest: str, ballots: Sequence[AuthorityBallot]
) -> policy.Tally:
    """Count the ballots on a motion that stand now, and each "no" that fell and was not given anew."""
    counting, _ = policy.heard(ballots, lambda one: _stands(unit, one, motion_digest))
    return policy.tally(seating(unit), cls, counting)


def _stands(unit: Unit, ballot: AuthorityBallot, motion_digest: str) -> bool:
    """Whether a ballot is signed by its member's live device over exactly this motion, in a session that is still
    theirs. Of a recusal the session alone is asked: it outlives its device, and lowers no bar once it is disowned."""
    if not identity.was_ours(unit.system, ballot.audience):
        return False
    signed = {
        **({"audience": ballot.audience} if ballot.audience else {}),
        "type": f"weighthouse/ballot/{2 if ballot.audience else 1}",
        "motion_digest": motion_digest,
        "ballot": ballot.choice,
        "voter": ballot.voter,
        "device": ballot.device,
        "at": ballot.at,
    }
    try:
        signature = unb64(ballot.signature)
        identity.verify_device_signature(unit, ballot.device, ballot.voter, encode(signed), signature, at=ballot.at)
    except WeighthouseError as error:
        if ballot.choice != "recuse" or error.code == "identity.key_young":
            return False
    return not identity.disowned(unit, ballot.voter, ballot.session, ballot.at)


def carries_still(unit: Unit, motion: str, digest: str) -> bool:
    """Whether a closed motion to lift a hold, counted again now by the answers that it was closed on, carries."""
    closing = _CLOSED.newest(unit, motion)
    cast = [one for one in _BALLOTS.of(unit, motion) if one.data["digest"] == digest]
    given = [_ballot(one) for one in cast if closing is None or one.index < closing.index]
    return recount(unit, "lift_hold", digest, given).carried


def mandate_for(unit: Unit, caller: Caller, after: policy.Lab, digest: str) -> str:
    """Return the carried motion by which this text may change who decides; empty if it changes nothing of that.

    Call it under the lock of `policy.current_locked`: the motion names the digest of the text and the very policy
    that it replaces, so that one that was lost, is stale or was used carries nothing. Raises Denied
    `access.charter_needs_motion`.
    """
    bundle = policy.current(unit)
    changes = policy.who_decides(bundle.lab, after)
    if not changes:
        return ""
    why = "no motion names this text"
    for opened in _OPENED.of(unit, "charter_change", newest_first=True):
        if opened.data["about"] != digest:
            continue
        why = _short(unit, bundle, opened)
        if not why:
            return str(opened.data["motion"])
    raise _needs_motion(bundle, caller, changes, why)


def _short(unit: Unit, bundle: policy.Bundle, opened: audit.Entry) -> str:
    """Why this motion carries nothing, empty if it carries the text that it names."""
    motion, digest = str(opened.data["motion"]), str(opened.data["digest"])
    if not opened.data.get("base"):
        return f"{motion} is not about publishing this text"
    if opened.data["base"] != policy.base_of(bundle):
        return f"{motion} was opened under another policy than the one in force"
    closings = _CLOSED.of(unit, motion, limit=2)
    if len(closings) != 1 or closings[0].data["digest"] != digest:
        return f"{motion} is not closed"
    if closings[0].data["outcome"] != "carried":
        return f"{motion} was lost"
    cast = _BALLOTS.of(unit, motion, start=opened.index)
    ballots = [_ballot(one) for one in cast if one.data["digest"] == digest and one.index < closings[0].index]
    count = recount(unit, "charter_change", digest, ballots)
    return "" if count.carried else f"of {motion}, counted again now, {policy.short(count)}"


def _ballot(entry: audit.Entry) -> AuthorityBallot:
    return AuthorityBallot(
        voter=str(entry.data["member"]),
        device=str(entry.data["device"]),
        at=int(entry.data["signed_at"]),
        signature=str(entry.data["signature"]),
        choice=str(entry.data["choice"]),
        session=str(entry.data.get("session", "")),
        audience=str(entry.data.get("audience", "")),
    )


def _needs_motion(bundle: policy.Bundle, caller: Caller, changes: list[str], why: str) -> Denied:
    more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return refuse(
        bundle, caller, "policy.publish", policy.LAB_RESOURCE, "access.charter_needs_motion",
        f"This text changes who decides ({'; '.join(changes[:_SHOWN])}{more}), and {why}.",
        "Have the committee carry a motion about exactly this text under the policy in force (`weighthouse committee "
        "open --policy FILE --text QUESTION`), then ask for approval and publish it.",
    )  # fmt: skip
