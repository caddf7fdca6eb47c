"""A bench for sandboxes, which starts small programs and returns what they said; and what stands around a proxy."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from weighthouse.core import folders
from weighthouse.core.errors import Unavailable
from weighthouse.egress.ports import ProxyHandle, Question
from weighthouse.runs.adapters import cgroups
from weighthouse.runs.adapters.bubblewrap import Bubblewrap
from weighthouse.runs.adapters.ground import PROJECT, find_bubblewrap
from weighthouse.runs.adapters.runsc import Runsc
from weighthouse.runs.model import Environment, Limits
from weighthouse.runs.ports import Handle, Mount, Sandbox, SandboxSpec

RUNSC = PROJECT / ".parts" / "bin" / "runsc"


def driver(name: str) -> Sandbox:
    """Return the driver of that name, or fail loudly when its program is absent."""
    groups = cgroups.find() if name.endswith("with a control group") else None
    if name.startswith("gvisor"):
        if not RUNSC.is_file():
            pytest.fail(f"{RUNSC} is absent: run `make parts` before the tests marked real_gvisor")
        return Runsc(RUNSC, rooted="rootless" not in name, groups=groups, on_disk="on disk" in name)
    binary = find_bubblewrap()
    assert binary is not None
    return Bubblewrap(binary, rooted="user namespace" not in name, groups=groups, on_disk="on disk" in name)


def mount(path: Path, target: str, *, writable: bool = False) -> Mount:
    """Hold a folder and give it to a sandbox."""
    return Mount(folders.hold_folder(path), target, writable)


class Finished(msgspec.Struct):
    status: int
    out: list[str]
    err: list[str]


class Bench:
    """Starts small programs in the sandbox under test."""

    def __init__(self, sandbox: Sandbox, environment: Environment, folder: Path) -> None:
        self.sandbox, self.environment, self.folder, self.count = sandbox, environment, folder, 0

    def start(self, code: str, *mounts: Mount, out: str = "", ends: float = 0.0, **limits: int) -> Handle:
        self.count += 1
        own = self.folder / f"box{self.count}"
        own.mkdir()
        return self.sandbox.start(
            SandboxSpec(
                name="run_test", folder=own, environment=self.environment, mounts=mounts, workdir="/tmp",
                command=(self.environment.python, "-c", code), variables={"WORD": "said"}, limits=Limits(**limits), out=out,
                ends=ends,
            )
        )  # fmt: skip

    def run(self, code: str, *mounts: Mount, **limits: int) -> Finished:
        handle = self.start(code, *mounts, **limits)
        lines = []
        try:
            status = None
            while status is None:
                lines += handle.lines(50)
                status = handle.wait(0)
            while rest := handle.lines(0):
                lines += rest
        finally:
            handle.stop()
        said = {stream: [line.text for line in lines if line.stream == stream] for stream in ("out", "err")}
        return Finished(status, said["out"], said["err"])


class Answers:
    """A judge that remembers what it was asked; `rule` decides."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.rule: Callable[[Question], bool] = lambda question: True

    def __call__(self, question: Question) -> bool:
        self.asked.append(question)
        return self.rule(question)


class Echo(http.server.BaseHTTPRequestHandler):
    """A broker that answers with the headers it was sent."""

    def do_GET(self) -> None:
        body = "\n".join(f"{key.lower()}={value}" for key, value in self.headers.items()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay quiet."""

    def address_string(self) -> str:
        return "unix"


@contextlib.contextmanager
def fed(handle: ProxyHandle, names: Sequence[str], granted: int = 1 << 40) -> Iterator[None]:
    """Keep a proxy fed with as much as anybody wants, as a server does that settles."""
    ended = threading.Event()

    def feed() -> None:
        with contextlib.suppress(Unavailable):
            while not ended.is_set():
                handle.feed(dict.fromkeys(names, granted), handle.count().made)
                handle.wait(200)

    feeding = threading.Thread(target=feed, daemon=True)
    feeding.start()
    try:
        yield
    finally:
        ended.set()
        feeding.join()
