"""A control plane in a process of its own, for tests that stop or kill it: `python -m tests.egress.served FOLDER PORT`.

Prints the socket of a way and the ids of its processes once a run may go out, then serves until it is killed.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.egress.world import World, entry, lab_text
from weighthouse.core.clock import SystemClock
from weighthouse.core.database import Database


def main(folder: Path, port: int) -> None:
    database = Database(f"sqlite:///{folder}/ledger.db")
    database.create_all()
    world = World(database, SystemClock(), folder, folder)
    world.publish(lab_text([entry("hub.test", port, budget="1GiB")], total="1GiB"))
    way = world.open()
    print(way.socket, *way.handle.pids, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
