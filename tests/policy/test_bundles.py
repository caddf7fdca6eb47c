"""Signed bundles, the memory outside the database, and differences in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text as sql

from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, Unavailable
from weighthouse.core.work import System, begin, read
from weighthouse.policy import api as policy
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory

LAB = (Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml").read_text("utf-8")
NEW = LAB.replace("  name: Example Lab", "  name: Renamed Lab")


@pytest.fixture
def policed(system: System, tmp_path: Path) -> System:
    system.bind(PolicyMemory, FilePolicyMemory(tmp_path / "policy.memory"))
    return system


def put(system: System, text: str) -> policy.Bundle:
    with begin(system) as unit:
        return policy.store(unit, text, "lab.yaml", "dee")


def now(system: System) -> policy.Bundle:
    with read(system) as unit:
        return policy.current(unit)


def code(system: System) -> str:
    with pytest.raises(Unavailable) as error:
        now(system)
    return error.value.code


def test_no_policy_is_a_no(policed: System) -> None:
    assert code(policed) == "policy.none"


def test_versions_rise_and_the_same_text_is_not_published_twice(policed: System) -> None:
    assert put(policed, LAB).version == 1
    with pytest.raises(Conflict) as error:
        put(policed, LAB)
    assert error.value.code == "policy.unchanged"
    assert put(policed, NEW).version == 2
    assert put(policed, LAB).version == 3, "going back is a new version of the old text"
    assert now(policed).lab.name == "Example Lab"
    with read(policed) as unit:
        assert policy.current_text(unit) == LAB


def test_a_publication_that_is_rolled_back_is_not_remembered(policed: System) -> None:
    put(policed, LAB)
    with pytest.raises(RuntimeError), begin(policed) as unit:
        policy.store(unit, NEW, "lab.yaml", "dee")
        assert policy.current(unit).version == 2
        raise RuntimeError("power is gone")
    assert now(policed).version == 1
    assert put(policed, NEW).version == 2


def test_an_older_database_is_refused_by_the_memory(policed: System, database: Database, tmp_path: Path) -> None:
    put(policed, LAB)
    put(policed, NEW)
    with database.engine.begin() as connection:
        connection.execute(sql("UPDATE policy_pointer SET version = 1"))
    assert code(policed) == "policy.rolled_back"
    policed.bind(PolicyMemory, FilePolicyMemory(tmp_path / "policy.memory"))
    assert code(policed) == "policy.rolled_back"


def test_a_version_signed_elsewhere_is_remembered_when_seen(policed: System, tmp_path: Path) -> None:
    put(policed, LAB)
    put(policed, NEW)
    (tmp_path / "other").mkdir()
    policed.bind(PolicyMemory, FilePolicyMemory(tmp_path / "other" / "memory"))
    assert now(policed).version == 2
    assert policed.part(PolicyMemory).newest().version == 2


def test_another_text_under_a_used_version_is_a_fork(policed: System, tmp_path: Path) -> None:
    put(policed, LAB)
    (tmp_path / "policy.memory").write_text('{"version": 1, "digest": "sha256:other"}')
    assert code(policed) == "policy.forked"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": "1", "digest": "x"}', '{"version": 0, "digest": "x"}']
)
def test_a_broken_memory_stops_everything(policed: System, tmp_path: Path, content: str) -> None:
    put(policed, LAB)
    (tmp_path / "policy.memory").write_text(content)
    assert code(policed) == "policy.memory_broken"


def test_a_memory_that_disappears_while_running_stops_everything(policed: System, tmp_path: Path) -> None:
    put(policed, LAB)
    assert now(policed).version == 1
    (tmp_path / "policy.memory").unlink()
    assert code(policed) == "policy.memory_broken"


def test_the_memory_never_goes_back(tmp_path: Path) -> None:
    one, other = FilePolicyMemory(tmp_path / "m"), FilePolicyMemory(tmp_path / "m")
    one.remember(2, "b")
    other.remember(1, "a")
    assert (one.newest(), other.newest()) == (one.newest(), one.newest())
    assert other.newest().version == 2 and (tmp_path / "m").stat().st_mode & 0o777 == 0o600
