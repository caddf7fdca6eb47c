"""Theft: leave plain weights where the host's backups or a later run would find them."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from pathlib import Path

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import honest
from weighthouse.assurance.scenarios.thief import ran, tried
from weighthouse.runs import api as runs

CODE = "weights.no_version"
LARGEST = 64 << 20
LEAVE = """
import json, os, time
from weighthouse_sdk.workload import Workload
def report(**found): print("ATTACK " + json.dumps(found), flush=True)
plain = MARK[::-1].encode() * 64  # spelled backwards here, for the code of a run is kept by the server
ask = {"model": "model/wren", "parent": None, "shards": 1}
save = Workload().call("POST", "/workload/v1/saves", ask)
os.makedirs(f"/out/{save['save']}/shards/deep")
for place in (f"/out/{save['save']}/shards/deep", "/out", "/tmp", "/dev/shm"):
    with open(place + "/weights", "wb") as file: file.write(plain)
os.sync(); report(version=save["version"]); time.sleep(3)
"""


def attack(ground: Ground, _grant: str) -> Observed:
    mark = secrets.token_hex(24)
    state = ground.system.settings.path("state")
    ended, found = threading.Event(), list[str]()
    watching = threading.Thread(target=_search, args=(state, mark.encode(), ended, found))
    watching.start()
    try:
        report = ran(ground.submit_attack_run(LEAVE.replace("MARK", repr(mark[::-1]))))
    finally:
        ended.set()
        watching.join()
    if found:
        return Observed(loot=f"plain weights that lay in {found[0]}")
    return _inherit(ground, str(report["version"]))


def _search(state: Path, mark: bytes, ended: threading.Event, found: list[str]) -> None:
    """Look through the state folder as a backup would, while the run is going and once more when it has ended."""
    last = False
    while not last and not found:
        last = ended.wait(0.2)
        for path in (Path(folder) / name for folder, _, names in os.walk(state) for name in names):
            with contextlib.suppress(OSError):
                if path.is_file() and path.stat().st_size <= LARGEST and mark in path.read_bytes():
                    found.append(path.name)


def _inherit(ground: Ground, version: str) -> Observed:
    """Ask for a run that is given what the dead one left in its save folder."""
    thief = ground.act_as("eve").caller
    return tried(
        ground,
        thief,
        "a later run that inherits what a dead one left",
        lambda unit: runs.submit(
            unit,
            thief,
            model="model/wren",
            environment=runs.environments(unit)[0].digest,
            command=["python", "main.py"],
            code={"main.py": "print(open('/in/shards/deep/weights').read())"},
            dataset="dataset/stdlib",
            parent=version,
            risk="low",
            egress_profile="none",
        ),
    )


SCENARIO = Scenario(
    id="leftover-plaintext",
    title="Leave plain weights for the host's backups and for a later run",
    techniques=("T1074.001", "T1005", "catalogue 40"),
    people=("eve",),
    steps=(
        "A run writes plain weights to its save folder, /out, /tmp and /dev/shm, and never commits.",
        "Meanwhile and afterwards, somebody searches the whole state folder for them.",
        "A second run is ordered with the save that was never committed as its parent.",
    ),
    expected=Expected(status="BLOCKED", room="runs", code=CODE, traces=(Trace("runs.ReferenceRefused"),)),
    prepare=honest.trainer,
    attack=attack,
    cleanup=honest.give_back,
)
