"""Reading what a person wrote: settings and labs. Guards against a file that says other things than were meant.

It is UTF-8 whatever the locale says, line ends are left as they are, and what is not (UTF-16, Latin-1, a byte-order
mark) is refused by name instead of being guessed. A pipe never holds up a start.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from weighthouse.core.errors import Invalid

MOST = 16 << 20
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
    (codecs.BOM_UTF8, "UTF-8 with a byte-order mark"),
)


def read_text(path: Path) -> str:
    """Return a file's text; raises `core.unreadable_file` and `core.not_utf8`."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    if len(data) > MOST:
        raise _unreadable(path, f"it is larger than {MOST >> 20} MiB")
    return _decoded(path, data)


def read_settings(path: Path) -> str | None:
    """Return a settings file's text, None if there is none; one that is no plain file of ours is not believed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise _unreadable(path, "it is not a plain file")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_mode & stat.S_IWOTH or (os.geteuid() and found.st_uid not in (0, os.geteuid())):
            raise Invalid(
                "core.planted_settings",
                f"{path} belongs to somebody else or can be written by everybody, so its settings are not believed.",
                "Look at what it says; then give it to the user who starts the server, with mode 0644, or remove it.",
            )
        try:
            return _decoded(path, file.read(MOST))
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from None


def configuration_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder of this person's configuration, None where nobody knows a home.

    Relative values are not believed (XDG base directory specification): they would mean the working directory.
    """
    chosen = environ.get("XDG_CONFIG_HOME", "")
    if chosen.startswith("/"):
        return Path(chosen)
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        import pwd

        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:  # a container's user that no one has named
            return None
    return Path(home) / ".config" if home.startswith("/") else None


def _unreadable(path: Path, why: str) -> Invalid:
    return Invalid(
        "core.unreadable_file", f"{path} cannot be read: {why}.", "Check the path and who may read it, and try again."
    )


def _decoded(path: Path, data: bytes) -> str:
    found = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if not found and b"\0" in data:
        found = "UTF-16 or no text at all"
    if found:
        raise _not_utf8(path, f"is {found}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _not_utf8(path, f"has a byte in line {line} that is not UTF-8 (Latin-1, perhaps)") from None


def _not_utf8(path: Path, what: str) -> Invalid:
    return Invalid(
        "core.not_utf8", f"{path} {what}.", "Save it as UTF-8 without a byte-order mark; nothing of it was used."
    )
