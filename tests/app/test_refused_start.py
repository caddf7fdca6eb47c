"""A start that is refused has migrated nothing: the version that wrote the database can still be started on it.

Each state folder was made by an older version. What stands in the way differs; the schema's revision does not.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.test_upgrade import STATES, Kept
from weighthouse.app import declared, schema
from weighthouse.app.demo.stage import PASSPHRASE
from weighthouse.app.wiring import open_system
from weighthouse.cli import exits
from weighthouse.core.clock import SECOND
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.settings import Settings
from weighthouse.keys.adapters.embedded import SealedKeys

OLD = [path for path in STATES if path.name.startswith("schema-0002")]


def revision(kept: Kept) -> str | None:
    database = Database(f"sqlite:///{kept.home.database_file}")
    try:
        return schema.current(database)
    finally:
        database.close()


def sql(kept: Kept, statement: str) -> None:
    database = Database(f"sqlite:///{kept.home.database_file}")
    with database.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    database.close()


def lose(name: str) -> Callable[[Kept], None]:
    return lambda kept: (kept.home.memory / name).unlink()


def spoil(name: str) -> Callable[[Kept], None]:
    def spoilt(kept: Kept) -> None:
        (kept.home.memory / name).write_bytes(b"\x00 no memory of ours\n")

    return spoilt


WAYS: dict[str, tuple[Callable[[Kept], None], dict[str, object], str]] = {
    "a foreign table": (lambda kept: sql(kept, "CREATE TABLE quiet (one INTEGER)"), {}, "app.foreign_schema"),
    "a log set back": (
        lambda kept: sql(kept, "UPDATE log_head SET size = size - 1"),
        {},
        "audit.tampered",
    ),
    "no signed head": (lambda kept: sql(kept, "DELETE FROM log_head"), {}, "audit.tampered"),
    "a log memory that is lost": (lose("log"), {}, "audit.memory_missing"),
    "a memory that cannot be read": (spoil("identity"), {}, "identity.memory_broken"),
    "refusals that cannot be read": (spoil("refusals"), {}, "access."),
    "proxies that are none": (lambda _: None, {"identity.trusted_proxies": "nonsense"}, "identity."),
    "no table of places": (lambda _: None, {"identity.places_csv": "/nowhere.csv"}, ""),
    "another machine": (
        lambda kept: sql(
            kept,
            "INSERT OR REPLACE INTO core_lease (name, holder, fencing, expires) "
            f"VALUES ('machine', 'another', 9, {kept.clock.now() + 20 * SECOND})",
        ),
        {},
        "core.other_machine",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_start_has_migrated_nothing(way: str, tmp_path: Path) -> None:
    kept = Kept(OLD[0], tmp_path)
    prepare, flags, code = WAYS[way]
    prepare(kept)
    keys = SealedKeys.open(kept.home.keys_file, PASSPHRASE)
    settings = Settings(declared.settings(), flags={"state": kept.home.root, "mode": "demo", **flags})
    with pytest.raises(WeighthouseError) as refusal:
        open_system(settings, kept.home, keys, kept.clock)
    assert refusal.value.code.startswith(code), refusal.value.code
    assert revision(kept) == "0002"


@pytest.mark.parametrize(("way", "status"), [("port", exits.UNREACHABLE), ("passphrase", exits.KEYS_CLOSED)])
def test_serve_says_what_is_in_the_way_before_it_migrates(way: str, status: int, tmp_path: Path) -> None:
    kept = Kept(OLD[0], tmp_path)
    passphrase = tmp_path / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(PASSPHRASE if way == "port" else "another one")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1]) if way == "port" else "0"
        chosen = ["--state", str(kept.home.root), "--passphrase-file", str(passphrase), "--port", port]
        # In a process of its own: a server keeps its memory private and writes its log to standard error.
        command = [sys.executable, "-m", "weighthouse.cli", "serve", *chosen]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stderr
    assert re.search(r"Code: (app\.cannot_listen|keys\.passphrase)", done.stderr)
    assert revision(kept) == "0002"


def test_the_same_folder_is_migrated_when_nothing_is_in_the_way(tmp_path: Path) -> None:
    kept = Kept(OLD[0], tmp_path)
    system = kept.open()
    assert schema.current(system.database) != "0002"
    system.database.close()
