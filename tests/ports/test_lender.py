"""What a lender must do: lend and save bit for bit, to its own run alone, while a lease lasts, and outlive nobody."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
from tests.ports.benches import Bench
from tests.weights.lent import Lent

from weighthouse.core.errors import Conflict, Unavailable
from weighthouse.runs.ports import Mount
from weighthouse.weights.adapters.lending import LenderProcesses
from weighthouse.weights.model import SaveTicket
from weighthouse_sdk import checkpoint, lending
from weighthouse_sdk import lending_frames as frames
from weighthouse_sdk.errors import SdkError

MIB = 1 << 20


def tensors(size: int = 3 * MIB + 17) -> dict[str, Any]:
    draw = numpy.random.default_rng(1)
    small = {f"t{at}": draw.normal(size=(at + 1, 3)).astype("float32") for at in range(5)}
    return {**small, "large": draw.integers(0, 256, size, dtype="uint8"), "empty": numpy.empty((0, 3))}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def lent(short: Path, out: Path) -> Iterator[Lent]:
    made = Lent(short / "l", out)
    yield made
    made.close()


def saved(lent: Lent, given: dict[str, Any], threads: int | None = None) -> tuple[SaveTicket, bytes]:
    plan = checkpoint.plan_shards(given, MIB)
    ticket = lent.begin_save(len(plan))
    parsed = checkpoint.parse_save({**msgspec.to_builtins(ticket), "keys": blank(ticket)})
    return ticket, lending.save(lent.client, given, parsed, plan=plan, metadata={"a": "b"}, threads=threads)


def blank(ticket: Any) -> list[dict[str, Any]]:
    """The keys of a ticket as a run gets them."""
    return [{**one, "sealed": ""} for one in msgspec.to_builtins(ticket)["keys"]]


def reader(lent: Lent, load: Any, threads: int | None = None) -> lending.LentReader:
    parsed = checkpoint.parse_load({**msgspec.to_builtins(load), "keys": blank(load)})
    return lending.LentReader(lent.client, load.lease, checkpoint.checked_manifest(parsed), threads, None)


def loaded(lent: Lent, load: Any, into: dict[str, Any] | None = None, threads: int | None = None) -> Any:
    with reader(lent, load, threads) as source:
        return checkpoint.fill(source, into=into, names=None, signed=True)


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(SdkError) as caught:
        act()
    return caught.value.code


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_what_is_saved_through_a_lender_is_loaded_through_it_bit_for_bit(lent: Lent, threads: int) -> None:
    given = tensors()
    ticket, envelope = saved(lent, given, threads)
    found = loaded(lent, lent.lend(ticket, envelope), threads=threads)
    assert list(found) == list(given)
    assert all((found[name] == given[name]).all() and found[name].dtype == given[name].dtype for name in given)


def test_what_it_writes_is_what_any_reader_with_the_keys_opens(lent: Lent, out: Path) -> None:
    given = tensors()
    ticket, envelope = saved(lent, given)
    load = lent.lend(ticket, envelope)

    class Keys:
        def open(self, sealed: bytes, context: bytes) -> bytes:
            return lent.keys[json.loads(context)["shard"]]

    parsed = checkpoint.parse_load(msgspec.to_builtins(load))
    found = checkpoint.load(parsed, Keys(), out / ticket.save)  # type: ignore[arg-type]
    assert all((found[name] == given[name]).all() for name in given)
    assert not any(path.read_bytes().count(bytes(given["large"][:64])) for path in out.rglob("*.floe"))


def test_a_lease_that_was_ended_lends_nothing_more_and_one_that_ran_out_neither(lent: Lent) -> None:
    ticket, envelope = saved(lent, tensors())
    load = lent.lend(ticket, envelope)
    with reader(lent, load) as source:
        source.index()
        lent.process.end(load.lease)
        assert code_of(source.index) == "checkpoint.lease"
    assert code_of(lambda: loaded(lent, load)) == "checkpoint.lease"
    short = lent.lend(ticket, envelope, lasts_ms=400)
    with reader(lent, short) as source:
        source.index()
        lent.process.extend(short.lease, 900)
        time.sleep(0.6)
        source.index()
        time.sleep(1)
        lent.process.extend(short.lease, 60_000)  # comes too late
        assert code_of(source.index) == "checkpoint.lease"


def test_one_lease_does_not_lend_its_version_for_ever(lent: Lent) -> None:
    ticket, envelope = saved(lent, {"a": numpy.ones(64, dtype="uint8")})
    with reader(lent, lent.lend(ticket, envelope), 1) as source:

        def drain() -> None:
            for _ in range(1000):
                source.index()

        assert code_of(drain) == "checkpoint.lease"


@pytest.mark.parametrize("harm", ["flipped", "cut", "linked", "gone", "swapped"])
def test_ciphertext_that_is_not_what_was_signed_is_lent_to_nobody(lent: Lent, out: Path, harm: str) -> None:
    ticket, envelope = saved(lent, tensors())
    shards = sorted((out / ticket.save / "shards").glob("*.floe"))
    large = max(shards, key=lambda path: path.stat().st_size)
    if harm == "flipped":
        data = bytearray(large.read_bytes())
        data[MIB + 5] ^= 1
        large.write_bytes(data)
    elif harm == "cut":
        os.truncate(large, MIB)
    else:
        other = large.with_name("other")
        large.rename(other)
        if harm == "linked":
            large.symlink_to(other)
        elif harm == "swapped":
            large.write_bytes(next(path for path in shards if path != large).read_bytes()[:99])
    into = {name: numpy.ones_like(array) for name, array in tensors().items()}
    refused = code_of(lambda: loaded(lent, lent.lend(ticket, envelope), into))
    assert refused in ("floe.not_signed", "checkpoint.manifest", "floe.unreadable")
    assert not any(array.any() for array in into.values() if harm == "flipped"), "nothing is left half-read"


def test_a_version_whose_ciphertext_the_run_was_not_given_is_not_lent(lent: Lent, out: Path) -> None:
    ticket, envelope = saved(lent, tensors())
    (out / ticket.save).rename(out / "elsewhere")
    with pytest.raises(Conflict) as caught:
        lent.lend(ticket, envelope)
    assert caught.value.code == "weights.not_lent"
    folder = os.open(out / "elsewhere", os.O_RDONLY)
    lent.process.given(folder)
    os.close(folder)
    assert set(loaded(lent, lent.lend(ticket, envelope))) == set(tensors())


def test_a_save_is_written_once_and_every_place_of_it_once(lent: Lent, out: Path) -> None:
    ticket, _ = saved(lent, tensors())
    parsed = checkpoint.parse_save({**msgspec.to_builtins(ticket), "keys": blank(ticket)})
    given, plan = tensors(), checkpoint.plan_shards(tensors(), MIB)
    kept = {path: path.read_bytes() for path in out.rglob("*.floe")}
    assert code_of(lambda: lending.save(lent.client, given, parsed, plan=plan)) == "checkpoint.lent"
    assert {path: path.read_bytes() for path in out.rglob("*.floe")} == kept, "what was signed stays"
    ticket = lent.begin_save()
    way, _ = lent.client.connect({"save": ticket.save, "lengths": [8, 8]})
    for _ in range(2):
        way.sendall(frames.FRAME.pack(0, 0, 8) + b"12345678")
    assert code_of(lambda: frames.hear(way)) == "checkpoint.lent"
    way.close()
    assert not list((out / ticket.save).rglob("*.floe")), "a save that failed leaves no file"


def test_a_save_with_a_segment_missing_is_not_signed(lent: Lent) -> None:
    ticket = lent.begin_save()
    way, _ = lent.client.connect({"save": ticket.save, "lengths": [8, 8]})
    way.sendall(frames.FRAME.pack(0, 0, 8) + b"12345678" + frames.FRAME.pack(frames.NOTHING_MORE, 0, 1))
    assert code_of(lambda: frames.hear(way)) == "checkpoint.lent"
    way.close()


def test_a_link_in_place_of_the_saves_folder_is_not_followed(lent: Lent, out: Path, tmp_path: Path) -> None:
    ticket = lent.begin_save()
    (tmp_path / "elsewhere").mkdir()
    (out / ticket.save).symlink_to(tmp_path / "elsewhere")
    assert code_of(lambda: lent.client.connect({"save": ticket.save, "lengths": [8, 8]})) == "floe.unwritable"
    assert not list((tmp_path / "elsewhere").iterdir())


LINES = [
    b"\n", b"[]\n", b"{}\n", b'{"load": 7}\n', b'{"load": "lse_none"}\n', b'{"save": "sav_none", "lengths": []}\n',
    b"\xff\n", b"[" * 40_000 + b"\n", b"x" * (frames.LINE_BYTES + 9), b'{"load": "a", "save": "b"}\n',
]  # fmt: skip


def test_a_hostile_first_line_is_refused_and_harms_nobody(lent: Lent, out: Path) -> None:
    for line in LINES:
        with socket.socket(socket.AF_UNIX) as way:
            way.settimeout(20)
            way.connect(f"/proc/self/fd/{lent.held[0]}")
            way.sendall(line)
            assert code_of(lambda way=way: frames.hear(way)) in ("checkpoint.lent", "checkpoint.lease")
    ticket = lent.begin_save()
    for lengths in ([8], [8, -1], [8, "8"], [8, 8, 8], "no", {}, [8, 1 << 60]):
        ticket = lent.begin_save()
        assert code_of(lambda: lent.client.connect({"save": ticket.save, "lengths": lengths})) == "checkpoint.lent"  # noqa: B023
    ticket, envelope = saved(lent, tensors())
    load = lent.lend(ticket, envelope)
    for shard, position in ((99, 0), (0, 1 << 60), (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)):
        way, _ = lent.client.connect({"load": load.lease, "waits": True})
        way.sendall(frames.REQUEST.pack(shard, position, 0))
        assert code_of(lambda way=way: frames.hear(way)) == "checkpoint.lent"
        way.close()
    assert set(loaded(lent, load)) == set(tensors())


def test_a_run_that_stands_still_holds_up_no_other_connection(lent: Lent) -> None:
    ticket, envelope = saved(lent, tensors())
    load = lent.lend(ticket, envelope)
    still = [lent.client.connect({"load": load.lease, "waits": True})[0] for _ in range(frames.CONNECTIONS - 1)]
    idle = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for way in idle:
        way.connect(f"/proc/self/fd/{lent.held[0]}")
    assert set(loaded(lent, load)) == set(tensors()), "one place is enough"
    lent.process.extend(load.lease, 60_000)
    for way in (*still, *idle):
        way.close()


def test_what_was_lent_is_overwritten_in_the_window(lent: Lent) -> None:
    given = {"a": numpy.full(2 * MIB, 0x5A, dtype="uint8")}
    ticket, envelope = saved(lent, given)
    loaded(lent, lent.lend(ticket, envelope))
    window, deadline = lent.client.window(), time.monotonic() + 10
    while b"ZZZZ" in window[:] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(window[:])


def test_nobody_is_answered_before_it_is_known_who_the_run_is_and_no_stranger_after(short: Path, out: Path) -> None:
    ours, theirs = Lent(short / "a", out, None), subprocess.Popen(["/bin/sleep", "60"])
    try:
        with socket.socket(socket.AF_UNIX) as way:
            way.settimeout(0.5)
            way.connect(f"/proc/self/fd/{ours.held[0]}")
            way.sendall(b'{"load": "lse_none"}\n')
            with pytest.raises(TimeoutError):
                way.recv(1)
            ours.begin(theirs.pid)  # the run is another process than this one
            way.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert way.recv(1) == b""
        assert code_of(lambda: ours.client.connect({"load": "lse_none"})) == "checkpoint.lender"
    finally:
        theirs.kill()
        theirs.wait()
        ours.close()


def test_it_ends_with_the_server_and_leaves_no_name(lent: Lent, short: Path) -> None:
    assert not lent.process.socket.exists()
    assert not lent.process.window.parent.exists()
    pid = lent.process._process.pid
    lent.process._pipe.close()
    assert lent.process._process.wait(20) == 0
    assert not Path(f"/proc/{pid}").exists()


def test_one_that_is_stuck_is_not_waited_for_for_ever(lent: Lent, monkeypatch: pytest.MonkeyPatch) -> None:
    lent.process._pipe.settimeout(0.3)
    os.kill(lent.process._process.pid, signal.SIGSTOP)
    with pytest.raises(Unavailable) as caught:
        lent.process.extend("lse_none", 1)
    assert caught.value.code == "weights.no_lender"
    assert lent.process._process.wait(20) == -signal.SIGKILL


def test_plain_weights_are_put_on_no_disk(short: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        LenderProcesses(short, Path("/proc")).start(short)
    assert caught.value.code == "weights.no_lender"
    assert "no tmpfs" in caught.value.message
    assert not (short / "lender").exists()


def test_a_lender_takes_at_most_64_mib_of_memory(lent: Lent) -> None:
    given = {f"t{at}": numpy.ones(16 * MIB, dtype="uint8") for at in range(8)}
    ticket, envelope = saved(lent, given)
    loaded(lent, lent.lend(ticket, envelope), threads=4)
    status = Path(f"/proc/{lent.process._process.pid}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) <= 64 << 10


INSIDE = """
import numpy, os, sys, json, base64
sys.path[:0] = PATHS
from pathlib import Path
from weighthouse_sdk import checkpoint, lending
for flags in (os.O_RDWR, os.O_WRONLY):
    try: os.open("/egress/window", flags); print("WRITABLE")
    except OSError: pass
