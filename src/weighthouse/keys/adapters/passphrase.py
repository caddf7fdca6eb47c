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
from weighthouse.keys.adapters.passphrase_text import BOM, MAX_CHARACTERS

_MOST = 4 * MAX_CHARACTERS + 16
"""Bytes that are read: more than the longest passphrase in UTF-8, its mark and its line's end."""


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
    """The first line of a private file, strictly UTF-8; a byte order mark and the line's end are not part of it."""
    try:
        # Without O_NONBLOCK a pipe that nobody writes to would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _no_source(f"The passphrase file {path} is no regular file.")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _no_source(f"The passphrase file {path} can be read by others.", f"Type: chmod 600 {path}")
        line = os.read(descriptor, _MOST).split(b"\n")[0]
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(descriptor)
    return _checked(path, line)


def _checked(path: Path, line: bytes) -> str:
    try:
        text = line.decode().removeprefix(BOM).rstrip("\r")
    except UnicodeDecodeError:
        raise _no_source(f"The first line of the passphrase file {path} is not UTF-8.") from None
    if not text:
        raise _no_source(f"The first line of the passphrase file {path} is empty.")
    if len(text) > MAX_CHARACTERS or len(line) == _MOST:
        why = f"The first line of the passphrase file {path} has more than {MAX_CHARACTERS} characters."
        raise _no_source(why, f"Use a shorter one. A key file made with it takes its first {MAX_CHARACTERS}.")
    return text


def _unreadable(path: Path, error: OSError) -> Unavailable:
    return _no_source(f"The passphrase file {path} cannot be read: {error.strerror}.")


def _no_source(
    why: str, remedy: str = "Set keys.passphrase_file to a file of mode 0600, or start on a terminal."
) -> Unavailable:
    return Unavailable("keys.passphrase_source", why, remedy)
