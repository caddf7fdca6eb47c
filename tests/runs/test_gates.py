"""A run that reaches another run's socket speaks as nobody: the kernel names who connects, and no header does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.world import WREN, RunsWorld
from weighthouse.app.gates import Gates
from weighthouse.runs import api as runs
from weighthouse.runs.ports import Tokens
from weighthouse.runs.routes.broker import SCOPE_KEY, Broker

pytestmark = pytest.mark.ordinary

ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
s.sendall((f"POST /workload/v1/token HTTP/1.1\\r\\nHost: control.weighthouse\\r\\nContent-Type: application/json\\r\\n"
           f"Content-Length: 2\\r\\nX-Weighthouse-Run: {sys.argv[2]}\\r\\nConnection: close\\r\\n\\r\\n{{}}").encode())
answer = b""
while more := s.recv(65536): answer += more
sys.stdout.write(answer.decode())
"""


def ask(path: Path | str, run: str) -> str:
    """What a process of the server's own user gets that speaks to a socket in the name of a run."""
    done = subprocess.run([sys.executable, "-c", ASK, str(path), run], capture_output=True, text=True, check=False)
    return done.stdout or done.stderr.strip().splitlines()[-1]


@pytest.fixture
def going(world: RunsWorld) -> runs.Run:
    world.grant("ada", "wren-train", WREN)
    run = world.submit("import time; print('going', flush=True); time.sleep(600)")
    world.until_said(run, "going")
    return run


def test_r1_whoever_reaches_a_runs_gate_speaks_as_nobody_and_leaves_one_line(
    world: RunsWorld, going: runs.Run, short: Path
) -> None:
    (gate,) = short.glob("run_*/gate")
    token = world.system.part(Tokens).of(going.id)
    assert token is not None
    for _ in range(3):
        answer = ask(gate, going.id)
        assert answer.startswith("HTTP/1.1 403") and "runs.foreign_peer" in answer and token not in answer
    (line,) = world.facts("runs.ForeignPeer")
    assert (line["run"], line["code"], line["user"]) == (going.id, "runs.foreign_peer", os.geteuid())
    assert world.get(going).state == "running"


def test_r1_no_path_leads_to_the_way_of_a_run_that_has_started(
    world: RunsWorld, going: runs.Run, short: Path
) -> None:
    (folder,) = short.glob("run_*")
    assert not (folder / "way" / "socket").exists() and list((folder / "way").iterdir()) == []


def test_a_run_still_speaks_for_itself_when_another_names_it(world: RunsWorld, going: runs.Run) -> None:
    code = f"""
import json, socket
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect('/egress/socket')
s.sendall(b'POST /workload/v1/token HTTP/1.1\\r\\nHost: control.weighthouse\\r\\nContent-Type: application/json\\r\\n'
          b'X-Weighthouse-Run: {going.id}\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{{}}')
answer = b''
while more := s.recv(65536): answer += more
print(answer.split()[1].decode(), json.loads(answer.partition(b'\\r\\n\\r\\n')[2])['run'])
"""
    other = world.until(world.submit(code))
    assert world.output(other, "out") == [f"200 {other.id}"], world.output(other)
    assert world.facts("runs.ForeignPeer") == []


@pytest.fixture
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture
def gates(told: list[tuple[str, int, int]]) -> Iterator[Gates]:
    async def say(scope: object, receive: object, send: object) -> None:
        assert isinstance(scope, dict) and callable(receive) and callable(send)
        body = (await receive())["body"]
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        said = json.dumps({"run": scope[SCOPE_KEY], "headers": headers, "body": body.decode()}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": said})

    made = Gates(Broker(say), lambda *seen: told.append(seen)).start()
    yield made
    made.stop()


def speak(path: Path, *requests: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(20)
        one.connect(str(path))
        answer = b""
        for request in requests:
            one.sendall(request)
            answer += one.recv(65536)
        return answer


def request(path: bytes = b"/workload/v1/token", extra: bytes = b"") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\nHost: control.weighthouse\r\nContent-Length: 2\r\n" + extra + b"\r\n{}"


def test_a_gate_answers_the_one_process_it_expects_and_nobody_before(
    gates: Gates, short: Path, told: list[tuple[str, int, int]]
) -> None:
    gate = gates.open("run_one", short / "gate")
    assert b"403" in speak(gate.path, request())
    gate.expect([os.getpid()])
    answers = speak(gate.path, request(), request(extra=b"x-weighthouse-run: run_two\r\n"))
    assert (
        answers.count(b"HTTP/1.1 200") == 2 and answers.count(b'"run": "run_one"') == 2 and b"run_two" not in answers
    )
    assert b"404" in speak(gate.path, request(b"/api/v1/runs"))
    assert "403" in ask(gate.path, "run_one")
    assert [(run, pid) for run, pid, _ in told] == [("run_one", os.getpid())], "one line a gate, not one a knock"
    gate.close()
    assert not gate.path.exists()


def test_two_gates_at_once_never_mix_their_runs(gates: Gates, short: Path) -> None:
    opened = [gates.open(f"run_{number}", short / f"gate{number}") for number in range(4)]
    for gate in opened:
        gate.expect([os.getpid()])
    wrong: list[bytes] = []

    def ask_often(number: int) -> None:
        for _ in range(50):
            answer = speak(opened[number].path, request())
            if f'"run": "run_{number}"'.encode() not in answer:
                wrong.append(answer)

    threads = [threading.Thread(target=ask_often, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01", b"POST / HTTP/9.9\r\n\r\n", b"A" * 200_000, b"GET /x HTTP/1.1\r\nHost: a\r\nHost"]
)
def test_garbage_ends_its_own_connection_and_nothing_else(gates: Gates, short: Path, garbage: bytes) -> None:
    gate = gates.open("run_one", short / "gate")
    gate.expect([os.getpid()])
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(gate.path))
        one.settimeout(20)
        try:
            one.sendall(garbage)
            one.shutdown(socket.SHUT_WR)
            assert b"200" not in one.recv(4096)
        except OSError:
            pass  # cut while it was still speaking
    assert b"200" in speak(gate.path, request())
