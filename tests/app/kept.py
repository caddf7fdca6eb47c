"""A kept state folder and the ceremony over it, for tests that set its database back or move it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from weighthouse.access import api as access
from weighthouse.app.initialise import initialise, load_settings, reopen
from weighthouse.audit import api as audit
from weighthouse.cli import main
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import System, begin, read

PASSPHRASE = "a passphrase for tests only"
REASON = "disk lost, last backup restored; decided by Dee and Chi"


class State:
    """A kept state folder whose database can be set back, and the ceremony as an operator types it."""

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str] | None = None
    ) -> None:
        self.root, self._patch, self._capsys = folder / "state", patch, capsys
        patch.setenv("WEIGHTHOUSE_KEYS_SCRYPT_COST", "1024")
        self.passphrase = folder / "passphrase"
        self.passphrase.touch(mode=0o600)
        self.passphrase.write_text(PASSPHRASE)
        settings, home = load_settings({"mode": "development"}, state=self.root)
        initialise(settings, home, PASSPHRASE).database.close()
        self.database = home.database_file
        self.backup = folder / "backup.db"

    def opened(self) -> System:
        settings, home = load_settings({}, state=self.root)
        return reopen(settings, home, PASSPHRASE)

    def grow(self) -> int:
        """Write one more entry; return the size of the log."""
        system = self.opened()
        with begin(system, SYSTEM) as unit:
            access.place_hold(unit, SYSTEM, "model/tern", "One entry more.")
        with read(system) as unit:
            size = audit.head(unit).size
        system.database.close()
        return size

    def restore(self) -> None:
        shutil.copyfile(self.backup, self.database)
        for rest in ("-wal", "-shm"):
            self.database.with_name(self.database.name + rest).unlink(missing_ok=True)

    def printed(self) -> str:
        assert self._capsys is not None
        return self._capsys.readouterr().out

    def ceremony(self, *arguments: str, typed: str = "") -> tuple[int, str]:
        assert self._capsys is not None
        self._patch.setattr("click.termui.visible_prompt_func", self._typing(typed))
        self._capsys.readouterr()
        state = ["--state", str(self.root), "--passphrase-file", str(self.passphrase)]
        status = main.run(["audit", "accept-fork", *state, *arguments])
        told = self._capsys.readouterr()
        return status, told.out + told.err

    @staticmethod
    def _typing(lines: str) -> Callable[[str], str]:
        left = iter(lines.splitlines())
        return lambda _prompt: next(left)
