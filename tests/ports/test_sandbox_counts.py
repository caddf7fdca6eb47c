"""What the kernel counts for a user or for the machine: no run uses up what the server needs of it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.ports.benches import Bench, driver
from tests.ports.conftest import BUBBLEWRAP
from tests.ports.test_sandbox_ends import below

from weighthouse.core.leash import leashed
from weighthouse.runs.adapters.bubblewrap import PARTS, files_needed, files_of_us, open_at_once, process_limits
from weighthouse.runs.model import Environment, Limits

WATCH = """
import asyncio, errno, select, socket, time
try:
    made = select.epoll(); made.register(socket.socket(), select.EPOLLIN); print("watches")
except OSError as error: print(errno.errorcode[error.errno])
async def talk():
    one, other = socket.socketpair()
    reader, _ = await asyncio.open_connection(sock=one)
    other.send(b"x"); return await reader.readexactly(1)
print(asyncio.run(talk()).decode())
print("going", flush=True); time.sleep(600)
"""


def test_no_run_watches_files_at_the_cost_of_the_servers_own_user(bench: Bench) -> None:
    """U3: the kernel's count of epoll watches is one for each user of the host, whatever the namespace."""
    said: list[str] = []
    handle = bench.start(WATCH, ends=time.monotonic() + 60)
    try:
        deadline = time.monotonic() + 30
        while "going" not in said and time.monotonic() < deadline:
            said += [line.text for line in handle.lines(50)]
        # The keeper is the server's; the others are what a run's own calls are counted for.
        users = {Path(f"/proc/{pid}").stat().st_uid for pid in below(handle.pid)} - {0}
        shares = bench.sandbox.tier == "bubblewrap" and "own user id" not in handle.facts.confinement
        assert said[-2:] == ["x", "going"], said  # what is written for asyncio goes on in either case
        assert said[-3] == ("ENOSYS" if shares else "watches")
        assert shares or bench.sandbox.tier == "gvisor" or users - {os.geteuid()}
    finally:
        handle.stop()


@pytest.mark.parametrize("name", BUBBLEWRAP)  # gVisor's kernel counts its own
def test_signals_queues_and_files_of_one_run_are_a_part_of_what_the_machine_has(
    name: str, environment: Environment, short: Path
) -> None:
    bench = Bench(driver(name), environment, short)
    names = ("SIGPENDING", "MSGQUEUE", "NOFILE")
    code = f"import resource; print([resource.getrlimit(getattr(resource, 'RLIMIT_' + n)) for n in {names!r}])"
    wanted = process_limits(Limits())
    assert bench.run(code).out == [str([(wanted[one], wanted[one]) for one in names])]
    assert wanted["NOFILE"] * Limits().processes * PARTS <= open_at_once()


def test_what_starts_a_run_may_hand_on_descriptors_though_others_have_many_under_way() -> None:
    def low() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    show = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"]
    done = subprocess.run(leashed(show, meek=True), preexec_fn=low, capture_output=True, text=True, check=True)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert done.stdout.strip() == str((most, most))


ASK = (
    "from weighthouse.runs.adapters.bubblewrap import files_needed, files_of_us, process_limits\n"
    "from weighthouse.runs.model import Limits\n"
    "print(process_limits(Limits())['NOFILE'], files_of_us() < files_needed(Limits()))"
)


@pytest.mark.parametrize("most", [1024, 4096])
def test_a_run_may_have_far_fewer_files_open_than_what_starts_it_and_a_narrow_server_knows(most: int) -> None:
    """unix(7): what one user has under way counts against the limit of whoever of that user sends next."""

    def narrow() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    done = subprocess.run([sys.executable, "-c", ASK], preexec_fn=narrow, capture_output=True, text=True, check=True)
    files, weak = done.stdout.split()
    assert int(files) * 4 <= most and weak == "True"
    wide = files_needed(Limits())
    assert wide - process_limits(Limits())["NOFILE"] >= Limits().processes * 253 and files_of_us() > 0
