"""A state folder that an older version made opens, upgrades and keeps what it held: log, policy, grant, votes, runs.

Each fixture in `tests/app/states` is a demo played by the version of its schema: people, a request with two votes, its
grant, two runs and their checkpoints, from 0012 on an export. CONTRIBUTING.md says how the next one is made.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weighthouse.access import api as access
from weighthouse.app import declared, schema
from weighthouse.app.demo.stage import PASSPHRASE
from weighthouse.app.home import Home
from weighthouse.app.wiring import open_system
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM, Assurance, Caller
from weighthouse.core.clock import HOUR, MINUTE, ManualClock
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import PrincipalId
from weighthouse.core.settings import Settings
from weighthouse.core.work import System, begin, read
from weighthouse.identity import api as identity
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.policy import api as policy
from weighthouse.weights import api as weights

EXPORTED = Path(__file__).parent / "states" / "schema-0012.tar.xz"
STATES = sorted((Path(__file__).parent / "states").glob("schema-*.tar.xz"))


class Kept:
    """An unpacked state folder of an older version, opened by this one a minute after it was left."""

    def __init__(self, packed: Path, folder: Path) -> None:
        with tarfile.open(packed) as tar:
            tar.extractall(folder, filter="data")
        self.about: dict[str, Any] = json.loads((folder / "about.json").read_text("utf-8"))
        self.home = Home(folder / "state")
        with sqlite3.connect(self.home.database_file) as before:
            self.grant = str(before.execute("SELECT id FROM access_grant").fetchone()[0])
            self.leaves = before.execute("SELECT * FROM log_entry ORDER BY 1").fetchall()
        before.close()
        self.clock = ManualClock(int(self.about["at"]) + MINUTE)

    def open(self) -> System:
        settings = Settings(declared.settings(), flags={"state": self.home.root, "mode": "demo"})
        return open_system(settings, self.home, SealedKeys.open(self.home.keys_file, PASSPHRASE), self.clock)


@pytest.fixture(params=STATES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    yield Kept(request.param, tmp_path)


def test_there_is_a_state_of_an_older_version() -> None:
    assert "schema-0002.tar.xz" in {path.name for path in STATES}


def test_an_older_state_upgrades_and_its_log_verifies(kept: Kept) -> None:
    system = kept.open()
    assert schema.prepare(system.database) == schema.current(system.database)
    report = audit.verify(system)
    assert report.ok, report.problems
    assert report.size >= kept.about["entries"] == len(kept.leaves)
    with system.database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT * FROM log_entry ORDER BY 1").fetchall()
    assert [tuple(row) for row in found][: len(kept.leaves)] == kept.leaves, "an entry was rewritten"
    with read(system) as unit:
        assert policy.current(unit).lab.people
    with begin(system, SYSTEM) as unit:
        access.place_hold(unit, SYSTEM, "model/tern", "The upgraded system still works.")
    assert audit.verify(system).ok
    system.database.close()
    again = kept.open()
    assert audit.verify(again).ok
    again.database.close()


def _export_again(system: System, asked: dict[str, str]) -> str:
    """What Eve is answered who sends the request of before once more: the export's id, or the refusal's code."""
    eve = Caller(
        principal=PrincipalId("eve"), kind="person", account=policy.account_ref("dev", "eve"),
        assurance=Assurance(2, system.clock.now(), "otp"),
    )  # fmt: skip
    try:
        with begin(system, eve) as unit:
            return str(weights.export_once(unit, eve, asked["version"], asked["destination"], asked["key"])["id"])
    except WeighthouseError as refusal:
        return refusal.code


def test_no_bundle_that_an_older_version_kept_is_left_and_a_repeated_export_is_decided_now(tmp_path: Path) -> None:
    kept = Kept(EXPORTED, tmp_path)
    held = b'"bundle":"'
    assert held in kept.home.database_file.read_bytes(), "the state was left with the answer of an export"
    system = kept.open()
    with begin(system, SYSTEM) as unit:
        size = audit.head(unit).size
    again = _export_again(system, kept.about["export"])
    with begin(system, SYSTEM) as unit:
        lines = [entry.kind for entry in audit.entries(unit, start=size, limit=100)]
        access.place_hold(unit, SYSTEM, "model/tern", "An incident.")
    assert (again[:4], lines.count("weights.WeightsExported")) == ("exp_", 1), "the grant of before still stands"
    assert _export_again(system, kept.about["export"]) == "access.held"
    system.database.close()
    for path in kept.home.database_file.parent.glob("weighthouse.db*"):
        assert held not in path.read_bytes(), path.name


def test_a_grant_of_an_older_state_is_usable_in_its_time_and_not_after_it(kept: Kept) -> None:
    system = kept.open()
    with read(system) as unit:
        grant = access.valid_grant(unit, kept.grant)
        sessions = identity.sessions_of(unit, "ada")
    assert grant.person == "ada"
    assert [one.ended for one in sessions] == [None], "her one account is adopted, so her session goes on"
    kept.clock.advance(3 * HOUR)
    with pytest.raises(WeighthouseError) as ended, read(system) as unit:
        access.valid_grant(unit, kept.grant)
    assert ended.value.code.startswith("access.")
    system.database.close()
