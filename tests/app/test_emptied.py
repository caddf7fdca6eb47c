"""A kept folder whose database is new or empty is refused, and nothing is made: a forgotten setting loses no lab."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.app.kept import PASSPHRASE, REASON
from weighthouse.app import ceremony, emptied, initialise
from weighthouse.app.home import Home
from weighthouse.core.errors import Unavailable, WeighthouseError

SETTING = "WEIGHTHOUSE_DATABASE_URL"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kept folder at `state`, made with its database named by the environment: here."""
    monkeypatch.setenv("WEIGHTHOUSE_KEYS_SCRYPT_COST", "1024")
    file = tmp_path / "volume" / "lab.db"
    file.parent.mkdir()
    monkeypatch.setenv(SETTING, f"sqlite:///{file}")
    settings, home = initialise.load_settings({"mode": "development"}, state=tmp_path / "state")
    initialise.initialise(settings, home, PASSPHRASE).database.close()
    monkeypatch.delenv(SETTING)
    return file


def opened(state: Path) -> str:
    settings, home = initialise.load_settings({}, state=state)
    try:
        initialise.reopen(settings, home, PASSPHRASE).database.close()
    except WeighthouseError as refusal:
        return refusal.code
    return ""


def test_init_writes_down_which_database_it_filled(elsewhere: Path, tmp_path: Path) -> None:
    assert opened(tmp_path / "state") == ""
    assert not (tmp_path / "state" / "weighthouse.db").exists()


@pytest.mark.parametrize("how", ["forgotten", "gone", "emptied"])
def test_a_new_database_is_refused_by_serve_and_by_the_ceremony(elsewhere: Path, tmp_path: Path, how: str) -> None:
    if how == "forgotten":
        elsewhere = tmp_path / "state" / "weighthouse.db"
        (tmp_path / "state" / "weighthouse.toml").write_text('mode = "development"\n')
    else:
        elsewhere.unlink()
    if how == "emptied":
        with closing(sqlite3.connect(elsewhere)) as fresh, fresh:
            fresh.execute("PRAGMA user_version = 7")  # a file with a header, and no table
    assert opened(tmp_path / "state") == opened(tmp_path / "state") == "app.database_empty"
    settings, home = initialise.load_settings({}, state=tmp_path / "state")
    with pytest.raises(Unavailable) as refused:
        ceremony.open_forked(settings, home, PASSPHRASE)
    assert refused.value.code == "app.database_empty" and str(elsewhere) in refused.value.message
    if how == "emptied":
        with closing(sqlite3.connect(elsewhere)) as kept:
            assert kept.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    else:
        assert not elsewhere.exists()


def test_the_ceremony_accepts_no_log_of_nothing(elsewhere: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(elsewhere)) as connection, connection:
        for table in ("log_entry", "log_tile", "log_head"):
            connection.execute(f"DELETE FROM {table}")
    settings, home = initialise.load_settings({}, state=tmp_path / "state")
    system = ceremony.open_forked(settings, home, PASSPHRASE)
    with pytest.raises(Unavailable) as refused:
        ceremony.accept(system, ceremony.examine(system), REASON, "")
    system.database.close()
    assert refused.value.code == "app.database_empty"


def test_no_password_is_written_down_or_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "postgresql+psycopg://wh:s3cret@db.lab:5433/wh?sslmode=require&password=s3cret")
    settings, home = initialise.load_settings({}, state=tmp_path / "state")
    assert isinstance(home, Home)
    assert emptied.shown(settings, home) == "postgresql+psycopg://wh@db.lab:5433/wh?sslmode=require"
