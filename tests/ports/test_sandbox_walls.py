"""What a hostile program tries against the walls of its sandbox, in every driver: each attempt really happens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.ports.benches import Bench, driver, mount
from tests.ports.conftest import BUBBLEWRAP

from weighthouse.core.errors import Unavailable
from weighthouse.runs.adapters import bubblewrap, cgroups, held, machine
from weighthouse.runs.model import Environment

pytestmark = pytest.mark.ordinary

CALL = """
import ctypes, errno, fcntl, json, mmap, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
AARCH64 = {272: 97, 56: 220, 101: 117, 310: 270, 250: 219, 248: 217, 425: 425, 323: 282, 298: 241, 321: 280, 165: 40,
           428: 428, 304: 265, 135: 92, 41: 198, 72: 25, 294: 26, 313: 273, 16: 29, 206: 0,
           54: 208, 157: 167, 317: 277, 64: 190, 68: 186}
def call(number, *rest):
    ctypes.set_errno(0)
    number = number if os.uname().machine == 'x86_64' else AARCH64.get(number, -1)  # some calls it does not have
    held = [ctypes.c_long(one) if isinstance(one, int) else one for one in rest]
    got = libc.syscall(ctypes.c_long(number), *held)
    return 'DONE' if got >= 0 else errno.errorcode[ctypes.get_errno()]
def apart(what):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, what().encode()); os._exit(0)
    os.waitpid(child, 0)
    return os.read(reading, 99).decode()
def tried(what):
    try: what()
    except OSError as error: return errno.errorcode[error.errno]
    return 'DONE'
"""
FILTER = """
steps = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))
program = struct.pack('HxxxxxxQ', 1, ctypes.addressof(steps))
def option(family, kind, *rest):
    with socket.socket(family, kind) as one: one.setsockopt(*rest)
def lock(command):
    with open('/tmp/locked', 'w') as file: fcntl.fcntl(file, command, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 1, 0))
