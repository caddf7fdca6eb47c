"""Data keys and runs: none is ever in one, whatever it prints; what it was lent ends with its lease."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.runs.world import WREN, RunsWorld
from weighthouse.access import api as access
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin
from weighthouse.runs import api as runs
from weighthouse.runs.api import lasting
from weighthouse.weights import api as weights
from weighthouse_sdk import checkpoint, floe
from weighthouse_sdk.errors import SdkError

HOLDS = """
import gc, json, os, time
import numpy
from weighthouse_sdk.workload import Workload
way = Workload()
tensors = {"embed": numpy.arange(3_000_000, dtype="uint32")}
version = way.save("model/wren", tensors)["id"]
back = way.load(version)
print("SAME", bool((back["embed"] == tensors["embed"]).all()), version, flush=True)
given = way.call("POST", "/workload/v1/loads", {"version": version})
print("GIVEN", json.dumps(given), flush=True)
kept = [one for one in gc.get_objects()]
time.sleep(600)
"""
SLOW = """
import os, threading, time
import numpy
from weighthouse_sdk import checkpoint, lending
from weighthouse_sdk.workload import Workload
way = Workload()
version = way.save("model/wren", {"embed": numpy.ones(3_000_000, dtype="uint32")})["id"]
ticket = way._open(version)
with lending.LentReader(lending.Lender(), ticket.lease, checkpoint.checked_manifest(ticket), 1, None) as source:
    source.index()
    print("LENDS", ticket.lease, flush=True)
    try:
        while True: source.index(); time.sleep(0.1)
    except Exception as error: print("ENDED", getattr(error, "code", error), flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["bubblewrap", pytest.param("gvisor", marks=pytest.mark.real_gvisor)])
def lab(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path, request: pytest.FixtureRequest
) -> Iterator[RunsWorld]:
    made = RunsWorld(database, clock, tmp_path, short, **{"runs.sandbox": request.param}).start()
    made.grant("ada", "wren-train", WREN)
    yield made
    made.close()


def said(lab: RunsWorld, run: runs.Run, word: str) -> str:
    lab.until_said(run, word + " ")
    return next(line for line in lab.output(run) if line.startswith(word + " "))


def stop(lab: RunsWorld, run: runs.Run) -> None:
    with begin(lab.system, lab.person("ada")) as unit:
        runs.stop(unit, lab.person("ada"), run.id, "the test is over")
    lab.until(run)


