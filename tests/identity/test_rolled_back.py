"""A change that was refused leaves no trace: the memory beside the database knows only what was committed.

A freeze that the database gives back (a full disk, a lock held too long, a line that could not be kept) once locked
the person out for good, with no line that said so.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.identity.support import Lab
from tests.identity.test_sessions import code_of
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import Unit, begin
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory

CHANGES: dict[str, Callable[[Unit], object]] = {
    "freeze": lambda unit: api.freeze(unit, "ada", "odd reads", "system"),
    "end all": lambda unit: api.end_sessions_of(unit, "ada", "revoked", "system"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_was_given_back_locks_nobody_out(lab: Lab, change: str) -> None:
    client = lab.sign_in("ada")
    known, lines = lab.system.part(Memory).version("ada"), len(lab.log())
    with pytest.raises(Unavailable), begin(lab.system) as unit:
        CHANGES[change](unit)
        api.is_active(unit, "ada")  # whatever the same request then asks of her
        api.sessions_of(unit, "ada")
        raise Unavailable("core.not_kept", "The disk is full.", "Free space.")
    assert lab.system.part(Memory).version("ada") == known
    assert code_of(client) == ""
    lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    assert code_of(client) == "" and code_of(lab.sign_in("ada")) == ""
    assert "identity.RecordRefused" not in [entry.kind for entry in lab.log()[lines:]]


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
