"""Theft: step back in a member's name in a stolen session, so that fewer are enough to lift the committee's hold."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Trace
from weighthouse.assurance.ports import Ground, Scenario, not_here
from weighthouse.assurance.scenarios import lifted_hold
from weighthouse.assurance.scenarios.disowned_ballot import lift, signed_ballot
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

CODE = "access.authority_refused"
VICTIM = "hana"
SEAT = "    ivo: {kind: director, independent: false}\n"
MEMBER = "    accounts: [{issuer: dev, subject: fay}]\n    teams: [audit"
SLOT = "committee: {team: committee, count: "
CHANGES = (
    (SEAT, SEAT + "    fay: {kind: expert, independent: true}\n"),
    (MEMBER, MEMBER + ", committee"),
    (SLOT + "2}", SLOT + "3}"),
)
Loot = tuple[str, access.Authority]


def held_by_four(ground: Ground) -> tuple[str, dict[str, str], list[access.AuthorityBallot]]:
    """A committee of four, three of whom must agree to lift its hold: that, the motion, and the answers of two."""
    with begin(ground.system) as unit:
        text = policy.current_text(unit)
        for old, new in CHANGES:
            if text.count(old) != 1:
                not_here("the committee of the example lab")
            text = text.replace(old, new)
        policy.store(unit, text, "lab.yaml")
    hold = lifted_hold.prepare(ground)
    motion = {"type": "weighthouse/motion/1", "act": "lift", "hold": hold}
    own = {who: str(ground.act_as(who).caller.session) for who in ("gil", "ivo")}
    return hold, motion, [signed_ballot(ground, who, motion, session) for who, session in own.items()]


def prepare(ground: Ground) -> Loot:
    """Two of four agree where three must, and a thief at Hana's laptop takes her off the table."""
    hold, motion, ballots = held_by_four(ground)
    stolen = new_id("ses")
    ballots.append(signed_ballot(ground, VICTIM, motion, stolen, "recuse"))
    with begin(ground.system) as unit:
        identity.end_session(unit, stolen, "I am at home, and that is not me.", "chi", of=VICTIM)
    ground.settle()
    return hold, access.Authority(motion=motion, ballots=tuple(ballots))


SCENARIO = Scenario(
    id="thieves-recusal",
    title="Step back in a member's name, so that fewer are enough to lift the committee's hold",
    techniques=("T1550", "T1078", "catalogue 53"),
    people=("gil", "ivo", VICTIM),
    steps=(
        "On a copy whose committee has four seats, the chair holds Tern's release.",
        "Two members answer that it be lifted, where three must; a thief at Hana's laptop recuses her.",
        "Security ends the thief's session; with two of three left, the hold is to be lifted.",
    ),
    expected=Expected(status="BLOCKED", room="access", code=CODE, traces=(Trace("access.Denied", {"code": CODE}),)),
    prepare=prepare,
    attack=lift,
    on="copy",
)