def below(root: int) -> list[int]:
    """A process and all that was started below it."""
    found, parents = [root], {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def memory_holds(pid: int, wanted: list[bytes]) -> bool:
    """Whether any of `wanted` lies anywhere in what a process has mapped."""
    with contextlib.suppress(OSError), Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            low, high, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()  # type: ignore[union-attr]
            start, end = int(low, 16), int(high, 16)
            if "r" not in rights or end - start > 1 << 31 or "[v" in line:
                continue
            with contextlib.suppress(OSError, OverflowError, ValueError):
                memory.seek(start)
                data = memory.read(end - start)
                if any(each in data for each in wanted):
                    return True
    return False


def secrets_of(lab: RunsWorld, version: str) -> list[bytes]:
    """The data keys of a version, and what FLOE derives from them: each of these opens a file of ciphertext."""
    reader = lab.run(environment="research", sandbox="bubblewrap")
    ticket, opener = lab.begin_load(reader, version)
    parsed, found = checkpoint.parse_load(msgspec.to_builtins(ticket)), list[bytes]()
    for place, sealed in zip(parsed.bindings, parsed.sealed, strict=True):
        key = opener.open(sealed, place.aad())
        path = lab.state / "objects" / ticket.prefix / "shards" / f"{place.shard}.floe"
        header = path.read_bytes()[: floe.HEADER_BYTES]
        found += [key, floe.Decryptor(key, place.aad(), header)._state.key]
    return found


@pytest.mark.as_root  # a lender's memory is closed to everybody else, its own user too, and this reads it to see a key
def test_all_that_a_run_was_given_and_holds_in_memory_opens_no_ciphertext(lab: RunsWorld) -> None:
    run = lab.submit(HOLDS)
    _, same, version = said(lab, run, "SAME").split()
    assert same == "True"
    given = msgspec.json.decode(said(lab, run, "GIVEN").removeprefix("GIVEN "))
    wanted = secrets_of(lab, version)
    execution = lab.runner._threads[run.id]
    assert execution._sandbox is not None and execution._lender is not None
    lender = execution._lender._process.pid  # type: ignore[attr-defined]
    assert memory_holds(lender, wanted), "else this test would see no key anywhere"
    inside = below(execution._sandbox.pid)
    assert len(inside) > 1 and lender not in inside
    assert not [pid for pid in inside if memory_holds(pid, wanted)]
    assert given["keys"] and not any(one["sealed"] for one in given["keys"])
    for text in lab.output(run):
        assert not any(each.hex() in text for each in wanted)
    _opens_nothing(lab, version, given)
    stop(lab, run)
    assert not Path(f"/proc/{lender}").exists()


def _opens_nothing(lab: RunsWorld, version: str, given: dict[str, Any]) -> None:
    """Whoever has all ciphertext tries every 32 bytes that the run was answered, as they stand and decoded."""
    shards = sorted((lab.state / "objects" / "versions" / version / "shards").glob("*.floe"))
    ticket = checkpoint.parse_load(given)
    raw = msgspec.json.encode(given)
    tried = {raw[at : at + 32] for at in range(len(raw) - 31)} | {ticket.signer}
    assert shards and tried
    for shard in shards:
        place = next(one for one in ticket.bindings if one.shard == shard.stem)
        header = shard.read_bytes()[: floe.HEADER_BYTES]
        for key in tried:
            with pytest.raises(SdkError):
                floe.Decryptor(key, place.aad(), header)


def test_a_run_that_names_a_key_of_its_own_is_refused_with_one_line(lab: RunsWorld) -> None:
    code = """
from weighthouse_sdk.errors import Refused
from weighthouse_sdk.workload import Workload
import base64, numpy
way, key = Workload(), base64.b64encode(bytes(31) + b"\\x09").decode()
version = way.save("model/wren", {"a": numpy.ones(4)})["id"]
save = {"model": "model/wren", "parent": None, "shards": 1}
for path, body in (("loads", {"version": version, "recipient": key}), ("saves", {**save, "recipient": key}),
                   ("saves", {**save, "signer": key})):
    try: print("GOT", way.call("POST", "/workload/v1/" + path, body))
    except Refused as refusal: print(refusal.code, refusal.status)
"""
    run = lab.until(lab.submit(code))
    assert lab.output(run, "out") == ["weights.keys_in_run 403"] * 3
    facts = lab.facts("weights.KeysInRunRefused")
    assert [fact["run"] for fact in facts] == [run.id] * 3
    assert len(lab.facts("weights.LoadStarted")) == 0


def test_a_hold_that_is_placed_while_a_run_is_lent_something_ends_the_lease(
    lab: RunsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "lost", lambda unit, ticket: "")  # else the run itself would end first
    run = lab.submit(SLOW)
    said(lab, run, "LENDS")
    before = lab.size()
    chi = lab.person("chi")
    with begin(lab.system, chi) as unit:
        access.place_hold(unit, chi, WREN, "look into it", actions=("weights.load",))
    assert said(lab, run, "ENDED") == "ENDED checkpoint.lease"
    kinds = lab.since(before)
    assert kinds.count("access.Denied") == 1, kinds
    stop(lab, run)


def test_a_lender_that_dies_takes_nothing_else_with_it(lab: RunsWorld) -> None:
    run = lab.submit(SLOW)
    said(lab, run, "LENDS")
    lender = lab.runner._threads[run.id]._lender
    os.kill(lender._process.pid, 9)  # type: ignore[union-attr]
    assert said(lab, run, "ENDED") == "ENDED checkpoint.lender"
    with pytest.raises(WeighthouseError) as caught:
        weights.lenders(lab.system).of(run.id).end("lse_none")
    assert caught.value.code == "weights.no_lender"
    stop(lab, run)
