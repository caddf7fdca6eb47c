"""What is wrong with the database, each mistake in words of its own. Guards operators from "an error not foreseen".

The database's own codes are asked first (SQLSTATE, SQLite's result codes); its words only where it refuses before it
has any. Whatever is not known is still a no: nothing is answered without the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from weighthouse.core.errors import Invalid, Unavailable, WeighthouseError

Fault = tuple[str, str]

FULL = ("is full", "Free space on its volume; nothing was half-written.")
DAMAGED = ("is damaged", "Restore it from a good backup; the next start says what that lacks of the log.")
NO_FILE = ("is damaged: its file is no SQLite database", "Restore it from a good backup, or name another file.")
READ_ONLY = (
    "takes no changes: it is read-only, or a replica",
    "Point database.url at the primary, and make its volume writable.",
)
BUSY = ("is busy beyond its deadline", "Try again; nothing was changed.")
PASSWORD = ("refuses the user or the password", "Correct them in database.url, or let the user in (pg_hba.conf).")
NO_DATABASE = ("is not there: the server has none of that name", "Make it, or correct the name in database.url.")
NO_HOST = ("cannot be found: nobody knows its host", "Correct the host in database.url.")
REFUSED = ("did not answer: nothing listens at its address", "Start it, or correct host and port in database.url.")
TLS = (
    "cannot be reached over TLS as database.url demands",
    "Look at sslmode and sslrootcert in database.url, and at the certificate of the database server.",
)
NOT_ALLOWED = (
    "allows its user too little",
    "Make the user the owner of the schema: GRANT USAGE, CREATE ON SCHEMA … TO …, or ALTER SCHEMA … OWNER TO ….",
)
NO_SCHEMA = ("has no schema of that name", "Make it, or correct database.schema.")
TOO_MANY = ("has no connection left", "Raise max_connections there or use fewer clients; nothing was changed.")
STARTING = ("is starting or stopping", "Try again in a moment; nothing was changed.")
POOLER = (
    "lies behind a pooler that refuses us",
    "Let the pooler pool sessions, and let the user and the database in; its log says which it refused.",
)
SHARED = (
    "lies behind a pooler that hands one connection to many clients, so what is set for a session is lost",
    "Let the pooler pool sessions, or connect to the database itself: PgBouncer's pool_mode = session.",
)
NO_PLACE = ("cannot be opened: its file or folder is not there, or not ours", "Correct the path in database.url.")
DISK = ("cannot be read from its disk, or written to it", "Look at the disk and its room; restore a good backup.")
SILENT = ("did not answer in time, and its connection was given up", "Look why it hangs.")
AWAY = ("did not answer", "Check that it runs and is reachable.")

_STATES: dict[str, Fault] = {
    "28P01": PASSWORD,
    "28000": PASSWORD,
    "3D000": NO_DATABASE,
    "3F000": NO_SCHEMA,
    "42501": NOT_ALLOWED,
    "25006": READ_ONLY,
    "26000": SHARED,  # a prepared statement that another connection has, and this one has not
    "42P05": SHARED,
    "40001": BUSY,
    "40P01": BUSY,
    "55P03": BUSY,
    "57014": BUSY,
    "53100": FULL,
    "53300": TOO_MANY,
    "57P03": STARTING,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
_DISK_RESULT = 10  # SQLITE_IOERR
_RESULTS: dict[int, Fault] = {
    3: NO_PLACE,
    5: BUSY,
    6: BUSY,
    8: READ_ONLY,
    _DISK_RESULT: DISK,
    11: DAMAGED,
    13: FULL,
    14: NO_PLACE,
    26: NO_FILE,
}
# What libpq and poolers say while a connection is being made, when there is no code yet.
_WORDS: tuple[tuple[str, Fault], ...] = (
    (r"deadline of this client", SILENT),
    (r"unsupported startup parameter|query_wait_timeout|pgbouncer|no such user", POOLER),
    (r"password|authentication|pg_hba\.conf|role \".*\" does not exist|role .* is not permitted", PASSWORD),
    (r"too many (clients|connections)|connection slots", TOO_MANY),
    (r"database \".*\" does not exist|no such database", NO_DATABASE),
    (r"starting up|shutting down|in recovery mode", STARTING),
    (r"certificate|ssl|tls", TLS),
    (r"resolve host|translate host|name or service not known", NO_HOST),
    (r"connection refused|no such file or directory|is the server running", REFUSED),
    (r"timeout|timed out", SILENT),
)
_DEFECTS = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
"""What a statement of our own can be at fault for, unless the code says otherwise."""


def fault(error: BaseException) -> Fault | None:
    """Return what is wrong, None where a statement of our own is at fault."""
    if isinstance(error, PoolTimeout):
        return BUSY
    cause: Any = getattr(error, "orig", None) or error
    known = _STATES.get(getattr(cause, "sqlstate", None) or "")
    known = known or _RESULTS.get((getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF)
    if known is not None:
        return known
    if isinstance(error, _DEFECTS):
        return None
    text = str(cause).lower()
    return next((found for words, found in _WORDS if re.search(words, text)), AWAY)


UNAVAILABLE = "core.database_unavailable"


def refusal(found: Fault) -> Unavailable:
    """Return the refusal that says what is wrong."""
    return Unavailable(UNAVAILABLE, f"The database {found[0]}, so the answer is no.", found[1])


def in_doubt(error: BaseException) -> bool:
    """Whether a commit that failed like this may have happened: the database was lost before it said yes or no.

    A server that still answers has said no. A disk that fails under SQLite's commit may show it after a restart.
    """
    cause: Any = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or ""
    lost = bool(getattr(error, "connection_invalidated", False)) or state.startswith("08") or state == "40003"
    return lost or (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF == _DISK_RESULT


def unknown(found: Fault | None) -> Unavailable:
    """Return what is said where nobody can say whether a commit happened: never that nothing was changed."""
    return Unavailable(
        "core.outcome_unknown",
        f"The database {(found or AWAY)[0]} while it was to make the change durable, so whether the change "
        "happened is not known.",
        "Look whether it happened before you repeat it; a program repeats it with the same Idempotency-Key.",
    )


def explained(error: DBAPIError | PoolTimeout) -> WeighthouseError | None:
    """Return the refusal that says what is wrong, None where a statement of our own is at fault."""
    found = fault(error)
    if found is None:
        return None
    return refusal(found)


@contextmanager
def spoken() -> Iterator[None]:
    """Run what asks the database outside of a unit, so that its failures are explained all the same."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        told = explained(error)
        if told is None:
            raise
        raise told from error
    except ArgumentError:
        raise Invalid(
            "core.bad_database",
            "The setting database.url is no address of a database.",
            "Use a sqlite:/// or a postgresql+psycopg:// address.",
        ) from None
