"""A change that was refused leaves no trace: the memory beside the database knows only what was committed.

A freeze is a no, and stands though the database gives it back (a full disk, a lock held too long): whoever administers
it must not be able to keep somebody in. Who said it is told so; said again, or thawed, it has taken nothing else.
"""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_sessions import code_of
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import begin
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory


def test_an_end_of_all_that_was_given_back_stands_and_locks_nobody_out(lab: Lab) -> None:
    client = lab.sign_in("ada")
    known, lines = lab.system.part(Memory).version("ada"), len(lab.log())
    with pytest.raises(Unavailable), begin(lab.system) as unit:
        api.end_sessions_of(unit, "ada", "revoked", "system")
        api.is_active(unit, "ada")  # whatever the same request then asks of her
        api.sessions_of(unit, "ada")
        raise Unavailable("core.not_kept", "The disk is full.", "Free space.")
    assert lab.system.part(Memory).version("ada") == known
    assert code_of(client) == "identity.session_ended"
    lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    lab.clock.advance(1)
    assert code_of(client) == "identity.session_ended" and code_of(lab.sign_in("ada")) == ""
    assert "identity.RecordRefused" not in [entry.kind for entry in lab.log()[lines:]]


@pytest.mark.parametrize("again", [True, False])
def test_a_freeze_that_was_given_back_stands_until_it_is_said_again_or_thawed(lab: Lab, again: bool) -> None:
    client = lab.sign_in("ada")
    with pytest.raises(Unavailable) as error, begin(lab.system) as unit:
        api.freeze(unit, "ada", "odd reads", "system")
        raise Unavailable("core.not_kept", "The disk is full.", "Free space.")
    assert "stands all the same" in error.value.message
    assert code_of(client) == "identity.session_ended"
    lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    assert code_of(client) == "identity.session_ended", "over a restart"
    assert lab.log("RecordRefused") == [], "nobody has edited anything"
    if again:
        with begin(lab.system) as unit:
            api.freeze(unit, "ada", "odd reads", "system")
        assert [one.data["by"] for one in lab.log() if one.kind == "identity.PersonFrozen"] == ["system"]
    with begin(lab.system) as unit:
        api.thaw(unit, "ada", "It was nothing.", "operator")
    assert code_of(lab.sign_in("ada")) == ""


def test_what_was_committed_by_another_server_is_remembered_from_a_unit_that_writes(lab: Lab) -> None:
    client = lab.sign_in("ada")
    before = lab.sql("SELECT version, body, seal FROM identity_principal WHERE principal = 'ada'")[0]
    kept = FileMemory(lab.folder / "another.memory", now=lab.clock.now())
    with begin(lab.system) as unit:
        api.freeze(unit, "ada", "odd reads", "system")
    lab.system.bind(Memory, kept)
    with begin(lab.system) as unit:
        assert not api.is_active(unit, "ada")
    assert kept.version("ada") > before.version
    lab.sql(
        "UPDATE identity_principal SET version = :version, body = :body, seal = :seal WHERE principal = 'ada'",
        **before._mapping,
    )
    assert code_of(client) != ""
