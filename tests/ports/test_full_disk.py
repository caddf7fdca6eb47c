"""A memory on a disk that is full keeps what it had, says no, and keeps the fact when it is told it again.

Attack: fill the state disk, be frozen and revoked, make room, and walk in after the restart.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.full_disk import full_at

from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.audit.adapters.acknowledged import FileLines
from weighthouse.audit.adapters.embedded import FileSignerMemory
from weighthouse.audit.model import Gap, Remembered
from weighthouse.core.errors import Unavailable
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.policy.adapters.embedded import FilePolicyMemory


def refused(act: Callable[[], object], room: int) -> None:
    """See `act` refused for want of room, the same at once and again."""
    for _ in range(2):
        with full_at(room), pytest.raises(Unavailable) as error:
            act()
        assert error.value.code == "core.not_kept" and "ree space" in error.value.remedy


@pytest.mark.parametrize("room", [0, 1, 7])
def test_identity_writes_a_version_and_an_end_again_that_were_refused(tmp_path: Path, room: int) -> None:
    path = tmp_path / "identity"
    memory = FileMemory(path, now=0)
    memory.raise_version("ada", 3)
    before = path.read_bytes()
    for act in (lambda: memory.raise_version("eve", 5), lambda: memory.condemn("ses_1", 100)):
        refused(act, len(before) + room)
        assert path.read_bytes() == before
    memory.raise_version("eve", 5)
    memory.condemn("ses_1", 100)
    memory.close()
    again = FileMemory(path, now=0)
    assert (again.version("ada"), again.version("eve"), again.condemned("ses_1")) == (3, 5, True)
    again.close()


def test_identity_cuts_off_what_another_process_left_half_written(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    serving, other = FileMemory(path, now=0), FileMemory(path, now=0)
    serving.raise_version("ada", 3)
    with path.open("ab") as file:
        file.write(b"v 9 ev")  # killed in the middle of it
    other.raise_version("ben", 4)
    looking = FileMemory(path, now=0)  # not alone: it does not tidy the file up
    assert (looking.version("ada"), looking.version("ben")) == (3, 4)
    for memory in (serving, other, looking):
        memory.close()


def test_identity_starts_on_a_full_disk_with_all_that_it_knew(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    first = FileMemory(path, now=0)
    first.raise_version("ada", 3)
    first.close()
    before = path.read_bytes()
    with full_at(4):
        again = FileMemory(path, now=0)
    assert again.version("ada") == 3 and path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["identity"]
    again.close()


@pytest.mark.parametrize("room", [0, 1, 7])
def test_refusals_acknowledge_no_end_that_is_not_whole(tmp_path: Path, room: int) -> None:
    path = tmp_path / "refusals"
    memory = FileRefusals(path)
    memory.close(["grt_1"])
    before = path.read_bytes()
    refused(lambda: memory.close(["grt_2"]), len(before) + room)
    assert path.read_bytes() == before and not memory.closed("grt_2")
    memory.close(["grt_2"])
    assert FileRefusals(path).closed("grt_1") and FileRefusals(path).closed("grt_2")


def test_the_policy_memory_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    memory = FilePolicyMemory(path)
    memory.remember(1, "a" * 64)
    refused(lambda: memory.remember(2, "b" * 64), 9)
    assert FilePolicyMemory(path).newest().version == 1 and [one.name for one in tmp_path.iterdir()] == ["policy"]
    memory.remember(2, "b" * 64)
    assert FilePolicyMemory(path).newest().version == 2


def test_the_signer_remembers_nothing_that_it_could_not_write(tmp_path: Path) -> None:
    memory = FileSignerMemory(tmp_path / "log")
    memory.remember("lab", Remembered(1, b"a" * 32))
    refused(lambda: memory.remember("lab", Remembered(2, b"b" * 32)), 600)
    memory.remember("lab", Remembered(3, b"c" * 32))
    assert FileSignerMemory(tmp_path / "log").recall("lab") == Remembered(3, b"c" * 32)


def test_a_gap_that_could_not_be_kept_spoils_none_that_was(tmp_path: Path) -> None:
    one, other = Gap("wri_1", 1, 2), Gap("wri_2", 1, 2)
    FileLines(tmp_path).lose(one)
    size = (tmp_path / "lost").stat().st_size
    refused(lambda: FileLines(tmp_path).lose(other), size + 9)
    FileLines(tmp_path).lose(other)
    assert FileLines(tmp_path).lost() == (one, other)
