"""The ground that a kept development server offers to the red team: itself, with its own people and its own sandbox.

Guards a score from being that of another system: `weighthouse redteam run` attacks this server, over HTTP, as people
who really sign in to it. Only where the embedded provider stands behind the sign-in: elsewhere nobody can play a
thief without somebody's real second factor, and the catalogue is refused (`assurance.no_ground`).
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weighthouse.app.demo.actor import Actor, Cast
from weighthouse.app.demo.ground import LiveGround
from weighthouse.app.demo.mirror import NAME, PORT, Mirror
from weighthouse.app.house import House
from weighthouse.assurance.api import Ground
from weighthouse.core.work import System, read
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.ports import KeyService
from weighthouse.policy import api as policy
from weighthouse_sdk.client import Client, ProblemError

log = logging.getLogger("weighthouse.redteam")

EXERCISE = "exercise of the red team, as"
LEAVE_S = 600.0
"""After the last attack, for signing in anew before each one would take a fresh code of every second factor."""


class Served:
    """A running server as the scene of attacks, played in sessions and with keys of the exercise's own, named so.

    Guards those who work there: what was signed in or enrolled ends with the exercise, with the server, or, if that
    was killed, when the next exercise begins; of a colleague's own, nothing does.
    """

    def __init__(self, house: House, keys: SealedKeys) -> None:
        self.system: System = house.system
        self.home = house.home
        self.keys = keys
        self.house = house
        self._cast = Cast(house.system, house.url, key_name=EXERCISE)
        self._leaving: threading.Timer | None = None

    def actor(self, person: str) -> Actor:
        """Return a person in a session of the exercise; what earlier exercises left of theirs ends first."""
        self._wait_to_leave()
        found = self._cast.actor(person)
        for one in found.client.get("devices")["items"]:
            if one["name"].startswith(EXERCISE) and one["id"] != found.device:
                _end(found.client, one["id"])
        return found

    def _wait_to_leave(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = threading.Timer(LEAVE_S, self.leave)
        self._leaving.daemon = True
        self._leaving.start()

    def leave(self) -> None:
        """End the keys and sessions of the exercise."""
        for one in self._cast.take():
            try:
                _end(one.client, one.device)
                one.client.sign_out()
            except (ProblemError, OSError) as refused:
                log.warning("a session of the exercise was not ended: %s", refused)
            one.client.close()

    def stop(self) -> None:
        """Leave while the server still answers."""
        if self._leaving is not None:
            self._leaving.cancel()
        self.leave()

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


def _end(client: Client, device: str) -> None:
    client.post(f"devices/{device}/end", {"reason": "The exercise of the red team is over."})


def offer(house: House) -> None:
    """Bind the ground of attacks, on a development server with the embedded provider; elsewhere there is none."""
    settings = house.system.settings
    keys = house.system.part(KeyService)
    if (
        settings.text("mode") == "development"
        and not settings.text("identity.issuer")
        and isinstance(keys, SealedKeys)
    ):
        scene = Served(house, keys)
        house.also(scene)
        house.system.bind(Ground, LiveGround(scene))
