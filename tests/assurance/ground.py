"""A ground for attacks on one machine without sandbox and proxy: real sign-ins, devices, access, keys, log, copies.

Runs are not offered here, so scenarios that need one are NOT RUN; the demo plays those against the real sandbox.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.detect.conftest import Watched
from weighthouse.access import jobs as access_jobs
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.app.demo import committee
from weighthouse.assurance.ports import RunOutcome, not_here
from weighthouse.audit import api as audit
from weighthouse.audit.adapters.embedded import FileSignerMemory
from weighthouse.audit.ports import SignerMemory
from weighthouse.core.caller import Caller
from weighthouse.core.clock import ManualClock, Millis
from weighthouse.core.database import Database
from weighthouse.core.signing import Signers
from weighthouse.core.work import Recorder, Revocation, System
from weighthouse.detect import jobs
from weighthouse.egress.adapters.books import FileBooks
from weighthouse.egress.ports import Books
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory, Site
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.ports import KeyService
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory
from weighthouse_sdk.client import DeviceKey
from weighthouse_sdk.client.http import canonical
from weighthouse_sdk.client.key import b64url


class Player:
    """A person who really signed in and enrolled a device over HTTP."""

    def __init__(self, lab: Watched, person: str) -> None:
        self._lab, self._person = lab, person
        self._client = lab.sign_in(person)
        self.device = str(self._client.enrol("laptop")["id"])

    @property
    def caller(self) -> Caller:
        return self._lab.person(self._person)

    def sign(self, statement: Mapping[str, Any]) -> str:
        return b64url(self._client.key.sign(canonical(statement)))

    def stolen(self, method: str, url: str) -> identity.Credential:
        token, thief = self._client.token, DeviceKey.generate()
        thief.now = lambda: self._lab.clock.now() / 1000
        proof = thief.proof(method, url, token=token, nonce=identity.fresh_nonce(self._lab.system))
        return identity.Credential(
            kind="dpop", value=token, proof=proof, method=method, url=url, address="203.0.113.66"
        )

    def minted(self, method: str, url: str, nonce: str) -> identity.Credential:
        token = self._client.token
        proof = self._client.key.proof(method, url, token=token, nonce=nonce)
        return identity.Credential(
            kind="dpop", value=token, proof=proof, method=method, url=url, address="203.0.113.66"
        )


class LabGround:
    """The live ground."""

    def __init__(self, lab: Watched) -> None:
        self.lab = lab
        self.players: dict[str, Player] = {}
        keys = SealedKeys.create(lab.folder / "keys.sealed", "a passphrase for tests", cost=1 << 10, clock=lab.clock)
        lab.system.bind(KeyService, keys)

    @property
    def system(self) -> System:
        return self.lab.system

    def act_as(self, person: str) -> Player:
        if person not in self.players:
            self.players[person] = Player(self.lab, person)
        return self.players[person]

    def submit_attack_run(self, code: str, wall_clock_s: int = 600) -> RunOutcome:
        not_here("a sandbox")

    def raw_sql(self, statement: str, **values: str | int | bytes | None) -> int:
        not_here("edits of the live database")

    def open_keys(self, guess: str) -> None:
        SealedKeys.open(self.lab.folder / "keys.sealed", guess)

    def later(self, by: Millis) -> None:
        not_here("a moved clock")

    def restart(self) -> None:
        not_here("a restart")

    def copy(self) -> AbstractContextManager[CopyGround]:
        return _copied(self)

    def settle(self) -> None:
        jobs.follow(self.system)


class CopyGround:
    """A copy of database and memories, thrown away afterwards."""

    def __init__(self, live: LabGround, system: System, clock: ManualClock) -> None:
        self._live, self.system, self._clock = live, system, clock

    def act_as(self, person: str) -> Player:
        return self._live.act_as(person)

    def submit_attack_run(self, code: str, wall_clock_s: int = 600) -> RunOutcome:
        not_here("a sandbox")

    def raw_sql(self, statement: str, **values: str | int | bytes | None) -> int:
        with self.system.database.engine.begin() as connection:
            return connection.execute(text(statement), values).rowcount

    def open_keys(self, guess: str) -> None:
        self._live.open_keys(guess)

    def carry(self, text: str) -> None:
        committee.carry(self.system, self.act_as, text)

    def call_hold(self, member: str, model: str) -> None:
        committee.call_hold(self.system, self.act_as(member), model)

    def later(self, by: Millis) -> None:
        self._clock.advance(by)

    def restart(self) -> None:
        folder = self._live.lab.folder / "copy"
        self.system.bind(Memory, FileMemory(folder / "identity.memory", now=self._clock.now()))

    def copy(self) -> AbstractContextManager[CopyGround]:
        return _copied(self._live)

    def settle(self) -> None:
        while sum(audit.pump(self.system, one) for one in access_jobs.followers):
            pass
        jobs.follow(self.system)


@contextmanager
def _copied(live: LabGround) -> Iterator[CopyGround]:
    folder = live.lab.folder / "copy"
    source, target = str(live.system.database.engine.url.database), folder / "weighthouse.db"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("policy.memory", "refusals", "identity.memory", "log.memory", "egress.books"):
        _copy(live.lab.folder / name, folder / name)
    reading, writing = sqlite3.connect(source), sqlite3.connect(target)
    with writing:
        reading.backup(writing)
    reading.close()
    writing.close()
    clock = ManualClock(live.lab.clock.now())
    database = Database(f"sqlite:///{target}")
    system = System(live.system.settings, clock, database)
    for port, part in (
        (Signers, live.system.part(Signers)),
        (KeyService, live.system.part(KeyService)),
        (Site, live.system.part(Site)),
        (PolicyMemory, FilePolicyMemory(folder / "policy.memory")),
        (Refusals, FileRefusals(folder / "refusals")),
        (Memory, FileMemory(folder / "identity.memory", now=clock.now())),
        (SignerMemory, FileSignerMemory(folder / "log.memory")),
        (Recorder, audit.append),
        (Revocation, identity.check_under_way),
        (Books, FileBooks(folder / "egress.books")),
    ):
        system.bind(port, part)
    try:
        yield CopyGround(live, system, clock)
    finally:
        database.close()
        shutil.rmtree(folder)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copy(source, target)
