"""Theft: start the server over an empty database, so that nothing that was ever refused or ended is known."""

from __future__ import annotations

from pathlib import Path

from weighthouse.assurance.model import Expected, Observed
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios.thief import started

CODE = "app.database_empty"


def attack(ground: Ground, _prepared: object) -> Observed:
    database = Path(str(ground.system.database.engine.url.database))
    ground.system.database.close()
    for file in database.parent.glob(database.name + "*"):
        file.unlink()
    database.touch()
    return started(ground, "a lab of the thief's own, under the keys of this one")


SCENARIO = Scenario(
    id="emptied-database",
    title="Start the server over an empty database",
    techniques=("T1485", "T1070", "T1565.001"),
    people=("eve",),
    steps=(
        "On a copy, the database is taken away and an empty file put in its place.",
        "The server is started with the keys and the memories of the lab.",
    ),
    expected=Expected(status="BLOCKED", room="app", code=CODE, traces=()),
    attack=attack,
    on="copy",
)
