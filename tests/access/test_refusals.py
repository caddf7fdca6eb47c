"""The memory of ends and holds: durable, shared by processes of one machine, and closed when it is damaged."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.access.support import Lab
from weighthouse.access import api, jobs
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.model import Hold
from weighthouse.access.ports import Refusals
from weighthouse.core.clock import HOUR
from weighthouse.core.errors import Unavailable
from weighthouse.core.ids import HoldId
from weighthouse.core.work import begin

HOLD = Hold(id=HoldId("hld_1"), subject="model/tern", kind="security", reason="x", actions=(), placed_by="chi", at=1)


def test_what_one_process_writes_another_sees_and_a_restart_keeps(tmp_path: Path) -> None:
    one, other = FileRefusals(tmp_path / "r"), FileRefusals(tmp_path / "r")
    one.close(["grt_1", "req_1"])
    assert other.closed("grt_1") and other.closed("req_1") and not other.closed("grt_2")
    other.place(HOLD)
    assert one.holds() == (HOLD,) and not one.lifted("hld_1")
    one.lift("hld_1")
    assert other.holds() == () and other.lifted("hld_1")
    assert FileRefusals(tmp_path / "r").closed("grt_1")
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600


def test_a_torn_last_line_was_never_acknowledged_and_is_cut_off(tmp_path: Path) -> None:
    FileRefusals(tmp_path / "r").close(["grt_1"])
    with (tmp_path / "r").open("ab") as file:
        file.write(b'{"close": ["grt_2')
    again = FileRefusals(tmp_path / "r")
    assert again.closed("grt_1") and not again.closed("grt_2")
    again.close(["grt_3"])
    assert FileRefusals(tmp_path / "r").closed("grt_3")


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b"{}\n", b'{"close": "grt_1"}\n', b'{"place": {"id": 1}}\n', b"[1]\n"]
)
def test_a_damaged_memory_answers_nothing(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "r").write_bytes(line)
    with pytest.raises(Unavailable) as error:
        FileRefusals(tmp_path / "r").closed("grt_1")
    assert error.value.code == "access.memory_broken"


def test_a_memory_that_is_shortened_or_removed_while_running_answers_nothing(tmp_path: Path) -> None:
    kept = FileRefusals(tmp_path / "r")
    kept.close(["grt_1"])
    (tmp_path / "r").unlink()
    with pytest.raises(Unavailable):
        kept.closed("grt_1")
    with pytest.raises(Unavailable):
        kept.close(["grt_2"])


def test_many_threads_append_and_nothing_is_lost(tmp_path: Path) -> None:
    kept = [FileRefusals(tmp_path / "r") for _ in range(4)]
    threads = [
        threading.Thread(target=lambda n=n: [kept[n].close([f"grt_{n}_{i}"]) for i in range(20)]) for n in range(4)
    ]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fresh = FileRefusals(tmp_path / "r")
    assert all(fresh.closed(f"grt_{n}_{i}") for n in range(4) for i in range(20))


def test_the_timer_marks_what_is_over_and_tells_the_memory_what_it_missed(lab: Lab) -> None:
    ended = lab.grant("ada", duration=HOUR)
    other = lab.grant("eve", duration=8 * HOUR)
    chi = lab.caller("chi")
    with begin(lab.system, chi) as unit:
        api.revoke(unit, chi, other.id, "Not needed any more.")
    (lab.folder / "access.refusals").unlink()
    lab.bind_memories()
    lab.clock.advance(HOUR)
    assert jobs.run(lab.system) == 1
    assert jobs.run(lab.system) == 0
    kept = FileRefusals(lab.folder / "access.refusals")
    assert kept.closed(other.id) and kept.closed(ended.request.id)
    assert [timer.name for timer in jobs.timers] == ["access-tidy", "access-owed", "access-doubt"]


def test_readers_and_writers_at_once_never_think_the_memory_has_become_shorter(tmp_path: Path) -> None:
    """Found by killing servers under load: a reader's size was older than what another thread had read since."""
    memory = FileRefusals(tmp_path / "refusals")
    failures: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                memory.closed("req_x")
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for one in readers:
        one.start()
    for number in range(300):
        memory.close([f"req_{number}"])
    stop.set()
    for one in readers:
        one.join()
    assert failures == []
    assert all(memory.closed(f"req_{number}") for number in range(300))


def test_what_a_kill_left_between_memory_and_commit_can_be_ended_again_and_blocks_nothing(lab: Lab) -> None:
    """Found by killing servers under load: the memory had closed a request that its row still called pending."""
    request = lab.ask("ada")
    grant = lab.grant("eve")
    lab.system.part(Refusals).close([request.id, grant.id])
    again = lab.ask("ada")
    with begin(lab.system, lab.caller("ada")) as unit:
        assert api.withdraw(unit, lab.caller("ada"), request.id).state == "withdrawn"
    with begin(lab.system, lab.caller("eve")) as unit:
        assert api.give_back(unit, lab.caller("eve"), grant.id).state == "ended"
    assert again.state == "pending"
