"""A full disk and a broken part: the change is refused whole, and the log goes on by itself when there is room again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.audit.support import Lab, Noted, Told
from weighthouse.audit import api
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System, begin


class Disk:
    """Limits the database file to so many pages, as a full volume would."""

    def __init__(self, database: Database) -> None:
        self.pages = 0
        event.listen(database.engine, "checkout", self._limit)

    def _limit(self, connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {self.pages or 4294967294}")


@pytest.mark.parametrize("spare", range(5))
@pytest.mark.parametrize("already", [0, 250, 256])
def test_case_3_a_full_disk_refuses_the_change_whole_and_recovers_alone(lab: Lab, spare: int, already: int) -> None:
    disk = Disk(lab.system.database)
    if already:
        lab.many(already)
    disk.pages = lab.rows("PRAGMA page_count")[0][0] + spare
    acknowledged = already
    with pytest.raises(Unavailable) as refused:
        for number in range(10_000):
            with begin(lab.system) as unit:
                unit.conn.execute(text("INSERT INTO core_lease VALUES (:n, 'x', 1, 1)"), {"n": f"{number}" * 50})
                api.append(unit, Noted(number=number, extra="x" * 700))
            acknowledged += 1
    assert refused.value.code == "core.database_unavailable" and "full" in refused.value.message
    changes = lab.rows("SELECT count(*) FROM core_lease")[0][0]
    assert changes == acknowledged - already, "a change without its entry"
    assert api.verify(lab.system) == api.Report(True, acknowledged, ())
    disk.pages = 0
    lab.many(3)
    assert api.verify(lab.system) == api.Report(True, acknowledged + 3, ())


def test_a_part_that_is_missing_refuses_the_change(
    make_system: Callable[[Database], System], database: Database
) -> None:
    lab = Lab(make_system(database))  # nobody bound a signer's memory
    with pytest.raises(Unavailable) as refused:
        lab.write(Noted())
    assert refused.value.code == "core.part_missing"
    assert lab.rows("SELECT count(*) FROM log_entry")[0][0] == 0


def test_a_personal_value_of_a_refused_change_is_not_kept(any_lab: Lab) -> None:
    with pytest.raises(RuntimeError), begin(any_lab.system) as unit:
        api.append(unit, Told(person="ada", reason="secret"))
        raise RuntimeError
    assert any_lab.rows("SELECT count(*) FROM log_personal")[0][0] == 0