"""
EVENT = "struct.pack('<IIQ', 1, 112, 0).ljust(40, b'\\0') + struct.pack('<Q', 0x60)"
# x86_64 numbers, turned into aarch64's there. Without the filter most of these succeed in a namespace-only sandbox on a
# current kernel.
ATTEMPTS = {
    "a user namespace": "apart(lambda: call(272, 0x10000000))",
    "a user namespace by clone": "call(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "tracing its parent": "call(101, 16, 1, 0, 0)",
    "the memory of another process": "call(310, 1, 0, 0, 0, 0, 0)",
    "the session keyring": "call(250, 0, -3, 1)",
    "a new key": "call(248, b'user', b'k', b'v', 1, -3)",
    "asynchronous I/O, of which the machine has 65536": "call(206, 1, ctypes.create_string_buffer(8))",
    "a compiled filter on a socket": "tried(lambda: option(socket.AF_UNIX, socket.SOCK_DGRAM, 1, 26, program))",
    "a compiled filter on a port": "tried(lambda: option(socket.AF_INET, socket.SOCK_DGRAM, 1, 51, program))",
    "a filter of calls": "apart(lambda: call(317, 1, 0, program))",
    "a filter of calls by prctl": "apart(lambda: call(157, 22, 2, program, 0, 0))",
    "a flow label, of which the machine has 4096": (
        "tried(lambda: option(socket.AF_INET6, socket.SOCK_DGRAM, 41, 32, "
        "bytes(15) + struct.pack('>BIBBHHHI', 1, 7, 0, 255, 1, 10, 60, 0)))"
    ),
    "a terminal": "tried(os.openpty)",
    "a lock that nobody can count": "tried(lambda: lock(37))",
    "open files shared by two processes": "apart(lambda: call(56, 0x400 | 17, 0, 0, 0, 0))",
    "a set of semaphores": "call(64, 0, 8, 0o1600)",
    "a queue of messages": "call(68, 0, 0o1600)",
    "huge pages of the machine": "tried(lambda: mmap.mmap(-1, 2 << 20, flags=0x40022))",
    "io_uring": "call(425, 4, ctypes.create_string_buffer(256))",
    "userfaultfd": "call(323, 1)",
    "a performance event": f"call(298, {EVENT}, 0, -1, -1, 0)",
    "bpf": "call(321, 0, ctypes.create_string_buffer(128), 72)",
    "a mount": "call(165, b'none', b'/tmp', b'tmpfs', 0, 0)",
    "a tree of mounts": "call(428, -100, b'/', 1)",
    "a file handle": "call(304, -1, 0, 0)",
    "another personality": "call(135, 0x40000)",
    "a local descriptor table": "call(154, 0, 0, 0)",
    "a virtual socket to the hypervisor": "call(41, 40, 1, 0)",
    "a netlink socket": "call(41, 16, 3, 0)",
    "a packet socket": "call(41, 17, 3, 0)",
    "a raw socket": "call(41, 2, 3, 1)",
    "a crypto socket": "call(41, 38, 5, 0)",
    "a lease on a shared file": "call(72, os.open('/data/shared', os.O_RDONLY), 1024, 0)",
    "a notice of who reads a shared folder": "call(72, os.open('/data', os.O_RDONLY), 1026, 1)",
    "a hint that stays with a shared file": "call(72, os.open('/data/shared', os.O_RDONLY), 1036, b'\\2' + bytes(7))",
    "the hint of a shared file": "call(72, os.open('/data/shared', os.O_RDONLY), 1035, bytes(8))",
    "what a file system keeps in mind": "call(16, os.open('/data/shared', os.O_RDONLY), 0x6628, 0)",
    "where a shared file lies": "call(16, os.open('/data/shared', os.O_RDONLY), 0xC020660B, bytes(600))",
    "the attributes of a shared file": "call(16, os.open('/data/shared', os.O_RDONLY), 0x80086601, bytes(8))",
    "a watch on shared files": "call(294, 0)",
    "a kernel module": "call(313, -1, b'', 0)",
    "a block device": "call(133, b'/tmp/disk', 0o60666, 0x0801)",
    "a block device in a folder": "tried(lambda: os.mknod('/tmp/disk', 0o60666, 0x0801))",
    "the kernel's pattern for dumps": "tried(lambda: open('/proc/sys/kernel/core_pattern', 'r+'))",
    "the kernel's caches": "tried(lambda: open('/proc/sys/vm/drop_caches', 'w'))",
    "a way around the size of files in /dev": "tried(lambda: open('/dev/large', 'w'))",
    "a set-user-id file": "tried(lambda: (open('/out/id', 'w').close(), os.chmod('/out/id', 0o6777)))",
    "a set-user-id file at once": "tried(lambda: os.close(os.open('/out/id2', os.O_CREAT | os.O_WRONLY, 0o4777)))",
}
# gVisor answers these itself, from a kernel of its own in user space: what is done there reaches no host.
OWN_KERNEL = {
    "a user namespace", "a user namespace by clone", "the memory of another process", "the session keyring",
    "a compiled filter on a socket", "a compiled filter on a port", "a filter of calls", "a filter of calls by prctl",
    "a flow label, of which the machine has 4096", "a terminal", "a lock that nobody can count",
    "open files shared by two processes", "a set of semaphores", "a queue of messages",
    "asynchronous I/O, of which the machine has 65536", "huge pages of the machine", "a netlink socket", "a lease on a shared file", "a watch on shared files", "a set-user-id file", "a set-user-id file at once", "tracing its parent",
}  # fmt: skip


def test_runs_case_58_no_call_leads_out_of_the_sandbox(bench: Bench, short: Path) -> None:
    out = short / "out"
    out.mkdir()
    out.chmod(0o777)
    pairs = ", ".join(f"{name!r}: {text}" for name, text in ATTEMPTS.items())
    data = short / "data"
    data.mkdir()
    (data / "shared").write_text("read-only for everybody")
    done = bench.run(
        CALL + FILTER + f"print(json.dumps({{{pairs}}}))", mount(out, "/out", writable=True), mount(data, "/data")
    )
    assert done.status == 0, done.err
    said = json.loads(done.out[-1])
    allowed = OWN_KERNEL if bench.sandbox.tier == "gvisor" else set()
    assert {name for name, answer in said.items() if answer == "DONE"} <= allowed, said


def test_runs_case_58_a_crash_leaves_no_dump_to_a_file_or_to_a_program_of_the_host(bench: Bench) -> None:
    done = bench.run(
        "import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[1] <= 1)\n"
        "try: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)); print('RAISED')\n"
        "except ValueError: print('refused')"
    )
    assert done.out == ["True", "refused"]


def test_runs_case_58_what_the_kernel_tells_of_the_machine_is_covered(bench: Bench) -> None:
    done = bench.run(
        "import os\n"
        "for name in ('kcore', 'keys', 'kallsyms', 'iomem', 'timer_list', 'interrupts'):\n"
        "    try: print(name, len(open('/proc/' + name, 'rb').read(99)))\n"
        "    except OSError: pass\n"
        "print(sorted(os.listdir('/proc/self/fd')), open('/proc/net/unix').read().count('\\n'))"
    )
    assert done.out == ["['0', '1', '2', '3'] 1"], (done.out, done.err)


# Every file of /proc that can be read and is no process's, twice, with load, reading and open files in between.
NUMBERS = """
import json, os, sys
def read():
    found = {}
    for at, folders, names in os.walk('/proc'):
        if at == '/proc': folders[:] = [one for one in folders if not one.isdigit() and one not in ('self', 'thread-self', 'net')]
        for name in names:
            try: found[os.path.join(at, name)] = open(os.path.join(at, name), 'rb').read(4096).hex()
            except OSError: pass
    return found
