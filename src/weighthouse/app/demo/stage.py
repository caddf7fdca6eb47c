"""The stage: a whole server in a temporary folder, on loopback, with demo keys. Nothing of it outlives the demo."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from weighthouse.access import api as access
from weighthouse.app import declared
from weighthouse.app.demo.actor import Actor, Cast
from weighthouse.app.demo.entrance import Entrance
from weighthouse.app.demo.ground import LiveGround
from weighthouse.app.demo.mirror import Mirror
from weighthouse.app.home import Home
from weighthouse.app.house import House
from weighthouse.app.initialise import EXAMPLE_LAB
from weighthouse.app.server import free_port
from weighthouse.app.wiring import open_system
from weighthouse.assurance.api import Ground as AttackGround
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import Unavailable
from weighthouse.core.settings import Settings
from weighthouse.core.work import System, begin
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.runs.ports import Ground as RunGround

ADDRESS = "127.0.0.1"
PASSPHRASE = "demo keys protect nothing"  # noqa: S105 - that is the point of it
OUT_MIB = 64  # what the demo saves is small, and so is the room that it takes from this machine
DEMO_SCRYPT = 1 << 14


class Stage:
    """Everything the demo stands on; a context manager that leaves nothing behind."""

    def __init__(self, *, port: int = 0, overrides: dict[str, object] | None = None) -> None:
        self._port = port
        self._overrides = overrides or {}
        self._ends = ExitStack()
        self.sandbox = "the sandbox"

    def __enter__(self) -> Stage:
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="wh-demo-"))
        except OSError as error:
            raise Unavailable(
                "app.no_room",
                f"No temporary folder can be made: {error}.",
                "Make room, or set TMPDIR to a folder that you may write to.",
            ) from None
        self._ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self._open()
        except BaseException as error:
            self._ends.close()  # Ctrl-C half way through must leave no more behind than Ctrl-C later
            if isinstance(error, OSError | OperationalError):
                raise Unavailable(
                    "app.no_room",
                    f"The demo could not write to {self.folder.parent}: {error}.",
                    "Make room (about 200 MB), or set TMPDIR to another folder.",
                ) from None
            raise
        return self

    def _open(self) -> None:
        flags: dict[str, object] = {
            "state": self.folder,
            "mode": "demo",
            "server.address": ADDRESS,
            "server.port": self._port or free_port(ADDRESS),
            "runs.out_mib": OUT_MIB,
            **self._overrides,
        }
        self.home = Home(self.folder)
        self.home.make()
        self._ends.callback(self._forget_sockets)
        self.keys = SealedKeys.create(self.home.keys_file, PASSPHRASE, cost=DEMO_SCRYPT)
        self.system: System = open_system(Settings(declared.settings(), flags=flags), self.home, self.keys, new=True)
        self._ends.callback(self.system.database.close)
        self.mirror = Mirror(self.folder).start()
        self._ends.callback(self.mirror.stop)
        self._publish(self._lab())
        self.entrance = Entrance(self.system)
        self.ground = LiveGround(self)
        self.system.bind(AttackGround, self.ground)
        self.house = House(self.system, self.home, extra={"/demo": self.entrance.application})
        self._ends.callback(self.house.stop)
        self.house.start()
        self.cast = Cast(self.system, self.url)
        self._ends.callback(self.cast.close)

    def _lab(self) -> str:
        """The example lab with this machine's facts: the mirror's address, the one image for frontier weights."""
        image = self.system.part(RunGround).environments()[0].digest
        lab = EXAMPLE_LAB.read_text("utf-8").replace("address: 127.0.0.1\n", f"address: {self.mirror.address}\n")
        pinned = lab.replace("    # images: [sha256:…] ", f"    images: [{image}]  #")
        assert pinned != lab, "the example lab no longer shows where images are listed"
        return pinned

    def _publish(self, lab: str) -> None:
        with begin(self.system, SYSTEM) as unit:
            access.publish_policy(unit, None, lab, "lab.yaml")

    @property
    def url(self) -> str:
        return self.house.url

    def actor(self, person: str) -> Actor:
        """Return a person with a live session, a second factor and an enrolled device; signed in again when spent."""
        return self.cast.actor(person)

    def listening(self) -> AbstractContextManager[None]:
        """The allowed host answers as long as the demo lasts."""
        return nullcontext()

    def __exit__(self, *_: Any) -> None:
        self._ends.close()

    def _forget_sockets(self) -> None:
        if self.home.sockets.exists():
            shutil.rmtree(self.home.sockets, ignore_errors=True)
