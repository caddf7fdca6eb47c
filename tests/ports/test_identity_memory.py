"""identity's memory outside the database: what every adapter of the port promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory
from weighthouse.identity.store.memory import SWEEP_AT, ProcessMemory


@pytest.fixture(params=["process", "file"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    return ProcessMemory() if request.param == "process" else FileMemory(tmp_path / "memory", now=0)


def test_a_version_only_grows(memory: Memory) -> None:
    assert memory.version("ada") == 0
    for version, kept in ((2, 2), (1, 2), (3, 3)):
        memory.raise_version("ada", version)
        assert memory.version("ada") == kept
    assert memory.version("ben") == 0


def test_a_moment_is_later_once_and_never_again(memory: Memory) -> None:
    assert memory.is_later("factor a", 7)
    assert not memory.is_later("factor a", 7) and not memory.is_later("factor a", 6)
    assert memory.is_later("factor a", 8) and memory.is_later("factor b", 7)


def test_a_condemned_session_stays_condemned_until_it_could_not_live(memory: Memory) -> None:
    memory.condemn("ses_1", 100)
    memory.condemn("ses_1", 50)  # a second end does not shorten the first
    memory.forget(99)
    assert memory.condemned("ses_1") and not memory.condemned("ses_2")
    assert memory.all_condemned() == ("ses_1",)
    memory.forget(100)
    assert not memory.condemned("ses_1") and memory.all_condemned() == ()


def test_a_one_time_value_is_new_once_within_its_time(memory: Memory) -> None:
    assert memory.first_use("jti", keep_until=100, now=0)
    assert not memory.first_use("jti", keep_until=100, now=99)
    assert memory.first_use("jti", keep_until=200, now=100)


def test_a_flood_of_one_time_values_pushes_none_out_that_still_counts(memory: Memory) -> None:
    assert memory.first_use("jti", keep_until=1_000, now=0)
    for number in range(3 * SWEEP_AT):
        assert memory.first_use(f"flood-{number}", keep_until=10, now=number // 1_000)
    assert not memory.first_use("jti", keep_until=1_000, now=20)


def test_a_second_process_does_not_cut_off_the_one_that_serves(tmp_path: Path) -> None:
    serving = FileMemory(tmp_path / "memory", now=0)
    serving.condemn("ses_1", 100)
    looking = FileMemory(tmp_path / "memory", now=0)
    assert looking.condemned("ses_1")
    serving.condemn("ses_2", 100)
    looking.close()
    serving.close()
    again = FileMemory(tmp_path / "memory", now=0)
    assert again.condemned("ses_1") and again.condemned("ses_2")
    again.close()
