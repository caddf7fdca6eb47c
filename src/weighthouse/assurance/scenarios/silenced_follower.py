"""Theft: with write access to the database, move the follower that stops runs past the end of a grant."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.emptied_stop import outlived, start

CODE = "runs.grant_ended"
SILENT = """
CREATE TRIGGER silent AFTER UPDATE ON log_follower WHEN NEW.next < 1000000
BEGIN UPDATE log_follower SET next = next + 1000000 WHERE name = NEW.name; END
"""


def attack(ground: Ground, grant: str) -> Observed:
    with ground.executing():
        run = start(ground)
        ground.raw_sql(SILENT)
        honest.give_back(ground, grant)
        ground.settle()
        return outlived(ground, run, "a run that outlived its grant")


SCENARIO = Scenario(
    id="silenced-follower",
    title="Move the follower that ends runs past the end of their grant",
    techniques=("T1565.001", "T1562.006"),
    people=("eve",),
    steps=(
        "On a copy, Eve's run works in the real sandbox.",
        "A trigger is planted that moves every follower of the log far ahead.",
        "Eve gives her grant back, and her run must end.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="runs",
        code=CODE,
        traces=(
            Trace("runs.RunStopped", {"why": CODE}),
            Trace("audit.CursorMoved", {"follower": "runs.stop"}),
            Trace("detect.AlertRaised", {"rule": "database-written"}),
        ),
    ),
    prepare=honest.trainer,
    attack=attack,
    on="copy",
)
