"""The ground of the attack catalogue: the demo's own server, and throw-away copies of its database."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn, Protocol

from sqlalchemy import text

from weighthouse.access import jobs as access_jobs
from weighthouse.app.demo import committee
from weighthouse.app.demo.actor import Actor as Players
from weighthouse.app.demo.doorway import Door
from weighthouse.app.home import Home
from weighthouse.app.house import House, application
from weighthouse.app.initialise import load_settings
from weighthouse.app.learning import Learning
from weighthouse.app.runner import Runs
from weighthouse.app.wiring import bind_keys, bind_memories, bind_places, envoy, machine, open_system
from weighthouse.app.witness import Witness
from weighthouse.app.workers import Workers
from weighthouse.assurance.ports import Actor, RunOutcome, not_here
from weighthouse.audit import api as audit
from weighthouse.audit.adapters.witness_http import PolicyWitnesses
from weighthouse.audit.ports import Witnesses
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Clock, Millis, SystemClock
from weighthouse.core.database import Database
from weighthouse.core.work import Recorder, Revocation, System, begin, read
from weighthouse.egress.ports import Proxy
from weighthouse.identity import api as identity
from weighthouse.identity import jobs as identity_jobs
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.ports import KeyService
from weighthouse.runs import api as runs
from weighthouse.runs.ports import Ground as Offered
from weighthouse.weights.adapters.embedded import FolderStore
from weighthouse.weights.ports import ObjectStore
from weighthouse_sdk.client import Client, ProblemError

RUN_LIMIT_S = 120.0
MARK = "ATTACK "


class Scene(Protocol):
    """A running server with people: the demo's stage, or a kept development server."""

    system: System
    home: Home
    keys: SealedKeys
    house: House

    def actor(self, person: str) -> Players: ...

    def listening(self) -> AbstractContextManager[None]:
        """Have the allowed host of the example lab answer meanwhile."""


def _never_ended(state: str) -> NoReturn:
    not_here(f"a run that ends: after {RUN_LIMIT_S:.0f} s it is still {state}")


def _said(lines: Iterable[str]) -> tuple[dict[str, Any], ...]:
    """What the attack code reported among the lines of its run."""
    return tuple(json.loads(line[len(MARK) :]) for line in lines if line.startswith(MARK))


class LaterClock:
    """The machine's clock, moved ahead by what an attack wants to wait."""

    def __init__(self) -> None:
        self._clock: Clock = SystemClock()
        self.ahead: Millis = 0

    def now(self) -> Millis:
        return self._clock.now() + self.ahead

    def monotonic(self) -> Millis:
        return self._clock.monotonic() + self.ahead


class LiveGround:
    """Attacks against the running server itself."""

    def __init__(self, stage: Scene) -> None:
        self._stage = stage

    @property
    def system(self) -> System:
        return self._stage.system

    def act_as(self, person: str) -> Actor:
        return self._stage.actor(person)

    def sign_in(self, account: str, address: str, *, password: str = "", factor: bool = True) -> Callable[[], bool]:
        not_here("a sign-in from another address at the live server; take a copy")

    def submit_attack_run(self, code: str, wall_clock_s: int = 600) -> RunOutcome:
        client = self._stage.actor("eve").client
        order = {
            "model": "model/wren",
            "environment": client.get("runs/environments")["items"][0]["digest"],
            "command": ["python", "/code/attack.py"],
            "code": {"attack.py": code},
            "dataset": "dataset/stdlib",
            "risk": "high",
            "egress_profile": "mirror",
            "wall_clock_s": wall_clock_s,
        }
        with self._stage.listening():
            return self._followed(client, self._submitted(client, order))

    def _submitted(self, client: Client, order: dict[str, Any]) -> str:
        try:
            return str(client.post("runs", order)["id"])
        except ProblemError as refused:
            not_here(f"a run on {order['model']} ({refused.code})")

    def _followed(self, client: Client, run: str) -> RunOutcome:
        deadline = time.monotonic() + RUN_LIMIT_S
        while (found := client.get(f"runs/{run}"))["state"] in runs.OPEN and time.monotonic() < deadline:
            time.sleep(0.05)
        if found["state"] in runs.OPEN:
            client.post(f"runs/{run}/stop", {"reason": "An exercise of the red team: it did not end in time."})
            _never_ended(found["state"])
        lines = client.get(f"runs/{run}/logs")["items"]
        reports = _said(one["text"] for one in lines)
        return RunOutcome(run=run, exit_status=found.get("exit_status"), reports=reports)

    def executing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def raw_sql(self, statement: str, **values: str | int | bytes | None) -> int:
        not_here("edits of the live database; take a copy")

    def carry(self, text: str) -> None:
        not_here("a motion of the committee outside a copy")

    def call_hold(self, member: str, model: str) -> None:
        not_here("a call of the committee outside a copy")

    def open_keys(self, guess: str) -> None:
        SealedKeys.open(self._stage.home.keys_file, guess)

    def later(self, by: Millis) -> None:
        not_here("a moved clock on the live server; take a copy")

    def backup(self) -> object:
        not_here("a backup of the live state; take a copy")

    def restore(self, backup: object) -> None:
        not_here("an older state under the live server; take a copy")

    def witnessed(self) -> AbstractContextManager[None]:
        not_here("another witness of the live log; take a copy")

    def restart(self) -> None:
        not_here("a restart of the live server; take a copy")

    def start_anew(self) -> None:
        not_here("another start of the live server; take a copy")

    def copy(self) -> AbstractContextManager[CopyGround]:
        return _copied(self._stage, self.system)

    def twin(self) -> AbstractContextManager[CopyGround]:
        not_here("a second server over the live database; take a copy")

    def settle(self) -> None:
        self._stage.house.workers.settle()


