"""The ground that a kept development server offers to the red team: itself, with its own people and its own sandbox.

Guards a score from being that of another system: `weighthouse redteam run` attacks this server, over HTTP, as people
who really sign in to it. Only where the embedded provider stands behind the sign-in: elsewhere nobody can play a
thief without somebody's real second factor, and the catalogue is refused (`assurance.no_ground`).
"""

from __future__ import annotations

import contextlib
import ipaddress
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weighthouse.app.demo.actor import Cast
from weighthouse.app.demo.ground import LiveGround
from weighthouse.app.demo.mirror import NAME, PORT, Mirror
from weighthouse.app.house import House
from weighthouse.assurance.api import Ground
from weighthouse.core.work import System, read
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.ports import KeyService
from weighthouse.policy import api as policy


class Served:
    """A running server as the scene of attacks."""

    def __init__(self, house: House, keys: SealedKeys) -> None:
        self.system: System = house.system
        self.home = house.home
        self.keys = keys
        self.house = house
        self._cast = Cast(house.system, house.url)
        self.actor = self._cast.actor

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Have the allowed host of the example lab answer while a run tries to reach it, if the lab pins it here."""
        address = self._pinned()
        with contextlib.ExitStack() as ends:
            if address and ipaddress.ip_address(address).is_loopback:
                folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="wh-mirror-")))
                with contextlib.suppress(OSError):  # something real listens there already
                    ends.callback(Mirror(folder, address).start().stop)
            yield

    def _pinned(self) -> str:
        with read(self.system) as unit:
            profile = policy.current(unit).lab.egress_profiles.get("mirror")
        entries = profile.entries if profile is not None else ()
        return next((one.address or "" for one in entries if (one.host, one.port) == (NAME, PORT)), "")


def offer(house: House) -> None:
    """Bind the ground of attacks, on a development server with the embedded provider; elsewhere there is none."""
    settings = house.system.settings
    keys = house.system.part(KeyService)
    if (
        settings.text("mode") == "development"
        and not settings.text("identity.issuer")
        and isinstance(keys, SealedKeys)
    ):
        house.system.bind(Ground, LiveGround(Served(house, keys)))
