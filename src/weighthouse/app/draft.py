"""A state folder that is made whole or not at all. Guards a system from being served half-made, or refused for ever.

Everything is made in a folder aside, inside the state folder, so that a mount point or a folder whose parent belongs
to somebody else will do. It is then flushed and moved into its place name by name, the keys last: a folder that has
keys is complete. What a killed `init` has left is known by the list of what it was about to move, and by its token in
a database outside; the next `init` removes it. What it did not make it never removes.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from sqlalchemy import Table, inspect

from weighthouse.app import routers
from weighthouse.app.home import Home, database_url
from weighthouse.audit import api as audit
from weighthouse.core import faults, jobs, store
from weighthouse.core.clock import DAY
from weighthouse.core.database import Database, metadata
from weighthouse.core.errors import Conflict
from weighthouse.core.settings import Settings
from weighthouse.core.work import System, begin

NAME = ".making"
OURS = 0o755
_MOVES, _TOKEN = "moves", "token"
_MARK = "init"


class Draft:
    """The system being made in `home`, whose lock the caller holds."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.folder = home.root / NAME
        self.inside = Home(self.folder / "state")

    def begin(self, settings: Settings, lab: str) -> None:
        """Remove what a killed `init` left, refuse a folder that holds something else, and start afresh."""
        self.clear(settings)
        self._check_empty(lab)
        self.folder.mkdir(mode=0o700)
        _write(self.folder / _TOKEN, secrets.token_hex(16))
        self.inside.make()
        if not self.home.lab_file.exists():
            self.inside.lab_file.write_bytes(lab.encode())

    def claim(self, system: System) -> None:
        """Mark an empty database as being made by this draft; raise `app.database_in_use` if it is not empty."""
        with begin(system) as unit:
            kept = audit.head(unit).size or audit.backlog(unit).waiting
            if kept or jobs.acquire(unit, _MARK, self._token(), DAY) is None:
                raise Conflict(
                    "app.database_in_use",
                    "The database already holds another system, or one that is being made, whose keys are not here.",
                    "Name an empty database in database.url, or start the state folder that goes with this one.",
                )

    def finish(self) -> None:
        """Flush everything and move it into its place; when this returns the system is there, and stays."""
        names = sorted((path.name for path in self.inside.root.iterdir()), key=lambda name: name == self.home.keys)
        _write(self.folder / _MOVES, "\n".join(names))
        for path in sorted(self.inside.root.rglob("*"), reverse=True):
            path.chmod(path.stat().st_mode & OURS)  # whatever the umask is: nobody else writes what a server believes
            _flush(path)
        for name in names:
            if name == self.home.keys:
                _flush(self.home.root)  # the others are there before the keys are, also after a power cut
            (self.inside.root / name).rename(self.home.root / name)
        _flush(self.home.root)
        self.sweep()

    def sweep(self) -> None:
        """Remove the folder aside, and nothing else: for a system that is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self, settings: Settings) -> None:
        """Remove what a draft left in the folder and in the database; nothing where there was none."""
        if self.home.exists() or not self.folder.exists():
            return
        self._clear_database(settings)
        moves = self.folder / _MOVES
        for name in moves.read_text("utf-8").split("\n") if moves.exists() else ():
            if name and "/" not in name and not (self.inside.root / name).exists():
                _remove(self.home.root / name)
        shutil.rmtree(self.folder)

    def _token(self) -> str:
        path = self.folder / _TOKEN
        return path.read_text("utf-8") if path.exists() else ""

    def _clear_database(self, settings: Settings) -> None:
        """Drop our tables from a database outside if the draft's mark is in it, and only then."""
        if not settings.text("database.url") or not self._token():
            return
        database = Database(database_url(settings, self.home), schema=settings.text("database.schema"))
        try:
            with faults.spoken(), database.engine.begin() as connection:
                if not inspect(connection).has_table("core_lease"):
                    return
                lease = store.read_lease(connection, _MARK, lock=False)
                if lease is not None and lease[0] == self._token():
                    routers.every()  # every room's tables are declared by then
                    metadata.drop_all(connection)
                    Table("alembic_version", metadata.__class__()).drop(connection, checkfirst=True)
        finally:
            database.close()

    def _check_empty(self, lab: str) -> None:
        """Refuse a folder with a part of a system in it; this lab, settings and empty folders may be there."""
        for path in self.home.places():
            if path == self.home.lab_file and path.is_file() and path.read_bytes() == lab.encode():
                continue
            if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
                path.rmdir()
            elif path.exists() or path.is_symlink():
                raise Conflict(
                    "app.not_empty",
                    f"{path} is there, but {self.home.root} holds no keys, so it is no system and no empty folder.",
                    "If its keys were lost, restore them from a backup; else choose another folder with --state.",
                )


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    _flush(path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