class CopyGround:
    """Attacks by whoever can write the database or wait for hours: on a copy that is thrown away."""

    def __init__(self, stage: Scene, system: System, clock: LaterClock, home: Home) -> None:
        self._stage = stage
        self._system = system
        self._home = home
        self._clock = clock
        self._door: Door | None = None
        self._workers = Workers(system)
        self._learning = Learning(system, system.settings.path("state") / "memory" / "learnt")

    @property
    def system(self) -> System:
        return self._system

    def act_as(self, person: str) -> Actor:
        return self._stage.actor(person)

    def sign_in(self, account: str, address: str, *, password: str = "", factor: bool = True) -> Callable[[], bool]:
        self._door = self._door or Door(self._system)
        return self._door.sign_in(account, address, password=password, factor=factor)

    def submit_attack_run(self, code: str, wall_clock_s: int = 600) -> RunOutcome:
        """By a runner of the copy's own: what it spends of anybody's day is thrown away with the copy."""
        eve = self._stage.actor("eve").caller
        with self._stage.listening(), self.executing():
            with begin(self._system, eve) as unit:
                run = runs.submit(
                    unit,
                    eve,
                    model="model/wren",
                    environment=runs.environments(unit)[0].digest,
                    command=("python", "/code/attack.py"),
                    code={"attack.py": code},
                    dataset="dataset/stdlib",
                    parent=None,
                    risk="high",
                    egress_profile="mirror",
                    wall_clock=wall_clock_s * 1_000,
                ).id
            return self._followed(eve, run)

    def _followed(self, caller: Caller, run: str) -> RunOutcome:
        deadline = time.monotonic() + RUN_LIMIT_S
        while True:
            with read(self._system, caller) as unit:
                found = runs.get(unit, caller, run)
                lines = runs.logs(unit, caller, run)
            if found.state in runs.OPEN and time.monotonic() > deadline:
                _never_ended(found.state)
            if found.state not in runs.OPEN:
                return RunOutcome(run=run, exit_status=found.exit_status, reports=_said(line.text for line in lines))
            time.sleep(0.05)

    @contextmanager
    def executing(self) -> Iterator[None]:
        home = Home(self._system.settings.path("state"))
        runner = Runs(self._system, home, application(self._system)).start()
        try:
            yield
        finally:
            runner.stop()
            home.forget_sockets()

    def raw_sql(self, statement: str, **values: str | int | bytes | None) -> int:
        with self._system.database.engine.begin() as connection:
            return connection.execute(text(statement), values).rowcount

    def carry(self, text: str) -> None:
        committee.carry(self._system, self.act_as, text)
        self.settle()

    def call_hold(self, member: str, model: str) -> None:
        committee.call_hold(self._system, self.act_as(member), model)

    def open_keys(self, guess: str) -> None:
        SealedKeys.open(self._stage.home.keys_file, guess)

    def later(self, by: Millis) -> None:
        """What is owed to the log is paid first, as a server's timers do that run all the while."""
        for timer in (*access_jobs.timers, *identity_jobs.timers):
            if timer.name.endswith("-owed"):
                timer.run(self._system)
        self._clock.ahead += by

    def backup(self) -> Path:
        kept = Path(tempfile.mkdtemp(prefix="backup-", dir=self._home.root))
        _copy_database(str(self._home.database_file), kept / "database")
        shutil.copytree(self._home.memory, kept / "memory")
        return kept

    def restore(self, backup: object) -> None:
        assert isinstance(backup, Path)
        self._system.database.close()
        for leftover in self._home.root.glob(self._home.database_file.name + "*"):
            leftover.unlink()
        shutil.copy(backup / "database", self._home.database_file)
        shutil.rmtree(self._home.memory)
        shutil.copytree(backup / "memory", self._home.memory)
        bound = self._system.part(Witnesses)
        bind_memories(self._system, self._home)
        self._system.bind(Witnesses, bound)

    @contextmanager
    def witnessed(self) -> Iterator[None]:
        keys = audit.keys(self._system)
        witness = Witness(self._home.root / "witness", "witness.example", keys, ("127.0.0.1", 0))
        serving = threading.Thread(target=witness.serve, daemon=True)
        serving.start()
        policy = self._home.root / "witnesses"
        lines = [*(f"log {key}" for key in keys), f"witness w {witness.key} http://127.0.0.1:{witness.port}/"]
        policy.write_text("\n".join([*lines, "quorum w", ""]))
        self._system.bind(Witnesses, PolicyWitnesses(policy))
        try:
            yield
        finally:
            witness.stop()
            serving.join()

    def restart(self) -> None:
        bind_memories(self._system, Home(self._system.settings.path("state")))

    def start_anew(self) -> None:
        self._system.database.close()
        own = {"mode": self._system.settings.text("mode"), "database.url": f"sqlite:///{self._home.database_file}"}
        settings, _ = load_settings(own, state=self._home.root)  # as `serve` reads them, whatever lies there
        keys = _opened(self._system, self._home)
        open_system(settings, self._home, keys, self._clock).database.close()
        bind_keys(self._system, keys)
        bind_memories(self._system, self._home)
        self._learning = Learning(self._system, self._home.memory / "learnt")
        self._learning.catch_up()

    def copy(self) -> AbstractContextManager[CopyGround]:
        return _copied(self._stage, self._system)

    @contextmanager
    def twin(self) -> Iterator[CopyGround]:
        mine = self._system.settings.path("state")
        home = Home(mine / "twin")
        home.make()
        shutil.copytree(mine / "memory", home.memory, dirs_exist_ok=True)
        database = Database(str(self._system.database.engine.url))
        try:
            database.ours = self._system.database.ours
            theirs = _system(self._system, home, database, self._clock, _held(self._system))
            yield CopyGround(self._stage, theirs, self._clock, home)
        finally:
            database.close()

    def settle(self) -> None:
        self._workers.settle()
        self._learning.catch_up()