first = read()
held = [open(os.path.join(at, name), 'rb') for at, _, names in os.walk('/usr/lib/python3') for name in names[:3]][:200]
sum(range(3_000_000)); data = bytes(64 << 20); os.wait() if os.fork() else os._exit(0)
second = read()
print(json.dumps([sorted(first), [name for name in first if first[name] != second.get(name)]]))
"""


@pytest.mark.parametrize("name", BUBBLEWRAP)  # gVisor's kernel counts its own
def test_no_number_of_the_whole_machine_moves_where_another_run_could_read_it(
    name: str, environment: Environment, short: Path
) -> None:
    done = Bench(driver(name), environment, short).run(NUMBERS)
    assert done.status == 0, done.err
    readable, moved = json.loads(done.out[-1])
    shown = {f"/proc/{one}" for one in (*machine.TEXTS, *machine.SHOWN, *(f"sys/{one}" for one in machine.SET))}
    assert {one for one in readable if not one.startswith("/proc/mounts")} <= shown
    assert set(moved) <= {"/proc/sys/kernel/random/uuid"}, moved


def test_programs_find_the_processors_and_the_memory_that_they_look_for(bench: Bench) -> None:
    done = bench.run(
        "import os, numpy\n"
        "total = int(open('/proc/meminfo').read().split()[1])\n"
        "print(os.cpu_count() == open('/proc/cpuinfo').read().count('processor\\t:'), total > 0,\n"
        "      len(os.getloadavg()), os.isatty(1), float((numpy.ones((300, 300)) @ numpy.ones((300, 300))).sum()))"
    )
    assert done.out == ["True True 3 False 27000000.0"], (done.out, done.err)


def test_no_command_line_tells_a_run_where_the_server_keeps_its_state(bench: Bench, short: Path) -> None:
    kept = short / "state" / "objects"
    kept.mkdir(parents=True)
    done = bench.run(
        "import os\n"
        "for pid in os.listdir('/proc'):\n"
        "    if pid.isdigit(): print(open(f'/proc/{pid}/cmdline').read().replace('\\0', ' '), '|', end='')",
        mount(kept, "/in"),
        out="/out",
    )
    assert "guard.py" in done.out[0] and str(short) not in " ".join(done.out), done.out


def test_programs_that_share_memory_and_locks_work(bench: Bench) -> None:
    done = bench.run(
        "import multiprocessing as m\nl = m.Lock()\nprint(m.get_context('fork').Pool(2).map(abs, [-1, -2]))\n"
        "f = open('/dev/shm/full', 'wb')\n"
        "try:\n    for _ in range(64): f.write(bytes(1 << 20))\nexcept OSError: print('full')",
        tmp_bytes=16 << 20,
    )
    assert done.out == ["[1, 2]", "full"], done.err


def test_a_processor_without_a_table_of_calls_starts_nothing(
    environment: Environment, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap.platform, "machine", lambda: "riscv64")  # type: ignore[attr-defined]
    with pytest.raises(Unavailable) as refused:
        Bench(driver("bubblewrap in a user namespace"), environment, short).start("print(1)")
    assert refused.value.code == "runs.sandbox_failed" and "riscv64" in refused.value.message


def test_a_filter_that_was_left_out_starts_no_submitted_code(
    environment: Environment, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(command: list[str], points: list[tuple[int, str]], **others: bool) -> list[str]:
        at = command.index("--seccomp")
        return held.behind([*command[:at], *command[at + 2 :]], points, **others)

    monkeypatch.setattr(bubblewrap, "behind", without)
    with pytest.raises(Unavailable) as refused:
        Bench(driver("bubblewrap in a user namespace"), environment, short).start("print(1)")
    assert refused.value.code == "runs.sandbox_is_host" and "no filter" in refused.value.message


HOG = """
import mmap, os, sys, time
print('begun', flush=True)
for child in range(12):  # each is below its own limit, and shared memory counts to no process at all
    if os.fork() == 0:
        held = mmap.mmap(-1, 48 << 20)
        for at in range(0, 48 << 20, 4096): held[at] = 1
        time.sleep(60)
