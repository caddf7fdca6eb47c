"""The database of a kept folder is never a new one. Guards a lab from going on with nothing.

A forgotten WEIGHTHOUSE_DATABASE_URL, a volume that is not mounted or a lost file once made a new database in silence,
and the fork ceremony accepted it: every model, grant and line was gone by two commands.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from weighthouse.app import schema
from weighthouse.app.home import Home, database_url
from weighthouse.core import faults
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.settings import Settings


def known(home: Home) -> bool:
    """Whether this folder remembers anything of a database: its memories begin with one."""
    return home.memory.is_dir() and any(one.is_file() for one in home.memory.iterdir())


def refuse_no_file(settings: Settings, home: Home) -> None:
    """Raise `app.database_empty` if SQLite would make the file that a kept folder's database should be."""
    try:
        url = make_url(database_url(settings, home))
    except ArgumentError:
        return  # whoever opens it says so
    if url.get_backend_name() != "sqlite" or not url.database or not known(home):
        return
    file = Path(url.database)
    if file.parent.is_dir() and (not file.exists() or not file.stat().st_size):
        raise refusal(settings, home)


def refuse_no_tables(database: Database, settings: Settings, home: Home) -> None:
    """Raise `app.database_empty` if none of our migrations ever ran in the database of a kept folder."""
    if known(home):
        with faults.spoken():
            empty = schema.current(database) is None
        if empty:
            raise refusal(settings, home)


def refusal(settings: Settings, home: Home) -> Unavailable:
    """The refusal that names the database, without its password."""
    return Unavailable(
        "app.database_empty",
        f"The database {shown(settings, home)} is empty or new, but {home.root} belongs to one that is not.",
        "Name the right one in WEIGHTHOUSE_DATABASE_URL or database.url (and database.schema), or restore its "
        "backup; nothing was made in it.",
    )


def shown(settings: Settings, home: Home) -> str:
    """The address of the database without any secret: what is written down, and what a refusal says."""
    url = make_url(database_url(settings, home))
    secret = [name for name in url.query if "password" in name.lower()]
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, url.query)
    return bare.difference_update_query(secret).render_as_string(hide_password=False)