@contextmanager
def _copied(stage: Scene, source: System) -> Iterator[CopyGround]:
    if source.database.dialect != "sqlite":
        not_here("a copy of a database that is not SQLite")
    folder = Path(tempfile.mkdtemp(prefix="wh-copy-"))
    home = Home(folder)
    home.make()
    try:
        _copy_database(str(source.database.engine.url.database), home.database_file)
        shutil.copytree(source.settings.path("state") / "memory", home.memory, dirs_exist_ok=True)
        # After the database: keys may be ahead of the log, and never behind it.
        shutil.copy(Home(source.settings.path("state")).keys_file, home.keys_file)
        clock = LaterClock()
        database = Database(f"sqlite:///{home.database_file}")
        database.ours = source.database.ours
        made = _system(source, home, database, clock, _opened(source, home))
        yield CopyGround(stage, made, clock, home)
        database.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _held(system: System) -> SealedKeys:
    keys = system.part(KeyService)
    assert isinstance(keys, SealedKeys)
    return keys


def _opened(source: System, home: Home) -> SealedKeys:
    """The keys as they lie in `home`, opened as by a start that remembers nothing."""
    return _held(source).elsewhere(home.keys_file)


def _system(source: System, home: Home, database: Database, clock: LaterClock, keys: SealedKeys) -> System:
    """Return a server's system over `database`, its memories and objects in `home`."""
    system = System(source.settings.changed(state=home.root), clock, database)
    bind_keys(system, keys)
    bind_memories(system, home)
    bind_places(system)
    system.bind(Recorder, audit.append)
    system.bind(Revocation, identity.check_under_way)
    system.bind(ObjectStore, FolderStore(home.objects))
    system.bind(Offered, machine(system.settings, home))
    system.bind(Proxy, envoy())
    return system


def _copy_database(source: str, target: Path) -> None:
    # SQLite's backup interface copies one consistent state while the server goes on writing.
    reading, writing = sqlite3.connect(source), sqlite3.connect(target)
    with writing:
        reading.backup(writing)
    reading.close()
    writing.close()
