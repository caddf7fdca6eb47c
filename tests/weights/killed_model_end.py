"""A process of its own that carries out an order to destroy a model and is killed at one named step. See
test_ending_kept.py."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.weights.killed import after, die
from tests.weights.world import reopen

from weighthouse.audit import api as audit
from weighthouse.core.work import Unit
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.weights import api as weights
from weighthouse.weights import store


def main() -> None:
    url, state, now, step = sys.argv[1:]
    system = reopen(url, Path(state), int(now))
    if step == "row":
        store.turn_order = after(store.turn_order)
    elif step == "keys":
        store.drop_keys_under = after(store.drop_keys_under)
    elif step == "line":
        audit.append = after(audit.append)
    elif step == "commit":
        Unit._commit = die  # type: ignore[method-assign]
    elif step == "key":
        SealedKeys.destroy = die  # type: ignore[method-assign]
    elif step == "after":
        SealedKeys.destroy = after(SealedKeys.destroy)  # type: ignore[method-assign]
    weights.finish_models(system)


if __name__ == "__main__":
    main()
