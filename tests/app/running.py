"""A run that goes on until it is ended, on a real server, and every process of this machine that belongs to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.app.serving import Server
from weighthouse.app.demo.actor import Actor
from weighthouse.app.home import Home
from weighthouse.runs import api as runs
from weighthouse.runs.jobs.processes import mark

WREN = "model/wren"
LIMIT_S = 60
# The child has left its session and its parent, as a daemon that wants to outlive its run would.
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(1)
    os._exit(0)
os.wait()
print("going", flush=True)
while True: time.sleep(1)
"""


def within(what: str, found: Callable[[], Any]) -> Any:
    """Return the first answer that is not empty, or fail after a minute."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {LIMIT_S} s: {what}")


def grant(actor: Actor) -> str:
    """Get the access to Wren that needs no approval; return the grant."""
    wanted = {"entitlement": "wren-train", "resource": WREN, "duration": 3_600_000, "reason": "A run to be ended."}
    actor.client.post("requests", wanted)
    return str(actor.client.get("grants")["items"][0]["id"])


def submit(actor: Actor, code: str = DAEMON, **more: object) -> str:
    order = {
        "model": WREN,
        "environment": actor.client.get("runs/environments")["items"][0]["digest"],
        "command": ["python", "main.py"],
        "code": {"main.py": code},
        "dataset": "dataset/stdlib",
        **more,
    }
    return str(actor.client.post("runs", order)["id"])


def going(actor: Actor, run: str) -> None:
    """Wait until the run's own code has spoken."""
    within(f"{run} goes", lambda: "going" in [one["text"] for one in logs(actor, run)])


def ended(actor: Actor, run: str) -> dict[str, Any]:
    """Wait until the run has ended; return it."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = actor.client.get(f"runs/{run}")
        return None if found["state"] in runs.OPEN else found

    answer: dict[str, Any] = within(f"{run} ends", look)
    return answer


def logs(actor: Actor, run: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = actor.client.get(f"runs/{run}/logs")["items"]
    return items


def ends_in_log(reader: Actor, run: str) -> list[str]:
    """Return the kinds of every log entry that tells how a run ended."""
    kinds = ("runs.RunFinished", "runs.RunFailed", "runs.RunStopped")
    return [
        kind for kind in kinds for _ in reader.client.get("audit/entries", kind=kind, subject=run, limit=10)["items"]
    ]


def processes(server: Server) -> dict[str, str]:
    """Return (mark: command line) of everything the server has begun, and of whatever names its runs' folders.

    The second catches what has left its parent, and what is started while this looks.
    """
    assert server.process is not None
    home = Home(server.state)
    folders = (str(home.runs).encode(), str(home.sockets / "w").encode())
    parents: dict[int, int] = {}
    words: dict[int, bytes] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
    family = {server.process.pid}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    naming = {pid for pid, line in words.items() if any(folder in line for folder in folders)}
    found = {mark(pid): words.get(pid, b"").replace(b"\0", b" ").decode() for pid in family | naming}
    return {one: line for one, line in found.items() if one and one != mark(server.process.pid)}


def alive(marks: dict[str, str]) -> list[str]:
    """Return the command lines of those that still are the processes they were; a zombie has ended."""
    return [line for one, line in marks.items() if mark(int(one.split("/")[1])) == one and not _zombie(one)]


def _zombie(one: str) -> bool:
    try:
        return Path(f"/proc/{one.split('/')[1]}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
