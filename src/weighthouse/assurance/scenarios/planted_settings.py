"""Theft: leave settings where the server reads its own, and have it ask the thief who somebody is."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import started

CODE = "core.planted_settings"
THEIRS = '[identity]\nissuer = "https://thief.example"\n'


def attack(ground: Ground, _prepared: object) -> Observed:
    file = ground.system.settings.path("state") / "weighthouse.toml"
    file.write_text(THEIRS)
    file.chmod(0o666)
    return started(ground, "a server that believes whoever thief.example says is there")


SCENARIO = Scenario(
    id="planted-settings",
    title="Name an identity provider of one's own in a settings file that everybody may write",
    techniques=("T1574", "T1556", "T1543"),
    people=("eve",),
    steps=(
        "On a copy, a settings file that anybody could have written lies in the state folder.",
        "The server is started.",
    ),
    expected=Expected(status="BLOCKED", room="core", code=CODE, traces=()),
    attack=attack,
    on="copy",
)
