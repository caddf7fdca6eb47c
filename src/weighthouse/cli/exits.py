"""Exit codes, and how an error is told. Guards scripts from taking a refusal for success, people from tracebacks.

The codes are an interface: they are documented in docs/reference/cli.md and never change meaning.
"""

from __future__ import annotations

import os
import traceback

import click

from weighthouse.cli.words import clean

OK = 0
REFUSED = 1
USAGE = 2
SIGN_IN = 3
UNREACHABLE = 4
CONFLICT = 5
CHECK_FAILED = 6
NO_SYSTEM = 7
KEYS_CLOSED = 8
INTERRUPTED = 130

MEANING = {
    OK: "Done.",
    REFUSED: "Refused: the server said no, or what was sent does not fit.",
    USAGE: "The command line itself is wrong.",
    SIGN_IN: "Not signed in, or a fresh second factor is needed (`weighthouse login`).",
    UNREACHABLE: "The server cannot be reached, or a part of it is down, so the answer is no.",
    CONFLICT: "Somebody was first, or the step is not possible now.",
    CHECK_FAILED: "The command worked, and what it checked is not in order: a broken log, a missed attack.",
    NO_SYSTEM: "On this machine: no system in the state folder, a half one, or no room for one.",
    KEYS_CLOSED: "On this machine: the key file does not open. A wrong passphrase, none, or no key file.",
    INTERRUPTED: "Stopped from the keyboard.",
}

_BY_STATUS = {401: SIGN_IN, 409: CONFLICT, 502: UNREACHABLE, 503: UNREACHABLE, 504: UNREACHABLE}
_BY_KIND = {"unauthenticated": SIGN_IN, "conflict": CONFLICT, "unavailable": UNREACHABLE}
_HERE = {
    **dict.fromkeys(("app.no_state", "app.half_state", "app.no_room", "app.no_lock", "app.no_sockets"), NO_SYSTEM),
    **dict.fromkeys(("core.no_space", "core.disk_unusable"), NO_SYSTEM),
    **dict.fromkeys(("keys.passphrase", "keys.passphrase_source", "keys.no_file", "keys.bad_file"), KEYS_CLOSED),
    **dict.fromkeys(("keys.file_mode", "keys.rolled_back"), KEYS_CLOSED),
    "keys.keyring": KEYS_CLOSED,
}
_UNREACHABLE = frozenset({"sdk.unreachable", "client.unreachable"})


def code_of(error: BaseException) -> int:
    """Return the exit code for an error of the server, the SDK or this program."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status:
        return _BY_STATUS.get(status, REFUSED)
    code = str(getattr(error, "code", ""))
    if code in _UNREACHABLE or code.endswith(".unreachable"):
        return UNREACHABLE
    if code in _HERE:
        return _HERE[code]
    if code.endswith(".not_signed_in"):
        return SIGN_IN
    return _BY_KIND.get(str(getattr(error, "kind", "")), REFUSED)


def explain(error: Exception) -> int:
    """Print message, remedy and code of an error to standard error and return its exit code."""
    if getattr(error, "code", None) is None:
        from weighthouse.core import disk

        error = disk.explained(error) or error
    message, remedy, code = (getattr(error, name, None) for name in ("message", "remedy", "code"))
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}."
        remedy, code = "Check the path, what it allows, and the room on the disk.", "cli.file"
    elif message is None or code is None:
        if os.environ.get("WEIGHTHOUSE_TRACEBACK"):
            traceback.print_exception(error)
        message = f"This program met an error that it did not foresee: {type(error).__name__}: {error}"
        remedy = "Please report it; WEIGHTHOUSE_TRACEBACK=1 shows where it happened."
        code = "cli.internal"
    click.echo(click.style("No: ", fg="red", bold=True) + clean(str(message)), err=True)
    details = getattr(error, "details", None)
    for name, value in (details or {}).items():
        if name == "step_up":  # for programs; the remedy says it in words
            continue
        click.echo(f"  {clean(str(name)).replace('_', ' ')}: {clean(str(value))}", err=True)
    if remedy:
        click.echo(f"  What to do: {clean(str(remedy))}", err=True)
    click.echo(click.style(f"  Code: {clean(str(code))}", dim=True), err=True)
    return code_of(error)
