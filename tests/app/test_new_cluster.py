"""Moving PostgreSQL into a new cluster: `pg_dump` brings the rows, and not the count of transactions they wait by.

Two real servers. Noticed at start and by every change, accepted by the ceremony at the command line, nothing lost;
and whatever refusal names that ceremony is one that it knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests import postgres
from tests.app.kept import PASSPHRASE, REASON, State
from weighthouse.access import api as access
from weighthouse.app import ceremony
from weighthouse.app.home import Home
from weighthouse.app.initialise import load_settings, reopen
from weighthouse.audit import api as audit
from weighthouse.cli import exits
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, begin, read

ROOT = Path(__file__).resolve().parents[2]
BURN = "DO $$ BEGIN FOR i IN 1..9000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"


class Kept(State):
    """A state folder over one cluster, that can be pointed at another."""

    def __init__(self, url: str, folder: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        patch.setenv("WEIGHTHOUSE_DATABASE_URL", url)
        super().__init__(folder, patch, capsys)

    def at(self, url: str) -> None:
        self._patch.setenv("WEIGHTHOUSE_DATABASE_URL", url)

    def run(self, statement: str, url: str = "") -> None:
        engine = create_engine(url or self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("SET synchronous_commit = off"))
            connection.execute(text(statement))
        engine.dispose()

    def hold(self, subject: str, *, sequenced: bool = True) -> None:
        """Place a hold; without `sequenced` its lines wait, as when the server ends right after."""
        system = self.opened()
        try:
            with begin(system, SYSTEM) as unit:
                access.place_hold(unit, SYSTEM, subject, "Look into it.")
            while sequenced and audit.sequence(system):
                pass
        finally:
            system.database.close()
        self.run("UPDATE core_lease SET expires = 0")  # a server that ended a while ago

    def unjudged(self) -> System:
        settings, home = load_settings({}, state=self.root)
        return ceremony.open_forked(settings, home, PASSPHRASE)

    def refusal(self) -> WeighthouseError:
        with pytest.raises(WeighthouseError) as refusal:
            self.opened().database.close()
        return refusal.value

    def kinds(self) -> list[str]:
        system = self.opened()
        try:
            while audit.sequence(system):
                pass
            assert audit.verify(system).ok
            with read(system) as unit:
                return [one.kind for one in audit.entries(unit, newest_first=True, limit=10)]
        finally:
            system.database.close()


@pytest.fixture
def kept(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Kept:
    return Kept(postgres_url, tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def another_cluster() -> Iterator[str]:
    with postgres.server() as address:
        yield address


@pytest.fixture
def moved(kept: Kept, another_cluster: str) -> str:
    """The address of a copy in a new cluster, made while a line of the old one waited."""
    name = "moved_" + kept.url.partition("@/")[2].partition("?")[0]
    kept.run(BURN)
    kept.hold("model/tern")
    kept.hold("model/wren", sequenced=False)
    kept.run(f"CREATE DATABASE {name}", another_cluster.format(name="postgres"))
    target = another_cluster.format(name=name)
    postgres.dump_and_restore(kept.url, target)
    kept.at(target)
    return target


def test_a_copy_in_a_new_cluster_goes_on_by_the_ceremony_with_nothing_lost(kept: Kept, moved: str) -> None:
    refusal = kept.refusal()
    assert refusal.code == "audit.cluster_changed" and "weighthouse audit accept-fork" in refusal.remedy
    system = kept.unjudged()
    with read(system) as unit:
        size = audit.head(unit).size
    report = audit.verify(system)
    assert [one.what.startswith(audit.MOVED) for one in report.problems] == [True]
    system.database.close()
    status, told = kept.ceremony("--reason", REASON, typed=f"accept {size} of {size}")
    assert status == exits.OK, told
    assert refusal.message in told and "Nothing that was signed is missing" in told
    kept.hold("lab")
    assert kept.kinds()[:3] == ["access.HoldPlaced", "audit.ClusterMoved", "access.HoldPlaced"]
    system = kept.opened()
    with read(system) as unit:
        (fact,) = audit.entries(unit, kind="audit.ClusterMoved")
        assert audit.reveal(unit, fact)["reason"] == REASON
        assert fact.data["floor"] > fact.data["counter"] and fact.data["waiting"] == 1
    assert audit.doubts(system) == ()
    system.database.close()
    assert "Code: app.no_fork" in kept.ceremony("--reason", REASON)[1]


def test_no_change_is_answered_with_ok_where_its_line_could_never_join_the_log(kept: Kept, moved: str) -> None:
    system = kept.unjudged()
    with pytest.raises(WeighthouseError) as refusal, begin(system, SYSTEM) as unit:
        access.place_hold(unit, SYSTEM, "lab", "Look into it.")
    assert refusal.value.code == "audit.cluster_changed"
    with pytest.raises(WeighthouseError) as sequencing:
        audit.sequence(system)
    assert sequencing.value.code == "audit.cluster_changed"
    system.database.close()


def test_a_copy_that_lacks_what_was_signed_is_a_fork_as_well(kept: Kept, moved: str) -> None:
    kept.at(kept.url)
    kept.hold("lab")  # the old cluster was served after the dump
    kept.at(moved)
    assert kept.refusal().code == "audit.log_smaller"
    system = kept.unjudged()
    fork = ceremony.examine(system)
    assert not fork.whole and any(one.startswith(audit.MOVED) for one in fork.also)
    ceremony.accept(system, fork, REASON, fork.phrase)
    system.database.close()
    assert {"audit.ClusterMoved", "audit.ForkAccepted"} <= set(kept.kinds())


def lines_lost(kept: Kept) -> None:
    kept.hold("model/wren", sequenced=False)
    kept.run("DELETE FROM log_outbox")
    for file in (Home(kept.root).memory / "lines").iterdir():  # its lock is of the file: so its process has ended
        told = file.read_bytes()
        file.unlink()
        file.write_bytes(told)


def fenced_off(kept: Kept) -> None:
    kept.run("UPDATE core_lease SET fencing = 0 WHERE name = 'audit.sequencer'")


def memory_missing(kept: Kept) -> None:
    (Home(kept.root).memory / "log").unlink()


def memory_damaged(kept: Kept) -> None:
    (Home(kept.root).memory / "log").write_bytes(b"nothing of ours\n" * 20)


def log_forked(kept: Kept) -> None:
    """The rows of before two entries were written, with another entry in the place of the first of them."""
    kept.run("CREATE SCHEMA aside")
    for table in ("log_head", "log_entry", "log_tile", "log_outbox", "log_personal"):
        kept.run(f"CREATE TABLE aside.{table} AS SELECT * FROM {table}")
    memory = (Home(kept.root).memory / "log").read_bytes()
    kept.hold("model/wren")
    newer = (Home(kept.root).memory / "log").read_bytes()
    for table in ("log_head", "log_entry", "log_tile", "log_outbox", "log_personal"):
        kept.run(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM aside.{table}")
    kept.run("DROP SCHEMA aside CASCADE")
    (Home(kept.root).memory / "log").write_bytes(memory)
    for file in (Home(kept.root).memory / "lines").iterdir():
        file.unlink()
    kept.hold("lab")
    (Home(kept.root).memory / "log").write_bytes(newer)


def log_smaller(kept: Kept) -> None:
    kept.run("CREATE SCHEMA aside")
    for table in ("log_head", "log_entry", "log_tile"):
        kept.run(f"CREATE TABLE aside.{table} AS SELECT * FROM {table}")
    kept.hold("model/wren")
    for table in ("log_head", "log_entry", "log_tile"):
        kept.run(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM aside.{table}")
    kept.run("DROP SCHEMA aside CASCADE")


BREAK = {
    "audit.lines_lost": lines_lost,
    "audit.fenced_off": fenced_off,
    "audit.memory_missing": memory_missing,
    "audit.memory_damaged": memory_damaged,
    "audit.log_forked": log_forked,
    "audit.log_smaller": log_smaller,
}


def test_every_refusal_whose_remedy_names_the_ceremony_is_one_that_it_knows() -> None:
    pages = (ROOT / "docs" / "reference" / "errors").glob("*.md")
    sections = [one for page in pages for one in re.split(r"^## ", page.read_text("utf-8"), flags=re.M)[1:]]
    named = [(re.match(r"`([a-z_.]+)`", one), one.partition("Remedy:")[2]) for one in sections]
    remedies = {code.group(1): remedy for code, remedy in named if code}
    naming = {code for code, remedy in remedies.items() if re.search("accept-fork|fork ceremony", remedy)}
    same = {code for code, remedy in remedies.items() if any(f"as for `{one}`" in remedy for one in naming)}
    same |= {code for code, remedy in remedies.items() if any(f"as for `{one}`" in remedy for one in same)}
    assert naming | same == ceremony.FORKS == {*BREAK, "audit.cluster_changed"}


@pytest.mark.parametrize("code", sorted(BREAK))
def test_what_names_the_ceremony_is_accepted_by_it_at_the_command_line(kept: Kept, code: str) -> None:
    kept.hold("model/tern")
    BREAK[code](kept)
    system = kept.unjudged()
    fork = ceremony.examine(system)
    with pytest.raises(WeighthouseError) as refusal:
        audit.start(system)
    assert refusal.value.code == code
    system.database.close()
    status, told = kept.ceremony("--reason", REASON, typed=fork.phrase)
    assert status == exits.OK, told
    settings, home = load_settings({}, state=kept.root)
    reopen(settings, home, PASSPHRASE).database.close()
    kept.hold("lab")
    assert kept.kinds()[:2] == ["access.HoldPlaced", "audit.ForkAccepted"]
