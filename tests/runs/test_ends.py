"""How runs end: by a person, a revoked grant, a hold, a freeze, a stolen session, the clock, the death of the server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.runs.world import WREN, RunsWorld
from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound, WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin, read
from weighthouse.egress import store as egress_store
from weighthouse.egress.model import Credit, WayRow
from weighthouse.identity import api as identity
from weighthouse.runs import api as runs
from weighthouse.runs.api import lasting
from weighthouse.runs.api.sealing import sealed_marks
from weighthouse.runs.jobs.processes import end_marked, mark

FOR_EVER = "import time\nprint('going', flush=True)\nwhile True: time.sleep(1)"


def going(world: RunsWorld, **options: str) -> runs.Run:
    world.grant("ada", "wren-train", WREN)
    run = world.submit(FOR_EVER, **options)  # type: ignore[arg-type]
    world.until(run, "running")
    world.until_said(run, "going")
    return run


def processes_of(world: RunsWorld, run: runs.Run) -> list[str]:
    with world.system.database.engine.connect() as connection:
        found = connection.execute(text("SELECT process FROM runs_run WHERE id = :r"), {"r": run.id}).scalar_one()
    return [one for one in str(found).split() if "/" in one]  # the code over them comes last


def gone(marks: list[str]) -> bool:
    return len(marks) == 2 and not any(mark(int(one.split("/")[1])) == one for one in marks)


def test_the_owner_stops_a_run_and_every_process_of_it_is_gone(world: RunsWorld) -> None:
    run = going(world)
    marks = processes_of(world, run)
    with world.unit(world.person("ada")) as unit:
        runs.stop(unit, world.person("ada"), run.id, "enough")
    ended = world.until(run)
    assert (ended.state, ended.reason) == ("stopped", "runs.stopped_by_person") and gone(marks)
    assert [(f["run"], f["by"]) for f in world.facts("runs.RunStopped")] == [(run.id, "ada")]
    with pytest.raises(Conflict), world.unit(world.person("ada")) as unit:
        runs.stop(unit, world.person("ada"), run.id, "again")


def _revoke(world: RunsWorld, run: runs.Run) -> None:
    with world.unit(world.person("chi")) as unit:
        assert run.grant is not None
        access.revoke(unit, world.person("chi"), run.grant, "suspicious")


def _hold(world: RunsWorld, run: runs.Run) -> None:
    with world.unit(world.person("chi")) as unit:
        access.place_hold(unit, world.person("chi"), WREN, "look into it")


def _freeze(world: RunsWorld, run: runs.Run) -> None:
    with world.unit(world.person("chi")) as unit:
        identity.freeze(unit, "ada", "stolen laptop", world.person("chi"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("act", "code"),
    [(_revoke, "runs.grant_ended"), (_hold, "runs.held"), (_freeze, "runs.person_frozen")],
    ids=["revoked grant", "hold", "frozen person"],
)
def test_egress_case_57_a_run_ends_with_what_it_rests_on(
    world: RunsWorld, act: Callable[[RunsWorld, runs.Run], None], code: str
) -> None:
    run = going(world)
    marks = processes_of(world, run)
    act(world, run)
    world.follow()
    ended = world.until(run)
    assert ended.state == "stopped" and gone(marks)
    assert [f["why"] for f in world.facts("runs.RunStopped")] == [ended.reason]
    # A freeze also revokes: whichever fact the follower read first stopped the run, and it is one line.
    assert ended.reason == code or (act is _freeze and ended.reason == "runs.grant_ended")


def test_a_run_ends_when_its_time_is_over_and_never_outlives_its_grant(world: RunsWorld) -> None:
    run = going(world)
    with read(world.system) as unit:
        grant = next(g for g in access.grants_of(unit, world.person("ada")) if g.id == run.grant)
    assert run.must_end <= grant.end
    world.clock.advance(3 * MINUTE)
    ended = world.until(run)
    assert (ended.state, ended.reason) == ("failed", "runs.out_of_time")


def test_a_server_that_ends_takes_its_runs_with_it(world: RunsWorld, short: Path) -> None:
    run = going(world)
    marks = processes_of(world, run)
    world.runner.stop()
    assert gone(marks)
    assert world.get(run).reason == "runs.server_stopped"
    assert not list(short.glob("run_*")) and not list((world.state / "runs").glob("run_*"))


def test_what_a_killed_server_left_is_ended_and_named_at_the_next_start(world: RunsWorld, short: Path) -> None:
    world.runner.stop()
    world.grant("ada", "wren-train", WREN)
    run = world.submit(FOR_EVER)
    stray = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with read(world.system) as unit:
        left = {"r": run.id, "p": sealed_marks(unit, run.id, mark(stray.pid))}
    with world.system.database.engine.connect() as connection:
        connection.execute(text("UPDATE runs_run SET state = 'running', process = :p WHERE id = :r"), left)
        connection.commit()
    (short / "run_0123456789").mkdir()
    world.runner = world.new_runner(short).start()
    assert stray.wait(20) == -signal.SIGKILL
    ended = world.until(run)
    assert (ended.state, ended.reason) == ("failed", "runs.server_died")
    assert [f["code"] for f in world.facts("runs.RunFailed")] == ["runs.server_died"]
    assert not list(short.glob("run_*"))


def test_what_a_killed_server_had_lent_counts_as_sent(world: RunsWorld, short: Path) -> None:
    """Nobody counted to the end, and a number that people read is never below the truth."""
    world.runner.stop()
    world.grant("ada", "wren-train", WREN)
    run = world.submit(FOR_EVER)
    lent = {"destination": "mirror.example:443", "granted": 65536, "sent": 1000, "last_bucket": 0, "last_bytes": 0}
    with begin(world.system, SYSTEM) as unit:
        row = {"run": run.id, "profile": "mirror", "model": WREN, "opened": unit.now, "refused": 0, "connected": 0}
        egress_store.add_way(unit.conn, WayRow(**row, closed=None, spent_at=None), "digest")
        egress_store.keep_credit(unit.conn, Credit(run=run.id, **lent))
        unit.conn.execute(text("UPDATE runs_run SET state = 'running' WHERE id = :r"), {"r": run.id})
    world.runner = world.new_runner(short).start()
    ended = world.until(run)
    assert ended.sent_bytes == 65536
    assert [f["sent_bytes"] for f in world.facts("runs.RunFailed")] == [65536]
    assert [f["sent_bytes"] for f in world.facts("egress.WayClosed")] == [65536]


def test_a_process_id_that_was_used_again_is_left_alone() -> None:
    own = mark(os.getpid())
    boot, pid, start = own.split("/")
    assert not end_marked(f"{boot}/{pid}/{int(start) - 1}") and not end_marked(f"other/{pid}/{start}")


def test_a_second_server_over_the_same_state_executes_nothing(world: RunsWorld, short: Path) -> None:
    run = going(world)
    second = world.new_runner(short).start()
    second.stop()
    assert world.get(run).state == "running"


def _insert(world: RunsWorld, run: runs.Run) -> None:
    columns = "model, owner, session, grant_id, tier, order_text, order_digest, seal, submitted, must_end, reason"
    rest = "stop_asked, stopped_by, stop_text, progress, note, sent_bytes, process"
    with world.system.database.engine.connect() as connection:
        connection.execute(
            text(
                f"INSERT INTO runs_run (id, state, {columns}, {rest}) SELECT :n, "
                f"'queued', {columns}, '', '', '', 0, '', 0, '' FROM runs_run WHERE id = :r"
            ),
            {"r": run.id, "n": new_id("run")},
        )
        connection.commit()


def _edit(world: RunsWorld, run: runs.Run) -> None:
    with world.system.database.engine.connect() as connection:
        sql = "UPDATE runs_run SET state = 'queued', order_text = replace(order_text, 'print(1)', 'print(2)') WHERE id = :r"
        connection.execute(text(sql), {"r": run.id})
        connection.commit()


@pytest.mark.parametrize("forge", [_insert, _edit])
def test_with_the_database_alone_nothing_can_be_made_to_run(
    world: RunsWorld, forge: Callable[[RunsWorld, runs.Run], None]
) -> None:
    world.grant("ada", "wren-train", WREN)
    run = world.until(world.submit("print(1)"))
    started = len(world.facts("runs.RunStarted"))
    forge(world, run)
    deadline = time.monotonic() + 30
    while not world.facts("runs.RunFailed") and time.monotonic() < deadline:
        world.follow()
    assert [f["code"] for f in world.facts("runs.RunFailed")] == ["runs.row_seal"]
    assert len(world.facts("runs.RunStarted")) == started


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"command": ("sh", "-c", "id")}, "runs.bad_order"),
        (
            {"command": ("python", "main.py", *["x" * 4096] * 62)},
            "runs.bad_order",
        ),  # each part fits, all of them do not
        ({"command": ("python", "main.py", *["\u4e00" * 4096] * 6)}, "runs.bad_order"),
        ({"command": ("python", "-c", "import os\nprint(1)")}, "runs.bad_order"),
        ({"code": {"../evil.py": "x"}}, "runs.bad_order"),
        ({"code": {"main.py": "x" * 300_000}}, "runs.bad_order"),
        ({"wall_clock": 10**9}, "runs.bad_order"),
        ({"environment": "sha256:" + "0" * 64}, "runs.unknown_environment"),
        ({"dataset": "dataset/none"}, "runs.no_dataset"),
        ({"egress_profile": "elsewhere"}, "runs.unknown_profile"),
        ({"parent": "model/tern"}, "core.bad_id"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    world: RunsWorld, change: dict[str, object], code: str
) -> None:
    world.grant("ada", "wren-train", WREN)
    with read(world.system) as unit:
        digest = runs.environments(unit)[0].digest
    order: dict[str, object] = {
        "model": WREN, "environment": digest, "command": ("python", "main.py"), "code": {"main.py": "pass"},
        "dataset": "dataset/stdlib", "parent": None, "risk": "high", "egress_profile": "none",
    }  # fmt: skip
    with pytest.raises(WeighthouseError) as refused, world.unit(world.person("ada")) as unit:
        runs.submit(unit, world.person("ada"), **{**order, **change})  # type: ignore[arg-type]
    assert refused.value.code == code and isinstance(refused.value, Invalid | NotFound)
    assert world.facts("runs.RunSubmitted") == []


def test_without_a_grant_a_run_is_refused_in_one_line_and_runs_of_others_are_not_there(world: RunsWorld) -> None:
    with pytest.raises(Denied):
        world.submit("print(1)", model="model/tern")
    assert [f["action"] for f in world.facts("access.Denied")] == ["run.submit"]
    run = going(world)
    with pytest.raises(NotFound) as refused, read(world.system) as unit:
        runs.get(unit, world.person("eve"), run.id)
    assert refused.value.code == "runs.no_run"
    with read(world.system) as unit:
        assert runs.page(unit, world.person("eve")) == []
        assert [found.id for found in runs.page(unit, world.person("fay"))] == [run.id]
        assert runs.get(unit, world.person("chi"), run.id).id == run.id
    with begin(world.system, SYSTEM) as unit:
        assert audit.head(unit).size > 0


def _rename(world: RunsWorld, old: str, new: str) -> None:
    with world.system.database.engine.connect() as connection:
        connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
        connection.commit()


def _until_closed(world: RunsWorld) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 30
    while not (found := world.facts("egress.WayClosed")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("restarted", [False, True])
def test_a_way_whose_end_could_not_be_recorded_is_closed_once_it_can(
    world: RunsWorld, short: Path, restarted: bool
) -> None:
    run = going(world)
    _rename(world, "egress_way", "away")
    world.until(run)
    if restarted:
        world.runner.stop()
    _rename(world, "away", "egress_way")
    assert world.facts("egress.WayClosed") == []
    if restarted:
        world.runner = world.new_runner(short).start()
    assert [line["run"] for line in _until_closed(world)] == [run.id]


def test_a_run_whose_end_could_not_be_recorded_is_ended_once_it_can(world: RunsWorld) -> None:
    world.grant("ada", "wren-train", WREN)
    run = world.submit("print('going', flush=True)\nimport time\ntime.sleep(2)")
    world.until_said(run, "going")
    _rename(world, "runs_run", "away")
    while any(thread.name == f"run-{run.id[-8:]}" for thread in threading.enumerate()):
        time.sleep(0.05)
    _rename(world, "away", "runs_run")
    assert world.until(run).state in ("failed", "succeeded")
    assert len(world.facts("runs.RunFailed") + world.facts("runs.RunFinished")) == 1


def test_a_run_found_past_its_time_by_a_server_that_stood_still_is_out_of_time_and_lost_nothing(
    world: RunsWorld,
) -> None:
    """A server that stood still does not know what was refused since, so it says no to all: that ended no run."""
    world.grant("ada", "wren-train", WREN)
    run = world.submit("import time\nwhile True: print('going', flush=True); time.sleep(0.01)")
    world.until_said(run, "going")
    with begin(world.system, SYSTEM):  # whoever writes a line stands still
        time.sleep(2 * lasting.EVERY_MS / 1000)
        world.clock.advance(3 * MINUTE)
        access.doubt_after(world.system, 0)
    ended = world.until(run)
    assert (ended.state, ended.reason) == ("failed", "runs.out_of_time")
    assert world.facts("runs.RunStopped") == []


def test_a_command_of_several_lines_is_refused_for_what_is_wrong_with_it_and_not_for_its_length(
    world: RunsWorld,
) -> None:
    world.grant("ada", "wren-train", WREN)
    for code, unseen in (("import os\nprint(1)", "U+000A"), ("print('\u202e')", "U+202E")):
        with pytest.raises(Invalid, match=re.escape(unseen)) as refusal:
            world.submit("pass", arguments=("-c", code))
        assert "file of `code`" in refusal.value.message and "characters" not in refusal.value.message
    with pytest.raises(Invalid, match="at most 4096 characters"):
        world.submit("pass", arguments=("x" * 5000,))
