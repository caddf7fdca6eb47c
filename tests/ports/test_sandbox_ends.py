"""The end of a run's time and its place on the processor, kept outside of a server that is starved or stands still."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.ports.benches import Bench

from weighthouse.core.leash import leashed
from weighthouse.runs.adapters.cgroups import sessions_share
from weighthouse.runs.ports import Handle

LIMIT_S = 60
# Children in sessions of their own, deaf to every signal that can be ignored, their parent among them.
DEAF = (
    "import os, signal, time\n"
    "for n in range(1, 32):\n"
    "    try: signal.signal(n, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\n"
    "for _ in range(4):\n"
    "    if os.fork() == 0:\n"
    "        try: os.setsid()\n"
    "        except OSError: pass\n"
    "        while True: pass\n"
    "print('going', flush=True)\n"
    "while True: time.sleep(1)"
)


def within(found: Callable[[], object]) -> bool:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found():
            return True
        time.sleep(0.02)
    return False


def below(pid: int) -> dict[int, str]:
    """Return the start time by id of every process that descends from `pid`, itself included."""
    parents, begun = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)], begun[int(entry.name)] = int(fields[1]), fields[19]
    family = {pid}
    while more := {one for one, parent in parents.items() if parent in family} - family:
        family |= more
    return {one: begun[one] for one in family if one in begun}


def living(family: dict[int, str]) -> list[int]:
    found = []
    for pid, begun in family.items():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and fields[19] == begun:
            found.append(pid)
    return found


def going(handle: Handle) -> dict[int, str]:
    """Wait until the code inside has spoken; return every process of it."""
    assert within(lambda: any(line.text == "going" for line in handle.lines(50)))
    return below(handle.pid)


def test_a_run_is_gone_at_its_end_though_nobody_outside_does_anything(bench: Bench) -> None:
    ends = time.monotonic() + 20
    handle = bench.start(DEAF, ends=ends)
    try:
        family = going(handle)
        assert time.monotonic() < ends and len(family) > 1 and not handle.overdue
        assert within(lambda: not living(family)), living(family)  # no method of the handle was called
        assert time.monotonic() >= ends
        assert handle.wait(5_000) == 128 + signal.SIGALRM and handle.overdue
    finally:
        handle.stop()


def test_a_run_that_ends_before_its_end_says_how(bench: Bench) -> None:
    for code, status in (("import sys; sys.exit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + 9)):
        handle = bench.start(code, ends=time.monotonic() + LIMIT_S)
        try:
            assert handle.wait(LIMIT_S * 1000) == status and not handle.overdue
        finally:
            handle.stop()


def test_what_was_to_end_before_it_began_never_begins(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    command = leashed(["/usr/bin/touch", str(mark)], ends=time.monotonic() - 1)
    assert os.spawnv(os.P_WAIT, command[0], command) == 93 and not mark.exists()


def test_a_run_stands_behind_everything_else_and_dies_first_when_memory_runs_out(bench: Bench) -> None:
    handle = bench.start(DEAF, ends=time.monotonic() + LIMIT_S)
    try:
        family = going(handle)
        inside = set(family) - {handle.pid}
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in inside} == {19}
        assert {Path(f"/proc/{pid}/oom_score_adj").read_text().strip() for pid in inside} == {"1000"}
        if bench.sandbox.tier == "bubblewrap" and sessions_share():  # and the bench has no control group
            sessions = {os.getsid(pid) for pid in inside}
            assert len(sessions) == 1 and sessions != {os.getsid(handle.pid)}
            assert {Path(f"/proc/{pid}/autogroup").read_text().split(" nice ")[1].strip() for pid in inside} == {"19"}
        # The keeper is the server's own, and has to be awake for nothing.
        assert os.getpriority(os.PRIO_PROCESS, handle.pid) == os.getpriority(os.PRIO_PROCESS, 0)
    finally:
        handle.stop()
    assert within(lambda: not living(family))


# The guard is stopped where the kernel lets it be, and whatever of it can be opened is named.
JAM = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
found = []
for pid in (1, 2):
    if pid != os.getpid():
        try: os.kill(pid, signal.SIGSTOP)
        except OSError: pass
        for number in range(9):
            try: found.append(os.open(f'/proc/{pid}/fd/{number}', os.O_WRONLY | os.O_NONBLOCK))
            except OSError: pass
print('opened', len(found)); print('going', flush=True)
while True: time.sleep(1)
"""
MORE_THAN_A_PIPE_HOLDS = 20_000


def test_nothing_that_is_said_towards_a_run_waits_for_it_though_its_guard_is_stopped(bench: Bench) -> None:
    handle = bench.start(JAM, ends=time.monotonic() + LIMIT_S)
    asking = threading.Thread(target=lambda: [handle.terminate() for _ in range(MORE_THAN_A_PIPE_HOLDS)], daemon=True)
    try:
        family = going(handle)
        asking.start()
        asking.join(LIMIT_S / 2)
        assert not asking.is_alive() and handle.wait(0) is None
        handle.kill()
        assert within(lambda: not living(family)), living(family)
    finally:
        handle.stop()


def test_the_code_finds_no_pipe_on_which_the_server_speaks_to_its_guard(bench: Bench) -> None:
    said: list[str] = []
    handle = bench.start(JAM, ends=time.monotonic() + LIMIT_S)
    try:
        assert within(lambda: said.extend(line.text for line in handle.lines(50)) or "going" in said)
    finally:
        handle.stop()
    assert said[0] == "opened 0", said


# The usual way to end a helper with all of its children. A session that is refused is told, and a group will do.
HELPER = """
import os, signal, subprocess, sys, time
helper = [sys.executable, '-I', '-S', '-c', 'import os, time; os.fork(); print(flush=True); time.sleep(600)']
try: made = subprocess.Popen(helper, start_new_session=True, stdout=subprocess.PIPE)
except PermissionError: made = subprocess.Popen(helper, process_group=0, stdout=subprocess.PIPE)
assert os.getpgid(made.pid) == made.pid and os.getpgid(0) == os.getpid(), (os.getpgid(made.pid), os.getpgid(0))
made.stdout.readline()
os.killpg(os.getpgid(made.pid), signal.SIGTERM)
print('ended', made.wait(), made.stdout.read().strip(), flush=True)  # its end comes when the last child is gone
"""


def test_a_helper_is_ended_with_its_children_and_the_run_goes_on(bench: Bench) -> None:
    ended = bench.run(HELPER)
    assert (ended.status, ended.out) == (0, ["ended -15 b''"]), ended


# What a program sends to its own group, and to the first process, whose number every program knows.
SIGNALS = """
import os, signal, time
heard = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    signal.signal(number, lambda number, _: heard.append(number))
    os.kill(0, number)
    for pid in (1, os.getppid()):
        try: os.kill(pid, number)
        except OSError: pass
time.sleep(1)
print('heard', len(heard), flush=True)
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_to_the_runs_own_group_or_to_the_first_process_does_not_end_its_guard(bench: Bench) -> None:
    ended = bench.run(SIGNALS)
    assert (ended.status, ended.out) == (128 + 10, ["heard 3"]), ended
