"""Where the passphrase of the key file comes from. Guards it from command lines, environments and logs.

A file of mode 0600 (such as a systemd credential), else the operating system's keyring if the settings say so, else
the terminal. Never an argument, never an environment variable: both can be read by other processes of the same user,
and end up in logs.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path

from weighthouse.core.errors import Unavailable
from weighthouse.keys.adapters import os_keyring


def read_passphrase(
    file: str, keyring_of: Path | None = None, *, prompt: str = "Passphrase of the key file: "
) -> str:
    """Return the passphrase; raise `keys.passphrase_source` when there is none, or its file is open to others.

    `keyring_of` is the state folder whose passphrase the operating system's keyring holds (`keys.keyring` if not).
    """
    path = file or _credential()
    if path:
        return _from_file(Path(path))
    if keyring_of is not None:
        return os_keyring.recall(keyring_of)
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    raise _no_source("There is no terminal to ask on and no passphrase file is set.")


def _credential() -> str:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(folder) / "weighthouse.passphrase"
    return str(path) if folder and path.exists() else ""


def _from_file(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _no_source(f"The passphrase file {path} cannot be read: {error.strerror}.") from None
    with os.fdopen(descriptor, "r", encoding="utf-8") as opened:
        if os.fstat(opened.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _no_source(f"The passphrase file {path} can be read by others.")
        return opened.readline(1024).rstrip("\n")


def _no_source(why: str) -> Unavailable:
    return Unavailable(
        "keys.passphrase_source", why, "Set keys.passphrase_file to a file of mode 0600, or start on a terminal."
    )
