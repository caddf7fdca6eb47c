"""The signer's memory: a log that shrank or was rewritten is never signed again, whatever the database says."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.audit.support import Lab, Noted, bind_log
from weighthouse.audit import api
from weighthouse.audit.adapters.embedded import FileSignerMemory
from weighthouse.audit.events import Heartbeat
from weighthouse.audit.model import Remembered
from weighthouse.audit.ports import SignerMemory
from weighthouse.core.caller import SYSTEM
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System

Make = Callable[[Database], System]
Reopen = Callable[[Path, Path], Lab]


def copy_of(lab: Lab, to: Path) -> Path:
    """Take a backup the way SQLite wants it taken."""
    source = str(lab.system.database.engine.url.database)
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(to)) as copy:
        live.backup(copy)
    return to


@pytest.fixture
def reopen(make_system: Make, tmp_path: Path) -> Iterator[Reopen]:
    """Open another database file as a server with the same keys, whose memory is in `folder`."""
    opened: list[Database] = []

    def open_it(path: Path, folder: Path) -> Lab:
        opened.append(Database(f"sqlite:///{path}"))
        return Lab(bind_log(make_system(opened[-1]), folder))

    yield open_it
    for database in opened:
        database.close()


def refused(lab: Lab, code: str) -> Unavailable:
    """The log must be refused at start and at signing, with the same code."""
    with pytest.raises(Unavailable) as at_start:
        api.start(lab.system)
    with pytest.raises(Unavailable) as at_signing:
        lab.write(Noted())
    assert at_start.value.code == at_signing.value.code == code
    assert at_start.value.remedy
    return at_start.value


def test_case_10_a_database_that_lost_commits_is_refused(reopen: Reopen, lab: Lab, tmp_path: Path) -> None:
    lab.many(5)
    backup = copy_of(lab, tmp_path / "backup.db")
    lab.many(7)
    old = reopen(backup, tmp_path)
    error = refused(old, "audit.log_smaller")
    assert "holds 5 log entries" in error.message and "7 are missing" in error.message
    assert (error.details["have"], error.details["signed"]) == (5, 12)
    with pytest.raises(Unavailable):  # and no door shows it
        old.head()
    report = api.verify(old.system)
    assert not report.ok and "7 are missing" in report.problems[0].what


def test_case_13_a_tail_cut_to_an_older_valid_checkpoint_is_refused(lab: Lab, clock: object) -> None:
    lab.many(300)
    kept = lab.rows("SELECT size, root, note, at FROM log_head")[0]
    tile = lab.rows("SELECT hashes FROM log_tile WHERE level = 0 AND idx = 1")[0][0]
    lab.write(Noted(number=666))
    # The administrator restores every row to what it was before the entry that he wants gone.
    lab.sql("DELETE FROM log_entry WHERE idx >= 300")
    lab.sql("UPDATE log_tile SET hashes = :h WHERE level = 0 AND idx = 1", h=tile)
    lab.sql(
        "UPDATE log_head SET size = :s, root = :r, note = :n, at = :a", s=kept[0], r=kept[1], n=kept[2], a=kept[3]
    )
    assert "1 are missing" in refused(lab, "audit.log_smaller").message


def test_case_13_a_forked_log_of_the_same_size_is_refused(reopen: Reopen, lab: Lab, tmp_path: Path) -> None:
    lab.many(5)
    backup = copy_of(lab, tmp_path / "backup.db")
    lab.write(Noted(number=1))
    # Two histories of six entries, both signed by the real key: the second signer has another memory.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tmp_path / "log.memory", elsewhere / "log.memory")
    fork = reopen(backup, elsewhere)
    fork.system.part(SignerMemory).replace(
        "weighthouse.local/log", Remembered(5, bytes(fork.rows("SELECT root FROM log_head")[0][0]))
    )
    fork.write(Noted(number=2))
    bind_log(fork.system, tmp_path)
    refused(fork, "audit.log_forked")


def test_case_13_a_fork_that_grew_longer_is_refused_as_well(reopen: Reopen, lab: Lab, tmp_path: Path) -> None:
    lab.many(5)
    backup = copy_of(lab, tmp_path / "backup.db")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tmp_path / "log.memory", elsewhere / "log.memory")
    lab.write(Noted(number=1))
    fork = reopen(backup, elsewhere)
    fork.many(400)
    bind_log(fork.system, tmp_path)
    refused(fork, "audit.log_forked")


def test_a_log_whose_signer_lost_its_memory_is_refused(lab: Lab, tmp_path: Path) -> None:
    lab.many(3)
    (tmp_path / "log.memory").unlink()
    bind_log(lab.system, tmp_path)
    refused(lab, "audit.memory_missing")


@pytest.mark.parametrize("damage", [b"", b"x" * 512, b"weighthouse-signer-memory/1 a 1 00 00\n"])
def test_a_damaged_memory_is_refused_unless_one_slot_is_whole(lab: Lab, tmp_path: Path, damage: bytes) -> None:
    lab.many(3)
    lab.many(3)
    path = tmp_path / "log.memory"
    whole = path.read_bytes()
    path.write_bytes(damage.ljust(512)[:512] + whole[512:1024])
    lab.many(3)  # the other slot still vouches
    path.write_bytes(damage.ljust(1024)[:1024] + b"!")
    refused(lab, "audit.memory_damaged")


def test_a_memory_that_lags_behind_a_crash_is_caught_up(make_system: Make, lab: Lab, tmp_path: Path) -> None:
    lab.many(300)
    before = (tmp_path / "log.memory").read_bytes()
    lab.many(300)
    (tmp_path / "log.memory").write_bytes(before)  # killed after commit, before the memory was written
    again = Lab(bind_log(make_system(lab.system.database), tmp_path))
    api.start(again.system)
    again.many(1)
    assert again.head().size == 601
    recalled = FileSignerMemory(tmp_path / "log.memory").recall("weighthouse.local/log")
    assert recalled is not None and recalled.size == 601


def test_an_entry_signed_elsewhere_while_the_log_is_checked_is_no_alarm(
    make_system: Make, lab: Lab, tmp_path: Path
) -> None:
    """A second process looks at the log of a running server, which signs at the worst moment: just before recall."""

    class Meanwhile(FileSignerMemory):
        def recall(self, origin: str) -> Remembered | None:
            lab.many(1)
            return super().recall(origin)

    lab.many(1)
    second = bind_log(make_system(lab.system.database), tmp_path)
    second.bind(SignerMemory, Meanwhile(tmp_path / "log.memory"))
    api.start(second)
    report = api.verify(second)
    assert (report.ok, report.problems) == (True, ()) and report.size > 1


def test_a_late_writer_never_makes_the_memory_smaller(tmp_path: Path) -> None:
    memory = FileSignerMemory(tmp_path / "m")
    memory.remember("log", Remembered(9, b"\x09" * 32))
    FileSignerMemory(tmp_path / "m").remember("log", Remembered(8, b"\x08" * 32))
    assert memory.recall("log") == Remembered(9, b"\x09" * 32)


def test_a_memory_that_cannot_be_written_does_not_undo_the_commit(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    class Full(FileSignerMemory):
        def remember(self, origin: str, signed: Remembered) -> None:
            raise OSError(28, "No space left on device")

    lab.many(1)
    folder = lab.system.settings.path("state")
    lab.system.bind(SignerMemory, Full(folder / "log.memory"))
    lab.many(1)
    assert lab.head().size == 2
    assert [record.message.count("a rollback may go unseen") for record in caplog.records] == [1]


def test_a_log_is_not_begun_without_a_memory_that_can_be_written(lab: Lab, tmp_path: Path) -> None:
    lab.system.bind(SignerMemory, FileSignerMemory(tmp_path / "nowhere" / "m"))
    refused(lab, "audit.memory_unusable")
    assert lab.rows("SELECT count(*) FROM log_entry")[0][0] == 0


def test_case_11_the_fork_ceremony_goes_on_and_stays_on_record(reopen: Reopen, lab: Lab, tmp_path: Path) -> None:
    lab.many(5)
    backup = copy_of(lab, tmp_path / "backup.db")
    lab.many(7)
    signed = lab.head()
    old = reopen(backup, tmp_path)
    refused(old, "audit.log_smaller")
    assert api.accept_fork(old.system, SYSTEM, "disk lost, last backup restored") == 6
    (fact,) = old.entries(kind="audit.ForkAccepted")
    assert (fact.data["signed_size"], fact.data["signed_root"], fact.data["found_size"]) == (12, signed.root_hex, 5)
    assert "disk lost" not in fact.leaf.decode()
    old.write(Heartbeat(size=6, every_s=1))
    api.start(old.system)
    assert api.verify(old.system).ok


def test_the_ceremony_is_the_way_on_from_a_damaged_memory(lab: Lab, tmp_path: Path) -> None:
    lab.many(5)
    (tmp_path / "log.memory").write_bytes(b"x" * 512)
    with pytest.raises(Unavailable) as refused:
        lab.many(1)
    assert refused.value.code == "audit.memory_damaged" and "accept-fork" in refused.value.remedy
    assert api.accept_fork(lab.system, SYSTEM, "the memory's disk was damaged") == 6
    (fact,) = lab.entries(kind="audit.ForkAccepted")
    assert (fact.data["signed_size"], fact.data["found_size"]) == (0, 5)
    lab.many(1)
    assert api.verify(lab.system).ok


def test_the_ceremony_on_postgresql_takes_the_waiting_entries_along(postgres_lab: Lab, tmp_path: Path) -> None:
    lab = postgres_lab
    lab.many(4)
    (tmp_path / "log.memory").unlink()
    bind_log(lab.system, tmp_path)
    from weighthouse.core.work import begin

    with begin(lab.system) as unit:
        api.append(unit, Noted(number=77))
    with pytest.raises(Unavailable):
        lab.settle()
    assert api.accept_fork(lab.system, SYSTEM, "state folder lost") == 6
    assert [entry.kind for entry in lab.entries(start=4)] == ["test.Noted", "audit.ForkAccepted"]
    lab.many(2)
    assert api.verify(lab.system) == api.Report(True, 8, ())


def test_the_ceremony_never_accepts_an_edited_entry(reopen: Reopen, lab: Lab, tmp_path: Path) -> None:
    lab.many(5)
    lab.sql("UPDATE log_tile SET hashes = zeroblob(160)")
    again = reopen(tmp_path / "weighthouse.db", tmp_path)
    with pytest.raises(Unavailable) as error:
        api.accept_fork(again.system, SYSTEM, "please")
    assert error.value.code == "audit.tampered"
