"""`init` killed at any point, on a full disk or refused: the folder is whole or the next `init` makes it, never half."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tests.app.serving import PASSPHRASE
from weighthouse.app.draft import NAME
from weighthouse.app.home import Home
from weighthouse.app.initialise import EXAMPLE_LAB, hold, initialise, load_settings, serveable
from weighthouse.audit import api as audit
from weighthouse.cli import exits
from weighthouse.core.errors import Conflict, Invalid, Unavailable
from weighthouse.keys.adapters.embedded import SealedKeys

CHEAP: dict[str, object] = {"mode": "development", "keys.scrypt_cost": 1024}
# Makes a state folder once for each number given, each in a process that dies just before its file system or database
# step of that number, without a chance to clear up; 0 lets it live. Prints how many steps the last one took.
KILLED = """
import os, signal, sys
from pathlib import Path
from weighthouse.app.initialise import initialise, load_settings
from weighthouse.core.errors import WeighthouseError
WATCHED = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "open", "sqlite3.connect"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
folder, secret, url = sys.argv[1:4]
steps, last = 0, 0
def watch(event, arguments):
    global steps
    if event not in WATCHED or (event == "open" and not WRITING & (arguments[2] or 0)):
        return
    if folder in str(arguments[0]) or event == "sqlite3.connect":
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
def make(name, **more):
    settings, home = load_settings({"mode": "development", "keys.scrypt_cost": 1024, **more}, state=Path(folder) / name)
    initialise(settings, home, secret).database.close()
make(f"before-{os.getpid()}")  # what a process works out once, each fork has from here
sys.addaudithook(watch)
for last in map(int, sys.argv[4:]):
    child = os.fork()
    if child == 0:
        steps = 0
        make(f"killed-{last}", **{"database.url": url or None})
        print(steps, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == (9 if last else 0), last
"""


def kill(folder: Path, *steps: int, url: str = "") -> str:
    command = [sys.executable, "-c", KILLED, str(folder), PASSPHRASE, url, *map(str, steps)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


def init(state: Path, url: str = "") -> None:
    settings, home = load_settings({**CHEAP, "database.url": url or None}, state=state)
    initialise(settings, home, PASSPHRASE).database.close()


def check_whole(state: Path, url: str = "") -> None:
    """The folder serves, its log verifies, and nothing of a draft is left."""
    settings, home = load_settings({"database.url": url or None, "keys.scrypt_cost": 1024}, state=state)
    secret = state.parent / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text(PASSPHRASE)
    hold(home, "serve")
    system = serveable(settings.changed(keys__passphrase_file=str(secret)), home)
    assert audit.verify(system).ok
    system.database.close()
    home.lock.release()
    assert not (state / NAME).exists()
    assert home.settings_file.read_text().count("development") == 1 and home.lab_file.exists()


def test_init_killed_at_many_steps_is_whole_or_is_made_by_the_next(tmp_path: Path) -> None:
    steps = int(kill(tmp_path, 0))
    check_whole(tmp_path / "killed-0")
    assert steps > 20, "else the kills are too few to show anything"
    kills = [*range(1, steps - 14, 9), *range(steps - 14, steps + 1, 2)]  # the last are the moves
    kill(tmp_path, *kills)
    half = 0
    for step in kills:
        state = tmp_path / f"killed-{step}"
        if not Home(state).exists():
            half += 1
            with pytest.raises(Unavailable) as refused:
                hold(Home(state), "serve")
            assert refused.value.code == "app.no_state"
            init(state)
        check_whole(state)
    assert half > 5


def test_init_killed_over_postgresql_is_made_by_the_next(tmp_path: Path, postgres_url: str) -> None:
    steps = int(kill(tmp_path, 0, url=postgres_url))
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    for step in (steps // 2, steps - 12, steps - 6, steps - 2):
        with admin.connect() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        kill(tmp_path, step, url=postgres_url)
        state = tmp_path / f"killed-{step}"
        if not Home(state).exists():
            init(state, postgres_url)
        check_whole(state, postgres_url)
    admin.dispose()


def test_a_database_of_another_system_is_refused_and_stays(tmp_path: Path, postgres_url: str) -> None:
    init(tmp_path / "first", postgres_url)
    settings, home = load_settings({"database.url": postgres_url, "mode": "development"}, state=tmp_path / "second")
    with pytest.raises(Conflict) as refused:
        initialise(settings, home, PASSPHRASE)
    assert refused.value.code == "app.database_in_use" and not home.root.exists()
    check_whole(tmp_path / "first", postgres_url)


def test_what_init_did_not_make_it_refuses_and_never_removes(tmp_path: Path) -> None:
    settings, home = load_settings(CHEAP, state=tmp_path / "state")
    home.root.mkdir()
    home.database_file.write_bytes(b"all that a lab has, whose keys were lost")
    with pytest.raises(Conflict) as refused:
        initialise(settings, home, PASSPHRASE)
    assert refused.value.code == "app.not_empty"
    assert home.database_file.read_bytes().startswith(b"all that a lab has")
    home.database_file.unlink()
    home.settings_file.write_text('mode = "development"\n')
    home.lab_file.write_bytes(EXAMPLE_LAB.read_bytes())
    home.runs.mkdir()
    initialise(settings, home, PASSPHRASE).database.close()
    check_whole(home.root)


def test_keys_without_a_lab_are_not_served(tmp_path: Path) -> None:
    settings, home = load_settings(CHEAP, state=tmp_path / "state")
    home.make()
    SealedKeys.create(home.keys_file, PASSPHRASE, cost=1024)
    secret = tmp_path / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text(PASSPHRASE)
    with pytest.raises(Unavailable) as refused:
        serveable(settings.changed(keys__passphrase_file=str(secret)), home)
    assert refused.value.code == "app.half_state"


def test_a_refused_lab_or_passphrase_leaves_nothing(tmp_path: Path) -> None:
    settings, home = load_settings({"mode": "development"}, state=tmp_path / "state")
    with pytest.raises(Invalid) as refused:
        initialise(settings, home, "short")
    assert refused.value.code == "keys.weak_passphrase" and not home.root.exists()


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: the write that does not fit fails in the same way."""
    state, secret = tmp_path / "state", tmp_path / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text(PASSPHRASE)
    command = [
        sys.executable,
        "-m",
        "weighthouse.cli",
        "init",
        "--state",
        str(state),
        "--passphrase-file",
        str(secret),
    ]
    cheap = {**os.environ, "WEIGHTHOUSE_KEYS_SCRYPT_COST": "1024"}
    for room in (0, 1_000, 40_000, 200_000):
        done = subprocess.run(
            ["prlimit", f"--fsize={room}", *command],
            capture_output=True, text=True, timeout=120, check=False, env=cheap,
        )  # fmt: skip
        assert done.returncode in (exits.NO_SYSTEM, exits.UNREACHABLE), done.stderr
        assert "app.no_room" in done.stderr or "core.database_unavailable" in done.stderr, done.stderr
        assert not state.exists()
    init(state)
    check_whole(state)


def test_whatever_the_umask_is_nobody_else_writes_what_was_made_and_it_serves(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        init(tmp_path / "state")
    finally:
        os.umask(before)
    made = [tmp_path / "state", *(tmp_path / "state").rglob("*")]
    assert [path for path in made if path.stat().st_mode & 0o022] == []
    check_whole(tmp_path / "state")
