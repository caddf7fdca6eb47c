"""A process of its own that carries out an order to destroy and is killed at one named step. See test_destroying.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.weights.killed import after, die
from tests.weights.world import reopen

from weighthouse.audit import api as audit
from weighthouse.core.work import Unit
from weighthouse.keys import api as keys
from weighthouse.weights import api as weights
from weighthouse.weights import store
from weighthouse.weights.api import destroying


def main() -> None:
    url, state, now, step = sys.argv[1:]
    system = reopen(url, Path(state), int(now))
    if step == "keys":
        store.drop_keys = after(store.drop_keys)
    elif step == "row":
        store.turn_version = after(store.turn_version)
    elif step == "line":
        audit.append = after(audit.append)
    elif step == "commit":
        Unit._commit = die  # type: ignore[method-assign]
    elif step == "retire":
        keys.retire = _dying
    elif step == "objects":
        destroying.forget = die
    weights.finish(system)


def _dying(unit: Unit, **_: Any) -> None:
    unit.after_commit(die)


if __name__ == "__main__":
    main()
