"""Attack: delete or hide entries in the middle, where no reader of the edge looks. The running check meets them."""

from __future__ import annotations

import pytest

from tests.audit.support import Lab, Noted, Opened
from weighthouse.audit import api
from weighthouse.audit.adapters.embedded import FileSignerMemory
from weighthouse.audit.ports import SignerMemory
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import begin, read

DAMAGE = {
    "a deleted entry": ("DELETE FROM log_entry WHERE idx = 40", "entry 40 is missing"),
    "a hidden entry": ("UPDATE log_entry SET subject = 'else' WHERE idx = 40", "lists do not show it"),
    "an edited entry": ("UPDATE log_entry SET leaf = :leaf WHERE idx = 40", "not the one the tree holds"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_in_the_middle_is_told_once_and_nothing_grave_happens_until_it_is_mended(
    any_lab: Lab, damage: str
) -> None:
    lab = any_lab
    lab.many(300)
    kept = dict(lab.rows("SELECT * FROM log_entry WHERE idx = 40")[0]._mapping)
    assert api.look(lab.system).problem == ""
    statement, what = DAMAGE[damage]
    lab.sql(statement, **({"leaf": b"{}"} if ":leaf" in statement else {}))
    for _ in range(3):
        assert what in api.look(lab.system).problem
    lab.settle()
    with read(lab.system) as unit:
        (line,) = api.entries(unit, start=299, limit=1000, kind="audit.LogDamaged")
        assert line.data["index"] == 40 and any(what in said for said in api.condition(unit).problems)
    assert [one.cause for one in api.doubts(lab.system)] == ["stored log"]
    with pytest.raises(Unavailable) as refusal, begin(lab.system) as unit:
        api.append(unit, Opened())
    assert refusal.value.code == "audit.tampered"
    with pytest.raises(Unavailable):
        api.start(lab.system)
    lab.sql("DELETE FROM log_entry WHERE idx = 40")
    names = ", ".join(kept)
    lab.sql(f"INSERT INTO log_entry ({names}) VALUES ({', '.join(':' + one for one in kept)})", **kept)
    assert api.look(lab.system).problem == "" and api.doubts(lab.system) == ()
    lab.write(Opened())


def test_a_list_of_all_kinds_shows_no_gap_as_if_it_were_none(any_lab: Lab) -> None:
    any_lab.many(10)
    any_lab.sql("DELETE FROM log_entry WHERE idx = 5")
    for selection in ({}, {"start": 4, "limit": 3}, {"newest_first": True, "limit": 6}):
        with pytest.raises(Unavailable, match="entry 5 is missing"):
            any_lab.entries(**selection)
    assert [entry.index for entry in any_lab.entries(start=6)] == [6, 7, 8, 9]


def test_every_door_refuses_a_log_that_was_set_back(any_lab: Lab) -> None:
    lab = any_lab
    lab.many(3)
    tables = ("log_entry", "log_tile", "log_head")
    kept = {one: [dict(row._mapping) for row in lab.rows(f"SELECT * FROM {one}")] for one in tables}
    lab.write(Noted(number=9))
    for table, rows in kept.items():
        lab.sql(f"DELETE FROM {table}")
        for row in rows:
            lab.sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(':' + one for one in row)})", **row)
    for door in (lab.head, lab.entries, lambda: lab.prove(0)):
        with pytest.raises(Unavailable) as refusal:
            door()  # type: ignore[operator]
        assert refusal.value.code == "audit.log_smaller"


def test_a_server_that_only_reads_remembers_what_others_have_signed(any_lab: Lab, tmp_path: object) -> None:
    lab = any_lab
    lab.many(3)
    memory = lab.system.part(SignerMemory)
    assert isinstance(memory, FileSignerMemory)
    lab.many(300)
    with read(lab.system) as unit:
        size = api.head(unit).size
    remembered = memory.recall("weighthouse.local/log")
    assert remembered is not None and remembered.size == size
