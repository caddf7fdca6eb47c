"""Theft: with write access to the database, have a row say that a grant is over just while it is revoked."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import tried

CODE = "access.grant_ended"


def attack(ground: Ground, grant: str) -> Observed:
    thief, chi = ground.act_as("eve").caller, ground.act_as("chi").caller
    ground.raw_sql("UPDATE access_grant SET state = 'ended', ended = 1 WHERE id = :id", id=grant)
    tried(
        ground,
        chi,
        "nothing: it is revoked",
        lambda unit: access.revoke(unit, chi, grant, "An exercise: it is not needed any more."),
    )
    ground.raw_sql("UPDATE access_grant SET state = 'active', ended = NULL WHERE id = :id", id=grant)
    return tried(
        ground,
        thief,
        "the weights of Tern, with a grant that was revoked",
        lambda unit: access.require(unit, thief, "run.submit", "model/tern"),
    )


SCENARIO = Scenario(
    id="already-done-row",
    title="Have a row say that a grant is over while it is revoked, and put it back",
    techniques=("T1565.001", "T1562.001"),
    people=("eve", "ben", "chi"),
    steps=(
        "On a copy, Eve is granted Tern; the database is edited to say that the grant has ended.",
        "Security revokes it, whatever the row says.",
        "The row is put back as it was, and Eve submits a run on Tern.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="access",
        code=CODE,
        traces=(
            Trace("access.GrantEnded", {"why": "revoked", "by": "chi"}),
            Trace("access.Denied", {"code": CODE, "principal": "eve"}),
        ),
    ),
    prepare=lambda ground: honest.grant(ground, "eve"),
    attack=attack,
    on="copy",
)
