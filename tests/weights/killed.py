"""A process of its own that commits a save and is killed by SIGKILL at one named step. See test_commit.py, case 25."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from tests.weights.world import reopen

from weighthouse.core.caller import Caller
from weighthouse.core.work import Unit, begin
from weighthouse.weights import api as weights
from weighthouse.weights import store
from weighthouse.weights.api import saving


class Case(msgspec.Struct):
    caller: Caller
    save: str
    envelope: str
    step: str


def die(*_: object, **__: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def after(real: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **named: Any) -> Any:
        real(*args, **named)
        die()

    return run


def main() -> None:
    url, state, now = sys.argv[1:]
    case = msgspec.json.decode((Path(state) / "case.json").read_bytes(), type=Case)
    system = reopen(url, Path(state), int(now))
    if case.step == "before":
        saving.open_manifest = die
    elif case.step == "objects":
        saving._check_objects = after(saving._check_objects)
    elif case.step == "close":
        store.close_save = after(store.close_save)
    elif case.step == "version":
        store.add_version = after(store.add_version)
    elif case.step == "announce":
        saving._announce = after(saving._announce)
    elif case.step == "commit":
        Unit._finish = die  # type: ignore[method-assign]
    elif case.step == "after":
        saving._keep_copy = die
    weights.take(system, case.caller, case.save, case.envelope.encode())
    with begin(system, case.caller) as unit:
        weights.commit(unit, case.caller, case.save, case.envelope.encode())


if __name__ == "__main__":
    main()
