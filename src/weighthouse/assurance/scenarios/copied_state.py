"""Theft: carry the whole state folder away and start it on another server."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.core.errors import WeighthouseError

CODE = "keys.passphrase"
GUESSES = ("", "weighthouse", "correct horse battery staple")


def attack(ground: Ground, _prepared: object) -> Observed:
    met = Observed()
    for guess in GUESSES:
        try:
            ground.open_keys(guess)
        except WeighthouseError as refusal:
            met = Observed(code=refusal.code, message=refusal.message)
            if refusal.code != CODE:
                return met
        else:
            return Observed(loot="every key of the lab")
    return met


SCENARIO = Scenario(
    id="copied-state",
    title="Start a stolen copy of the state folder elsewhere",
    techniques=("T1530", "T1555", "catalogue 40"),
    people=("eve",),
    steps=(
        "Database, memories and key file are carried to a machine of the thief's.",
        "The key file is opened with no passphrase, and with two that people choose.",
    ),
    expected=Expected(status="BLOCKED", room="keys", code=CODE, traces=()),
    attack=attack,
    on="copy",
    demo=True,
)
