"""What the kernel counts for the whole machine, or for nobody: no run takes it, and honest code misses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.ports.benches import Bench, driver
from tests.ports.conftest import BUBBLEWRAP

from weighthouse.runs.model import Environment

pytestmark = pytest.mark.ordinary

# Filters of every size, the large ones first, on as many sockets as four processes may open.
FILTERS = """
import ctypes, errno, os, socket, struct
def program(steps):
    held = ctypes.create_string_buffer(struct.pack('HBBI', 0x34, 0, 0, 3) * (steps - 1) + struct.pack('HBBI', 6, 0, 0, 9))
    return held, struct.pack('HxxxxxxQ', steps, ctypes.addressof(held))
programs = [program(4096 >> left) for left in range(13)]
made = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(400)]
taken = 0
for one in made:
    for option in (26, 51):
        try: one.setsockopt(socket.SOL_SOCKET, option, programs[0][1]); taken += 1
        except OSError as error: why = errno.errorcode[error.errno]
print(taken, why)
"""
# What programs for training, their caches and their servers lock and set.
HONEST = """
import asyncio, fcntl, multiprocessing, os, socket, sqlite3, subprocess, sys
def insert(number):
    with sqlite3.connect('/tmp/cache.db', timeout=60) as base: base.execute('INSERT INTO kept VALUES (?)', (number,))
for mode in ('DELETE', 'WAL'):
    with sqlite3.connect('/tmp/cache.db') as base:
        base.execute(f'PRAGMA journal_mode={mode}'); base.execute('CREATE TABLE IF NOT EXISTS kept (n)')
    with multiprocessing.get_context('fork').Pool(3) as pool: pool.map(insert, range(20))
print(base.execute('SELECT count(*) FROM kept').fetchone()[0])
with open('/tmp/lock', 'w') as file:
    fcntl.flock(file, fcntl.LOCK_EX); fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
async def talk():
    async def answer(reading, writing): writing.write(await reading.read(1)); writing.close()
    server = await asyncio.start_server(answer, '127.0.0.1', 0, reuse_port=True)
    reading, writing = await asyncio.open_connection(*server.sockets[0].getsockname())
    own = writing.get_extra_info('socket')
    for level, option in ((1, socket.SO_KEEPALIVE), (6, socket.TCP_NODELAY), (6, socket.TCP_USER_TIMEOUT)): own.setsockopt(level, option, 1)
    own.setsockopt(1, socket.SO_SNDBUF, 65536); own.setsockopt(1, socket.SO_LINGER, bytes(8))
    writing.write(b'x'); return (await reading.read()).decode()
print(asyncio.run(talk()), subprocess.run([sys.executable, '-c', 'print(7)'], capture_output=True, text=True).stdout.strip())
"""


@pytest.mark.parametrize("name", BUBBLEWRAP)  # gVisor compiles none on the host
def test_a_run_takes_no_compiled_filters_and_the_next_one_starts(
    name: str, environment: Environment, short: Path
) -> None:
    """528 MB of the machine (net.core.bpf_jit_limit), taken by four processes: no sandbox of anybody started."""
    bench = Bench(driver(name), environment, short)
    done = bench.run(FILTERS)
    assert done.out == ["0 ENOPROTOOPT"], done.err
    assert bench.run("print('started')").out == ["started"]


def test_what_honest_code_locks_and_sets_is_there(bench: Bench) -> None:
    done = bench.run(HONEST)
    assert (done.out, done.err) == (["40", "x 7"], [])