while True:
    if os.wait()[1]: sys.exit(7)
"""


def found() -> cgroups.Groups:
    """Where groups may be made here, or a loud failure."""
    groups = cgroups.find()
    if groups is None:
        pytest.fail("this user may make no control group on this machine: run these tests as root (make test-groups)")
    return groups


def test_a_run_without_a_control_group_says_so_in_its_facts(environment: Environment, short: Path) -> None:
    name = "bubblewrap" if os.geteuid() == 0 else "bubblewrap in a user namespace, rootless"
    handle = Bench(driver(name), environment, short).start("print('here')")
    handle.stop()
    assert "may make no control group" in handle.facts.confinement


@pytest.fixture(params=["bubblewrap", pytest.param("gvisor", marks=pytest.mark.real_gvisor)])
def grouped(request: pytest.FixtureRequest, environment: Environment, short: Path) -> Bench:
    found()
    name = request.param if os.geteuid() == 0 else f"{request.param} in a user namespace, rootless"
    return Bench(driver(f"{name} with a control group"), environment, short)


@pytest.mark.control_group
@pytest.mark.timeout(120)
def test_runs_case_58_the_sum_of_a_runs_memory_is_limited_and_the_run_is_told(grouped: Bench) -> None:
    handle = grouped.start(HOG, memory_bytes=192 << 20)
    folders = [Path(path).parent for path in handle._group.join]  # type: ignore[attr-defined]
    assert all(folder.is_dir() for folder in folders) and "control group" in handle.facts.confinement
    bounds = [folder / cgroups.WITH_SWAP for folder in folders if (folder / cgroups.WITH_SWAP).exists()]
    for bound in bounds:  # gVisor's own memory is in the run's group beside it
        alone = (bound.parent / "memory.limit_in_bytes").read_text()
        assert bound.read_text() == alone, "the machine's swap is not of the run's memory"
        assert 192 << 20 <= int(alone) < 1 << 30
    status = None
    while status is None:
        status = handle.wait(50)
    said = [line.text for line in handle.lines(0)]
    handle.stop()
    assert status and any("used all of its memory" in text for text in said), (status, said)
    assert not any(folder.exists() for folder in folders)


@pytest.mark.control_group
def test_runs_case_58_a_fork_bomb_meets_the_group_even_where_root_is_exempt(
    environment: Environment, short: Path
) -> None:
    found()
    if os.geteuid() != 0:
        pytest.fail("only root is exempt from the limit of processes: run this test as root (make test-groups)")
    bench = Bench(driver("bubblewrap in a user namespace with a control group"), environment, short)
    done = bench.run(
        "import os, time\ncount = 0\n"
        "try:\n    while count < 200:\n        if os.fork() == 0: time.sleep(5); os._exit(0)\n        count += 1\n"
        "except OSError: print('stopped', count < 40)",
        processes=32,
    )
    assert done.out == ["stopped True"]


@pytest.mark.control_group
def test_groups_of_a_server_that_died_are_swept_and_those_of_a_live_one_kept() -> None:
    groups = found()
    base = groups._bases[0]
    left = base / f"{cgroups.PREFIX}{os.getpid()}-1-abcdef"
    kept = base / f"{groups._name}abcdef"
    left.mkdir(), kept.mkdir()
    try:
        groups.sweep()
        assert not left.exists() and kept.is_dir()
    finally:
        kept.rmdir()


SESSIONS = """
import os, time
for _ in range(20):
    if os.fork() == 0: os.setsid(); time.sleep(30); os._exit(0)
