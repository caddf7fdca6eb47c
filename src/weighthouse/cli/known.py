"""Which key and which log belong to which server. Guards what is signed at one server from counting at another.

Every server gets a key of its own, and the log that it had when somebody first signed in there is remembered: another
one at the same address is not signed for until its mark was read out by somebody who knows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from weighthouse.cli.show import say
from weighthouse.core.errors import Conflict

LOGS = "logs.json"


def key_file(folder: Path, server: str) -> Path:
    """Return where the key for `server` lies: named after its host, and told apart by its whole address."""
    host = re.sub(r"[^a-z0-9.-]", "_", (urlsplit(server).hostname or "").lower())[:60]
    return folder / f"device-{host}-{hashlib.sha256(_address(server).encode()).hexdigest()[:12]}.pem"


def own_key(folder: Path, server: str, signed_in: Collection[str]) -> Path:
    """Return the file of the key for `server`; the one key of earlier versions goes to the server it was used at.

    Raises `cli.key_shared` where it was used at several, for only its owner knows where it is enrolled.
    """
    own, one = key_file(folder, server), folder / "device.pem"
    if own.exists() or not one.exists():
        return own
    used = {_address(name) for name in signed_in}
    if used - {_address(server)}:
        if _address(server) not in used:
            return own  # a server that never saw the old key gets a new one
        raise Conflict(
            "cli.key_shared",
            f"{one} was used at several servers, and a key is for one: {', '.join(sorted(used))}.",
            f"Rename it to {own.name} if it is enrolled at {server}, else to what the other server's command "
            "says; where it is not, sign in again with a key of its own.",
        )
    try:
        one.rename(own)
    except FileNotFoundError:  # another command of this moment has moved it
        return own
    say(f"{one} is the key for {server} from now on; it lies in {own}.")
    return own


def log_of(folder: Path, server: str) -> str:
    """Return the mark of the log that `server` is known to have; empty before anybody signed in there."""
    return str(logs(folder).get(_address(server), ""))


def logs(folder: Path) -> dict[str, str]:
    """Return the logs known, by server. A broken file is an error: without it another server could step in."""
    try:
        kept = json.loads((folder / LOGS).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise _broken(folder, str(error)) from None
    if not isinstance(kept, dict):
        raise _broken(folder, "it is no list of servers")
    return {str(server): str(log) for server, log in kept.items()}


def with_log(folder: Path, server: str, log: str) -> dict[str, str]:
    """Return the logs known, with that of `server`."""
    return {**logs(folder), _address(server): log}


def _broken(folder: Path, why: str) -> Conflict:
    return Conflict(
        "cli.bad_logs_file",
        f"{folder / LOGS} cannot be read: {why}.",
        "Remove it, and give `weighthouse login --log MARK` the mark that an operator reads to you.",
    )


def _address(server: str) -> str:
    from weighthouse_sdk.client.audience import plain

    return plain(server)
