"""Settings in, system out: which adapter stands behind each port. The one place to read what is real here.

Guards against a system that starts half-wired: every port is bound before anything is served, and the log is checked
against the signer's memory first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import make_url

from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.app import emptied, memories, schema
from weighthouse.app.home import Home, database_url
from weighthouse.app.origin import check_address, origin
from weighthouse.audit import api as audit
from weighthouse.audit.adapters.acknowledged import FileLines
from weighthouse.audit.adapters.embedded import FileSignerMemory
from weighthouse.audit.adapters.witness_http import PolicyWitnesses
from weighthouse.audit.ports import LineMemory, SignerMemory, Witnesses
from weighthouse.core import faults, written
from weighthouse.core import machine as machines
from weighthouse.core.clock import Clock, SystemClock
from weighthouse.core.database import Database
from weighthouse.core.settings import Settings
from weighthouse.core.signing import Signers
from weighthouse.core.work import Recorder, Revocation, System
from weighthouse.egress.adapters.books import FileBooks
from weighthouse.egress.adapters.envoy import Envoy
from weighthouse.egress.ports import Books, Proxy
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.adapters.places import TablePlaces
from weighthouse.identity.ports import Memory, Places, Site
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.ports import KeyService
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory
from weighthouse.runs.adapters.ground import ThisMachine
from weighthouse.runs.ports import Ground
from weighthouse.weights.adapters.embedded import FolderStore
from weighthouse.weights.ports import ObjectStore


def open_system(
    settings: Settings, home: Home, keys: SealedKeys, clock: Clock | None = None, *, new: bool = False
) -> System:
    """Open the database and bind every part; refuse a schema or a log that is not this server's.

    With `new` the memories beside the database begin; without it, one that is missing was lost. Raises
    `app.memory_missing`, `app.unknown_schema`, `app.demo_off_loopback`, `core.other_machine`, `audit.log_forked` and
    their kin; nothing is served yet.
    """
    if not new:
        memories.check(home)
    system = admit(assemble(settings, home, keys, clock, judging=not new), new=new)
    memories.settle(system, home)
    return system


def admit(system: System, *, new: bool = False) -> System:
    """Judge what `assemble` opened, and close it again if it is refused."""
    with _closed_on_refusal(system.database):
        if new:
            audit.begin(system)
        machines.hold(system)
        audit.start(system)
        identity.adopt_accounts(system)
    return system


def assemble(
    settings: Settings, home: Home, keys: SealedKeys, clock: Clock | None = None, *, judging: bool = False
) -> System:
    """Open and bind without judging the log: for `open_system`, and for the ceremony over a log that is refused.

    The database is migrated last. With `judging` the log's head is judged too before that is committed, so that a
    start that is refused leaves what the version that ran before can start on.
    """
    check_address(settings)
    emptied.refuse_no_file(settings, home)
    home.make()
    clock = clock or SystemClock()
    database = Database(database_url(settings, home), schema=settings.text("database.schema"))
    with _closed_on_refusal(database):
        emptied.refuse_no_tables(database, settings, home)
        with faults.spoken():
            at = schema.examine(database)
        system = System(settings, clock, database)
        bind_keys(system, keys)
        bind_memories(system, home)
        system.bind(Recorder, audit.append)
        system.bind(Revocation, identity.check_under_way)
        bind_places(system)
        system.bind(ObjectStore, FolderStore(home.objects))
        system.bind(Ground, machine(settings, home))
        system.bind(Proxy, envoy())
        if judging and at is not None:
            memories.readable(system, home)
            machines.hold(system)
        with faults.spoken():
            schema.prepare(database, partial(audit.recognise, system) if judging else None, known_at=at)
    return system


@contextmanager
def _closed_on_refusal(database: Database) -> Iterator[None]:
    """Close the database if what follows refuses, for nobody else will: the caller gets no system."""
    try:
        yield
    except BaseException:
        database.close()
        raise


def envoy() -> Envoy:
    """Return the proxy driver over the Envoy of its wheel."""
    return Envoy()


def machine(settings: Settings, home: Home) -> ThisMachine:
    """Return what this machine offers to runs, knowing what of the server's own none of them may be shown."""
    configuration = written.configuration_folder(os.environ)
    kept = [configuration / "weighthouse" / "config.toml"] if configuration else []
    url = make_url(database_url(settings, home))
    file = [Path(url.database)] if url.get_backend_name() == "sqlite" and url.database else []
    private = (home.root, home.sockets, *kept, *file)
    return ThisMachine(settings, private, rooms=home.rooms())


def bind_keys(system: System, keys: SealedKeys) -> None:
    """Bind the sealed hierarchy as the key service and as the signers of every purpose."""
    system.bind(Signers, keys)
    system.bind(KeyService, keys)


def bind_places(system: System) -> None:
    """Bind the facts about addresses, and the address this server is known by; refuse proxies that make no sense."""
    identity.networks(system.settings.text("identity.trusted_proxies"))
    system.bind(Site, Site(origin(system.settings)))
    table = system.settings.text("identity.places_csv")
    system.bind(Places, TablePlaces(Path(table) if table else None))


def bind_memories(system: System, home: Home) -> None:
    """Bind what the database must not be able to undo, each a file of its own beside it."""
    system.bind(SignerMemory, FileSignerMemory(home.memory / "log"))
    system.bind(LineMemory, FileLines(home.memory / "lines"))
    policy_file = system.settings.text("log.witnesses")
    system.bind(Witnesses, PolicyWitnesses(Path(policy_file) if policy_file else None))
    system.bind(PolicyMemory, FilePolicyMemory(home.memory / "policy"))
    system.bind(Refusals, FileRefusals(home.memory / "refusals"))
    system.bind(Books, FileBooks(home.memory / "egress"))
    memory = FileMemory(home.memory / "identity", now=system.clock.now())
    system.bind(Memory, memory)
