"""The state folder: where everything that outlives the process lies. Guards it from other users of the machine.

What the database must not be able to undo (memories, ended grants, sealed keys) lies beside it in files of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from weighthouse.app.lock import StateLock
from weighthouse.core.errors import Invalid, Unavailable
from weighthouse.core.settings import Settings

SOCKET_LIMIT = 60  # of the 107 bytes that a Unix socket's path may have (unix(7)); proxies add folders of their own


class Home:
    """Names of the files and folders below one state folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.settings_file = self.root / "weighthouse.toml"
        self.lab_file = self.root / "lab.yaml"
        self.keys = "keys"
        self.keys_file = self.root / self.keys / "sealed.json"
        self.memory = self.root / "memory"
        self.objects = self.root / "objects"
        self.runs = self.root / "runs"
        self.database_file = self.root / "weighthouse.db"
        self.lock = StateLock(self.root)

    @property
    def sockets(self) -> Path:
        """The folder of the broker's socket: here, or a private short one when that path is too long."""
        inside = self.root / "sockets"
        short = "weighthouse-" + hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        places = [inside, *(place / short for place in _temporary())]
        return next((place for place in places if len(os.fsencode(place)) <= SOCKET_LIMIT), places[-1])

    def make(self) -> None:
        """Make the folders, readable by their owner alone; one of somebody else's is refused."""
        self._own(self.root, self.keys_file.parent, self.memory, self.objects, self.runs)

    def make_sockets(self) -> None:
        """Make the folder of the sockets, which may lie outside; only who serves needs it, and removes it again."""
        try:
            self._own(self.sockets)
        except OSError as error:
            raise Unavailable(
                "app.no_sockets",
                f"The sockets' folder {self.sockets} cannot be made: {error.strerror}.",
                "Choose a state folder whose path is short, or set TMPDIR to a short folder that you may write to.",
            ) from None

    def _own(self, *folders: Path) -> None:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.is_symlink() or folder.stat().st_uid != self.root.stat().st_uid:
                raise Invalid(
                    "app.foreign_folder",
                    f"{folder} belongs to somebody else, or is a link.",
                    "Remove it, or choose another state folder with --state.",
                )
            folder.chmod(0o700)

    def forget_sockets(self) -> None:
        """Remove the folder of the sockets where it lies outside the state folder; what is in use stays."""
        if not self.sockets.is_relative_to(self.root):
            with contextlib.suppress(OSError):
                (self.sockets / "w").rmdir()
            with contextlib.suppress(OSError):
                self.sockets.rmdir()

    def rooms(self) -> tuple[Path, ...]:
        """The folders of which no run is ever shown a part but by descriptor."""
        return (self.keys_file.parent, self.memory, self.objects, self.runs, self.sockets)

    def places(self) -> tuple[Path, ...]:
        """Everything that a system consists of but its settings, which an operator may write first."""
        database = (self.database_file, *(Path(f"{self.database_file}{rest}") for rest in ("-wal", "-shm")))
        return (self.lab_file, self.keys_file.parent, self.memory, self.objects, self.runs, *database)

    def exists(self) -> bool:
        """Whether a system is here, whole: its keys come last (app/draft.py)."""
        return self.keys_file.exists()


def _temporary() -> tuple[Path, ...]:
    """Folders for what must have a short path; there may be none to write to."""
    try:
        return (Path(tempfile.gettempdir()), Path("/tmp"))  # noqa: S108 - the owner of what is made there is checked
    except OSError:
        return (Path("/tmp"),)  # noqa: S108


def database_url(settings: Settings, home: Home) -> str:
    """Return the database's address: the setting, or the file in the state folder."""
    return settings.text("database.url") or f"sqlite:///{home.database_file}"
