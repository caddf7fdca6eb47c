"""Attack: rename an entry by its columns, so that a decision that looks for it finds nothing, or finds another.

What a decision finds comes from the entries as they were hashed, read once from the beginning of the log.
"""

from __future__ import annotations

import pytest

from tests.audit.support import Lab, Noted
from weighthouse.audit import api
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import begin, read

NOTED = api.Lines(Noted.KIND)
NUMBERED = api.Lines(Noted.KIND, by="number")
ALL = api.Lines(Noted.KIND, by="")


def places(lab: Lab, lines: api.Lines, value: str = "", **selection: object) -> list[int]:
    with read(lab.system) as unit:
        return [one.index for one in lines.of(unit, value, **selection)]  # type: ignore[arg-type]


def three(lab: Lab) -> None:
    for number, thing in enumerate(("model/tern", "model/wren", "model/tern")):
        lab.write(Noted(thing=thing, number=number))
    lab.settle()


@pytest.mark.parametrize("before", [True, False])
def test_an_entry_renamed_by_its_columns_is_found_by_what_it_says(any_lab: Lab, before: bool) -> None:
    lab = any_lab
    three(lab)
    if before:
        assert places(lab, NOTED, "model/tern") == [0, 2]
    lab.sql("UPDATE log_entry SET kind = 'test.Opened', subject = 'else' WHERE idx = 2")
    lab.sql("UPDATE log_entry SET subject = 'model/tern' WHERE idx = 1")
    assert places(lab, NOTED, "model/tern") == [0, 2] and places(lab, NOTED, "model/wren") == [1]
    assert places(lab, NUMBERED, "2") == [2] and places(lab, ALL) == [0, 1, 2]
    assert places(lab, NOTED, "model/tern", limit=1, newest_first=True) == [2]
    assert places(lab, NOTED, "model/tern", start=1) == [2] and places(lab, NOTED, "else") == []


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    "damage", ["DELETE FROM log_entry WHERE idx = 2", "UPDATE log_entry SET leaf = :leaf WHERE idx = 2"]
)
def test_an_entry_that_is_gone_or_false_is_a_refusal_never_an_absence(
    any_lab: Lab, before: bool, damage: str
) -> None:
    lab = any_lab
    three(lab)
    if before:
        assert places(lab, NOTED, "model/tern") == [0, 2]
    leaf = lab.rows("SELECT leaf FROM log_entry WHERE idx = 1")[0][0]
    lab.sql(damage, **({"leaf": bytes(leaf)} if ":leaf" in damage else {}))
    with pytest.raises(Unavailable) as refusal:
        places(lab, NOTED, "model/tern")
    assert refusal.value.code == "audit.tampered"
    assert [one.cause for one in api.doubts(lab.system)] == (["stored log"] if not before else [])


def test_a_line_that_another_server_wrote_is_found(any_lab: Lab) -> None:
    lab = any_lab
    three(lab)
    assert places(lab, NOTED, "model/tern") == [0, 2]
    lab.write(Noted(thing="model/tern"))
    lab.settle()
    lab.sql("UPDATE log_entry SET subject = 'else' WHERE idx = 3")
    api.keep_up(lab.system)
    assert places(lab, NOTED, "model/tern") == [0, 2, 3]


def test_a_line_of_a_unit_that_was_rolled_back_is_not_kept(lab: Lab) -> None:
    three(lab)
    seen: list[int] = []
    with pytest.raises(ZeroDivisionError), begin(lab.system) as own:
        api.append(own, Noted(thing="model/owl"))
        own.before_commit(lambda: seen.extend(one.index for one in NOTED.of(own, "model/owl")))
        own.before_commit(lambda: seen.append(1 // 0))
    assert seen == [3], "the unit itself sees its line"
    lab.write(Noted(thing="model/wren"))
    assert places(lab, NOTED, "model/owl") == [] and places(lab, NOTED, "model/wren") == [1, 3]


def test_a_list_by_kind_shows_no_entry_under_a_name_that_is_not_its_own(any_lab: Lab) -> None:
    lab = any_lab
    three(lab)
    lab.sql("UPDATE log_entry SET kind = 'test.Opened' WHERE idx = 1")
    with pytest.raises(Unavailable, match="the columns of entry 1"):
        lab.entries(kind="test.Opened")


def test_what_lies_in_a_long_log_is_found_page_by_page(lab: Lab) -> None:
    lab.many(4_500)
    lab.write(Noted(thing="model/owl"))
    assert places(lab, NOTED, "model/owl") == [4_500]
