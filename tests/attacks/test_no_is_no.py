"""Somebody says no while a row says that it is over already, or is not there; then the row is put back. It stays no.

The attacker is the database administrator, who edits one row just while a revoke, a denial, a stop or a hold is given.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import RowMapping, text

from tests.governance.conftest import Committee
from tests.runs.world import RunsWorld
from tests.weights.world import TERN, WREN
from weighthouse.access import api as access
from weighthouse.access.model import grant_of
from weighthouse.audit import api as audit
from weighthouse.core.canonical import encode
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.governance import api as governance
from weighthouse.identity import api as identity
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.api.sessions import open_session
from weighthouse.runs import api as runs
from weighthouse.runs.api import executing
from weighthouse.runs.ports import Ground

HIDDEN = "DELETE FROM {table} WHERE id = :id"


class Everything(Committee, RunsWorld):  # type: ignore[misc]
    """One server with access, a committee and runs that nothing executes unless it is started."""

    def rows(self, table: str, where: str, **values: Any) -> list[RowMapping]:
        with self.system.database.engine.connect() as connection:
            return list(connection.execute(text(f"SELECT * FROM {table} WHERE {where}"), values).mappings())

    def edit(self, sql: str, /, **values: Any) -> None:
        with self.system.database.engine.begin() as connection:
            connection.execute(text(sql), values)

    def put_back(self, table: str, row: RowMapping) -> None:
        if not self.rows(table, "id = :id", id=row["id"]):
            return self.insert(table, row)
        return self.edit(f"UPDATE {table} SET {', '.join(f'{name} = :{name}' for name in row)} WHERE id = :id", **row)

    def insert(self, table: str, row: Any) -> None:
        marks = ", ".join(":" + name for name in row)
        self.edit(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", **row)

    def act(self, person: str, what: Callable[[Any, Any], object]) -> str:
        """Act as a person; return the code of the refusal, or an empty text."""
        caller = self.person(person)
        try:
            with begin(self.system, caller) as unit:
                what(unit, caller)
        except WeighthouseError as refusal:
            return refusal.code
        return ""

    def lines(self) -> list[str]:
        with read(self.system) as unit:
            return [one.kind for one in audit.entries(unit, limit=500)]


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> Everything:
    return Everything(database, clock, tmp_path, tmp_path)


No = tuple[str, str, Callable[[], str], Callable[[], bool], tuple[str, ...]]
"""The table, the id, the no, whether it holds, and the kinds of which it leaves one line."""


def _asked(world: Everything) -> access.Request:
    caller = world.person("eve")
    with begin(world.system, caller) as unit:
        return access.submit(
            unit, caller, entitlement="tern-load", resource=TERN, duration=HOUR,
            reason="Continue the ablation of the tokenizer on the parent checkpoint.",
        )  # fmt: skip


def _granted(world: Everything) -> str:
    request = _asked(world)
    for person in ("ben", "chi"):
        assert _vote(world, person, request, "approve")() == ""
    return str(grant_of(request.id))


def _vote(world: Everything, person: str, request: access.Request, verdict: Any) -> Callable[[], str]:
    """Look at the card and sign it now; what comes back sends it."""
    device, caller = world.device(person)[0], world.person(person)
    with read(world.system, caller) as unit:
        card = access.card(unit, caller, request.id)
    statement = {**card.statement, "verdict": verdict, "device": device}
    signed = access.VoteSignature(
        kind="device", at=statement["at"], device=device, value=world.sign(person, statement)
    )
    world.confirm(person, "request.vote", str(request.id), verdict=verdict, digest=card.digest)
    return lambda: world.act(
        person, lambda unit, me: access.vote(unit, me, request.id, verdict, digest=card.digest, signature=signed)
    )


def _loads(world: Everything) -> bool:
    return world.act("eve", lambda unit, me: access.require(unit, me, "run.submit", TERN)) == ""


def _revoke(world: Everything) -> No:
    grant = _granted(world)
    assert _loads(world)
    say = lambda: world.act("chi", lambda unit, me: access.revoke(unit, me, grant, "stolen laptop"))  # noqa: E731
    return "access_grant", grant, say, lambda: not _loads(world), ("access.GrantEnded",)


def _give_back(world: Everything) -> No:
    grant = _granted(world)
    say = lambda: world.act("eve", lambda unit, me: access.give_back(unit, me, grant))  # noqa: E731
    return "access_grant", grant, say, lambda: not _loads(world), ("access.GrantEnded",)


def _refused_by_all(world: Everything, request: access.Request) -> Callable[[], bool]:
    def holds() -> bool:
        for person in ("ben", "chi", "fay"):
            with contextlib.suppress(WeighthouseError):
                _vote(world, person, request, "approve")()
        return not _loads(world)

    return holds


def _withdraw(world: Everything) -> No:
    request = _asked(world)
    say = lambda: world.act("eve", lambda unit, me: access.withdraw(unit, me, request.id))  # noqa: E731
    return "access_request", request.id, say, _refused_by_all(world, request), ("access.RequestWithdrawn",)


def _deny(world: Everything) -> No:
    request = _asked(world)
    holds = _refused_by_all(world, request)
    return "access_request", request.id, _vote(world, "ben", request, "deny"), holds, ("access.RequestDenied",)


def _stop(world: Everything) -> No:
    world.grant("ada", "wren-train", WREN)
    run = world.submit("import time\nwhile True: time.sleep(1)\n").id

    def holds() -> bool:
        with begin(world.system) as unit:
            executing.claim(unit, run, "test")
        with pytest.raises(WeighthouseError) as refusal, begin(world.system) as unit:
            executing.admit(unit, run, world.system.part(Ground).sandbox())
        return refusal.value.code == "runs.stopped_by_person"

    say = lambda: world.act("ada", lambda unit, me: runs.stop(unit, me, run, "enough"))  # noqa: E731
    return "runs_run", run, say, holds, ("runs.StopAsked", "runs.RunStopped")


def _session(world: Everything, *, of: str = "") -> No:
    caller = world.person("eve")
    with begin(world.system) as unit:
        session, _ = open_session(
            unit, person="eve", binding="browser", key="", address="127.0.0.1", network="", user_agent="x",
            device_mark="", assurance=caller.assurance, account=caller.account, reasons=(),
        )  # fmt: skip
    say = lambda: world.act(  # noqa: E731
        "chi", lambda unit, me: identity.end_session(unit, session.id, "stolen", me, of=of)
    )
    over = lambda: memory(world.system).condemned(session.id)  # noqa: E731
    return "identity_session", session.id, say, over, ("identity.SessionEnded",)


def _device(world: Everything) -> No:
    device = world.device("ben")[0]
    say = lambda: world.act("ben", lambda unit, me: identity.end_device(unit, me, device, "lost"))  # noqa: E731
    over = lambda: bool(world.act("ben", lambda unit, _: identity.device(unit, device)))  # noqa: E731
    return "identity_device", device, say, over, ("identity.DeviceEnded",)


def _against(world: Everything) -> No:
    caller = world.person("gil")
    with begin(world.system, caller) as unit:
        view = governance.open_motion(unit, caller, "ordinary", "publication", "Publish the report now?")
    motion, device = view.motion.id, world.device("gil")[0]
    statement = {**world.motion(motion, "gil").statement, "ballot": "against", "device": device}
    signature = world.sign("gil", statement)
    world.confirm("gil", "committee.ballot", motion, ballot="against", digest=view.digest)
    say = lambda: world.act(  # noqa: E731
        "gil",
        lambda unit, me: governance.cast(
            unit, me, motion, "against", digest=view.digest, device=device, at=statement["at"], signature=signature
        ),
    )
    counted = lambda: world.motion(motion, "hana").tally.votes_against == 1  # noqa: E731
    return "governance_motion", motion, say, counted, ("governance.BallotCast",)


NOES: dict[str, tuple[Callable[[Everything], No], tuple[str, ...]]] = {
    "revoke": (_revoke, ("state = 'ended'", "seal = x'00'")),
    "give back": (_give_back, ("state = 'ended'", "seal = x'00'")),
    "withdraw": (_withdraw, ("state = 'lapsed'", "state = 'approved'", "row = 7", "digest = 'x'")),
    "deny": (_deny, ("state = 'lapsed'", "state = 'approved'", "row = 7", "digest = 'x'")),
    "stop": (_stop, ("state = 'succeeded'", "stop_asked = 'runs.held'", "owner = 'eve'", "model = 'model/tern'")),
    "end a session": (_session, ("seal = x'00'",)),
    "end a session of a known person": (lambda world: _session(world, of="eve"), ("seal = x'00'",)),
    "end a device": (_device, ("body = '{}'", "certificate = x'00'")),
    "vote against": (_against, ("closed_at = 1, outcome = 'carried'", "motion = '{}'")),
}
CASES = [(name, edit) for name, (_, edits) in NOES.items() for edit in ("", *edits)]


@pytest.mark.parametrize(("name", "edit"), CASES, ids=[f"{name}: {edit or 'hidden'}" for name, edit in CASES])
def test_a_no_stays_no_though_the_row_spoke_against_it(world: Everything, name: str, edit: str) -> None:
    table, id_, say, holds, kind = NOES[name][0](world)
    kept, before = world.rows(table, "id = :id", id=id_), world.lines()
    world.edit(f"UPDATE {table} SET {edit} WHERE id = :id" if edit else HIDDEN.format(table=table), id=id_)
    say()
    say()
    world.put_back(table, kept[0])
    told = [one for one in world.lines() if one in kind]
    assert len(told) == len([one for one in before if one in kind]) + 1
    assert holds()


@pytest.mark.parametrize("kind", ["governance", "security"])
def test_a_hold_that_only_a_row_tells_of_is_no_answer(world: Everything, kind: str) -> None:
    fake = "hld_" + "0" * 26
    world.insert(
        "access_hold",
        {
            "id": fake, "subject": TERN, "kind": kind, "reason": "Not finished", "actions": json.dumps(["weights.export"]),
            "placed_by": "ivo", "at": 1, "lifted": None, "lifted_by": "", "lifted_why": "",
        },
    )  # fmt: skip
    status = world.hold("gil")
    assert status.held and status.hold != fake and world.lines().count("governance.HoldPlaced") == 1
    world.edit("DELETE FROM access_hold WHERE id = :id", id=fake)
    with read(world.system) as unit:
        assert governance.release_status(unit, TERN).hold == status.hold


def test_a_call_that_only_a_row_tells_of_is_no_answer(world: Everything) -> None:
    planted = {"model": TERN, "member": "ivo", "at": world.clock.now(), "reason": "x", "hold": None}
    world.insert("governance_call", planted)
    assert not world.hold("ivo").held and world.lines().count("governance.HoldCalled") == 1
    world.edit("DELETE FROM governance_call")
    assert world.hold("hana").called_by == ("hana", "ivo")


def test_a_planted_ballot_keeps_nobody_from_answering(world: Everything) -> None:
    _, motion, say, _, _ = _against(world)
    forged = {"motion": motion, "member": "gil", "choice": "against", "at": 1, "device": world.device("gil")[0]}
    row = {name: value for name, value in forged.items() if name != "at"}
    world.insert("governance_ballot", {**row, "ballot": encode({**forged, "signature": "A" * 86}).decode()})
    assert say() == "" and world.lines().count("governance.BallotCast") == 1
    assert world.motion(motion, "hana").tally.votes_against == 1
