"""Theft: answer for a member in a stolen session, and lift the committee's hold after that session was ended."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import lifted_hold
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.canonical import digest
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

CODE = "access.authority_refused"
VICTIM = "hana"
Loot = tuple[str, access.Authority]


def prepare(ground: Ground) -> Loot:
    """The chair holds Tern's release; two answers to lift it are signed, one by a thief at Hana's laptop."""
    hold, stolen = lifted_hold.prepare(ground), new_id("ses")
    motion = {"type": "weighthouse/motion/1", "act": "lift", "hold": hold}
    own = str(ground.act_as("gil").caller.session)
    ballots = (signed_ballot(ground, "gil", motion, own), signed_ballot(ground, VICTIM, motion, stolen))
    with begin(ground.system) as unit:
        identity.end_session(unit, stolen, "I am at home, and that is not me.", "chi", of=VICTIM)
    ground.settle()
    return hold, access.Authority(motion=motion, ballots=ballots)


def signed_ballot(
    ground: Ground, who: str, motion: dict[str, str], session: str, choice: str = "for"
) -> access.AuthorityBallot:
    """Return an answer that is signed by this member's own device, as if it was given in `session`."""
    actor = ground.act_as(who)
    with begin(ground.system) as unit:
        at = unit.now
    here = identity.audience(ground.system)
    said = {"type": "weighthouse/ballot/2", "audience": here, "motion_digest": digest(motion), "ballot": choice}
    signature = actor.sign({**said, "voter": who, "device": actor.device, "at": at})
    return access.AuthorityBallot(
        voter=who, device=actor.device, at=at, signature=signature, choice=choice, session=session, audience=here
    )


def lift(ground: Ground, loot: Loot) -> Observed:
    """Have a member lift the committee's hold on what its answers seem to allow."""
    hold, authority = loot
    thief = ground.act_as("gil").caller
    return tried(
        ground,
        thief,
        "the release of Tern",
        lambda unit: access.lift_hold(unit, thief, hold, "The committee has decided.", authority=authority),
    )


SCENARIO = Scenario(
    id="disowned-ballot",
    title="Lift the committee's hold with an answer that was given in a stolen session",
    techniques=("T1550", "T1078", "catalogue 53"),
    people=("gil", VICTIM),
    steps=(
        "On a copy, the chair holds Tern's release.",
        "A thief at Hana's laptop answers that it be lifted, in a session of the thief's; security ends that.",
        "With the chair's answer and that one, the hold is to be lifted.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=prepare,
    attack=lift,
    on="copy",
)
