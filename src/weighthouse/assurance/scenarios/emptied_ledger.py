"""Theft: say all that a run may say of a model, empty the ledger in the database, and go on saying."""

from __future__ import annotations

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin
from weighthouse.egress import api as egress

CODE = "egress.said_spent"
PIECE, MOST = 512, 1_000
EMPTY = ("DELETE FROM egress_ledger", "DELETE FROM egress_account")


def attack(ground: Ground, _prepared: None) -> Observed:
    run = str(new_id("run"))
    said, _ = _drain(ground, run)
    for statement in EMPTY:
        ground.raw_sql(statement)
    again, refusal = _drain(ground, run)
    if refusal is None or again:
        return Observed(loot=f"{again} bytes beyond the {said} that the run may say")
    return Observed(code=refusal.code, message=refusal.message)


def _drain(ground: Ground, run: str) -> tuple[int, WeighthouseError | None]:
    """Say piece after piece until it is refused; return the bytes that were kept."""
    for count in range(MOST):
        try:
            with begin(ground.system) as unit:
                egress.charge_step(unit, run, PIECE, model="model/tern", person="eve")
        except WeighthouseError as refusal:
            return count * PIECE, refusal
    return MOST * PIECE, None


SCENARIO = Scenario(
    id="emptied-ledger",
    title="Empty the byte ledger in the database, and say everything once more",
    techniques=("T1565.001", "T1048", "AML.T0024"),
    people=(),
    steps=(
        "On a copy of the database, a run says all that it may of Tern in an hour.",
        "A database administrator deletes the ledger's rows, and the run says on.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="egress",
        code=CODE,
        traces=(Trace("egress.TamperFound", {"what": "model model/tern"}),),
    ),
    prepare=lambda _ground: None,
    attack=attack,
    on="copy",
)
