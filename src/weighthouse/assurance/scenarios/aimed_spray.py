"""Sabotage: with no account at all, lock an office out by failing from its address, and get in by a guess."""

from __future__ import annotations

from contextlib import suppress

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import WeighthouseError

COLLEAGUE, GUESSED = "eve", "ben"
OFFICE = "198.51.100.7"  # of no site and no lab (RFC 5737)
TYPED = "Winter2026!"
CODE, RULE = "client.headless_refused", "spray-then-success"


def attack(ground: Ground, _prepared: None) -> Observed:
    ground.later(MINUTE)  # a second factor of before, of this very second, would be taken for one that was used
    for name in (*(f"nobody{number}" for number in range(12)), *[COLLEAGUE] * 6):
        with suppress(WeighthouseError):
            ground.sign_in(name, OFFICE, password=TYPED)
            return Observed(loot=f"a session of {name}")
    try:
        working = ground.sign_in(COLLEAGUE, OFFICE)
    except WeighthouseError as refusal:
        return Observed(loot=f"the working day of whoever sits in that office ({refusal.code})")
    ground.settle()
    if not working():
        return Observed(loot="the session of a colleague, which was ended")
    try:
        ground.sign_in(GUESSED, OFFICE, factor=False)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    return Observed(loot="a session by a password alone")


SCENARIO = Scenario(
    id="aimed-spray",
    title="Lock an office out by failing from its address under invented names",
    techniques=("T1531", "T1110.003", "T1499"),
    people=(COLLEAGUE, GUESSED),
    steps=(
        "On a copy, a stranger behind an office's address fails under twelve invented names, and under Eve's.",
        "Eve signs in there on a new laptop, with her second factor, and works on.",
        "The stranger guesses Ben's password right, and has no second factor.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="identity",
        code=CODE,
        traces=(
            Trace("identity.StepUpDemanded", {"principal": GUESSED, "reasons.*": "spray"}),
            Trace("identity.SessionStarted", {"principal": COLLEAGUE, "reasons.*": "spray"}),
            Trace("detect.AlertRaised", {"rule": RULE, "principal": COLLEAGUE, "severity": "medium"}),
        ),
        absent=(
            Trace("identity.SignInDenied"),
            Trace("identity.SessionEnded"),
            Trace("identity.SessionStarted", {"principal": GUESSED}),
        ),
    ),
    attack=attack,
    on="copy",
)
