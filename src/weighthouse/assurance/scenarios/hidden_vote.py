"""Theft: hide what a stolen vote gave while its voter is frozen, and use it once the voter is honestly back."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity

CODE = "access.vote_void"
VICTIM = "ben"
HIDE = (
    "CREATE TABLE kept_grant AS SELECT * FROM access_grant",
    "CREATE TABLE kept_vote AS SELECT * FROM access_vote",
    "DELETE FROM access_grant",
    "DELETE FROM access_vote",
)
PUT_BACK = ("INSERT INTO access_grant SELECT * FROM kept_grant", "INSERT INTO access_vote SELECT * FROM kept_vote")


def attack(ground: Ground, _grant: str) -> Observed:
    chi, eve = ground.act_as("chi").caller, ground.act_as("eve").caller
    voter = ground.act_as(VICTIM).caller
    with begin(ground.system, voter) as unit:
        identity.end_session(unit, str(voter.session), "signed out", voter)  # by the thief, who leaves nothing behind
    for statement in HIDE:
        ground.raw_sql(statement)
    with begin(ground.system, chi) as unit:
        identity.freeze(unit, VICTIM, "A thief voted in his name.", chi)
    ground.settle()
    for statement in PUT_BACK:
        ground.raw_sql(statement)
    _back(ground)
    return tried(
        ground, eve, "Tern, by a thief's vote", lambda unit: access.require(unit, eve, "run.submit", "model/tern")
    )


def _back(ground: Ground) -> None:
    """Let the victim be thawed, and his key count again: each honestly, by whoever may."""
    with begin(ground.system) as unit:
        identity.thaw(unit, VICTIM, "It is Ben again.", SYSTEM)
    with read(ground.system) as unit:
        key = identity.keys_aside(unit, VICTIM)[0]
    chi = ground.act_as("chi").caller
    signed = honest.opening(ground, "chi", "person.key", f"{VICTIM}/{key.thumbprint}")
    with begin(ground.system, chi) as unit:
        identity.restore_key(unit, VICTIM, key.id, chi, signed=signed)


SCENARIO = Scenario(
    id="hidden-vote",
    title="Hide what a stolen vote gave while its voter is frozen, and put it back",
    techniques=("T1565.001", "T1550", "T1078", "catalogue 53"),
    people=("eve", VICTIM, "chi"),
    steps=(
        "Eve asks to load Tern; a thief approves it in Ben's name and signs out, and Chi approves it.",
        "On a copy, the rows of the grant and its votes are taken out; Chi freezes Ben; every follower has its turn.",
        "The rows are put back. Ben is thawed, and his key counts again.",
        "Eve submits a run on Tern.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(Trace("access.Denied", {"code": CODE, "principal": "eve"}),),
    ),
    prepare=lambda ground: honest.grant(ground, "eve"),
    attack=attack,
    on="copy",
)