print('ready', flush=True); time.sleep(30)
"""


@pytest.mark.control_group
def test_runs_case_58_sessions_do_not_multiply_a_runs_share_of_the_processor(
    environment: Environment, short: Path
) -> None:
    """All of them in one group with one share; left alone, each session would have one like the server's."""
    found()
    handle = Bench(driver("bubblewrap with a control group"), environment, short).start(SESSIONS)
    while not handle.lines(1000):
        pass
    limits = [Path(at).with_name(name) for at in handle._group.join for name in ("cpu.shares", "cpu.weight")]  # type: ignore[attr-defined]
    there = [file for file in limits if file.exists()]
    said = [(file.read_text().strip(), len(file.with_name("cgroup.procs").read_text().split())) for file in there]
    handle.stop()
    assert len(said) == 1 and said[0][0] in ("512", "50") and said[0][1] > 20, said
    assert not there[0].parent.exists()


# Connections and datagrams that nobody reads, as many as may be open: 750 MiB of the machine's, and 320 more.
UNREAD = """
import socket
meant, kept = socket.socket(), []
meant.bind(('127.0.0.1', 0)); meant.listen(4096)
for _ in range(100):
    one = socket.create_connection(meant.getsockname()); other = meant.accept()[0]; kept += [one, other]
    one.setblocking(False)
    try:
        while True: one.send(bytes(1 << 20))
    except BlockingIOError: pass
for _ in range(600):
    one = socket.socket(type=socket.SOCK_DGRAM); one.bind(('127.0.0.1', 0)); kept.append(one)
    one.setblocking(False)
    try:
        for _ in range(12): one.sendto(bytes(60_000), one.getsockname())
    except OSError: pass
mib = sum(int(line.split()[line.split().index('mem') + 1]) for line in open('/proc/self/net/sockstat')
          if line.startswith(('TCP:', 'UDP:'))) * 4096 >> 20
print(mib, flush=True)  # of the whole machine, as what is taken is the machine's
"""


@pytest.mark.control_group
def test_what_the_sockets_of_a_run_hold_is_bounded_for_they_share_what_the_machine_has(
    environment: Environment, short: Path
) -> None:
    found()
    bench = Bench(driver("bubblewrap with a control group"), environment, short)
    done = bench.run(UNREAD, memory_bytes=512 << 20)
    assert done.status == 0, done.err
    assert int(done.out[0]) <= 160, done.out
