"""One running server: the console and API, the broker for workloads, followers, timers and the runner.

Guards against half a server: it starts every part or stops those it started and says which one failed.
"""

from __future__ import annotations

import gc
import logging
from typing import Any, Protocol

from fastapi import FastAPI

from weighthouse.access import api as access
from weighthouse.app import provider, routers, truth
from weighthouse.app.home import Home
from weighthouse.app.learning import Learning
from weighthouse.app.origin import listening, origin
from weighthouse.app.runner import Runs
from weighthouse.app.server import Served
from weighthouse.app.workers import Workers
from weighthouse.audit import api as audit
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, read
from weighthouse.egress import api as egress
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy
from weighthouse.web import api as web

log = logging.getLogger("weighthouse")


def application(system: System, extra: dict[str, Any] | None = None) -> FastAPI:
    """Return the whole web application over `system`, the embedded provider mounted if it is the one."""
    own = provider.bind(system)
    mounts: dict[str, Any] = {"/dev-idp": own.application} if own is not None else {}
    return web.build(
        system,
        routers.every(),
        origin=origin(system.settings),
        mounts={**mounts, **(extra or {})},
        larger_bodies=routers.LARGER_BODIES,
    )


class Stoppable(Protocol):
    """What stops with the server."""

    def stop(self) -> None: ...


class House:
    """A server that is started once and stopped once."""

    def __init__(self, system: System, home: Home, *, extra: dict[str, Any] | None = None) -> None:
        home.lock.take("serve")  # held already, unless somebody serves who has not asked first
        self.system = system
        self.home = home
        self.workers = Workers(system)
        self._telling = truth.telling(home, system)
        self._learning = Learning(system, home.memory / "learnt")
        settings = system.settings
        app = application(system, extra)
        self._served = Served(
            app,
            address=str(listening(settings)),
            port=settings.integer("server.port"),
            proxies=identity.networks(settings.text("identity.trusted_proxies")),
        )
        self._runs = Runs(system, home, app)
        self._started: list[Any] = []

    @property
    def url(self) -> str:
        """Where people reach it."""
        return origin(self.system.settings)

    def unheld(self) -> list[egress.Unheld]:
        """Return the models of the policy in force that could be carried out before anybody stops it."""
        with read(self.system) as unit:
            return egress.unheld(self.system.settings, policy.current(unit).lab)

    def start(self) -> House:
        """Start every part in order; on a failure stop what was started and raise.

        What outsiders have seen of the log is asked before anything is served: yesterday's folder, put back, must
        not release anything until the first round of the witnesses. On PostgreSQL the log tells of this server first,
        and each other one has answered it.
        """
        try:
            audit.ask_witnesses(self.system)
            access.close_on_doubt(self.system)
            audit.join(self.system)
            audit.meet(self.system)
            for part in (self._learning, self._served, self._runs, self.workers, self._telling):
                part.start()
                self._started.append(part)
            truth.tell(self.home, self.system.settings)
        except BaseException:
            self.stop()
            raise
        gc.collect()
        gc.freeze()  # what is made at start lives as long as the server; a full collection need not walk it again
        return self

    def also(self, part: Stoppable) -> None:
        """Have a part stopped with the server, before everything that it was started after."""
        self._started.append(part)

    def stop(self) -> None:
        """Stop in the opposite order; a part that fails to stop does not keep the others running."""
        while self._started:
            part = self._started.pop()
            try:
                part.stop()
            except Exception:
                log.exception("stopping %s failed", type(part).__name__)
        try:
            audit.say(
                self.system, left=True
            )  # after whatever writes lines: the other servers wait for none that follow
        except WeighthouseError as error:
            log.warning("the other servers were not told that this one stops: %s (%s)", error.message, error.code)
        truth.forget(self.home)
        self.home.forget_sockets()
        self.system.database.close()
        self.home.lock.release()