lender = lending.Lender(Path("/egress/lender"), Path("/egress/window"))
tensors = {"a": numpy.arange(3_000_000, dtype="uint32"), "b": numpy.ones((3, 5))}
plan = checkpoint.plan_shards(tensors)
print(len(plan), flush=True)
ticket = checkpoint.parse_save(json.loads(open("/order/save").read()))
envelope = lending.save(lender, tensors, ticket, plan=plan)
print("ENVELOPE", base64.b64encode(envelope).decode(), flush=True)
import time
while not os.path.exists("/order/load"): time.sleep(0.05)
load = checkpoint.parse_load(json.loads(open("/order/load").read()))
with lending.LentReader(lender, load.lease, checkpoint.checked_manifest(load), 2, None) as source:
    found = checkpoint.fill(source, into=None, names=None, signed=True)
print("SAME", all((found[n] == tensors[n]).all() for n in tensors), flush=True)
"""


def test_a_run_in_a_sandbox_saves_and_loads_through_its_lender(bench: Bench, short: Path, out: Path) -> None:
    """The same in every tier: the window is shown read-only, and the kernel tells the lender who connects."""
    order = short / "order"
    order.mkdir()
    order.chmod(0o755)
    lent = Lent(short / "l", out, None)
    ticket = lent.begin_save()
    _put(order / "save", {**msgspec.to_builtins(ticket), "keys": blank(ticket)})
    mounts = (
        Mount(lent.held[0], "/egress/lender"),
        Mount(lent.held[1], "/egress/window"),
        Mount(os.open(order, os.O_PATH), "/order"),
    )
    code = INSIDE.replace("PATHS", repr([str(path) for path in bench.environment.paths]))
    handle, said = bench.start(code, *mounts), list[str]()
    try:
        lent.begin(handle.pid)
        deadline = time.monotonic() + 60
        while handle.wait(0) is None and time.monotonic() < deadline:
            said += [line.text for line in handle.lines(100)]
            told = [line for line in said if line.startswith("ENVELOPE ")]
            if told and not (order / "load").exists():
                load = lent.lend(ticket, base64.b64decode(told[0].split()[1]))
                _put(order / "load", {**msgspec.to_builtins(load), "keys": blank(load)})
        while rest := handle.lines(0):
            said += [line.text for line in rest]
    finally:
        handle.stop()
        lent.close()
    assert said[0] == "1", said
    assert said[-1] == "SAME True", said
    assert "WRITABLE" not in said


def _put(path: Path, document: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document))
    part.chmod(0o644)
    part.rename(path)
