"""A started sandbox process, the same for every driver: judge the guard's report, pump lines, end without remains.

Guards against a sandbox that is not one (nothing runs before `rules.judge` has passed), against output that fills
the server's memory (pipes are read as they come into a bounded queue, and a full queue holds the workload back), and
against a run that fills its end of a pipe: nothing that is said towards a run ever waits for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from weighthouse.core.errors import Unavailable
from weighthouse.core.leash import leashed
from weighthouse.runs.adapters import locks
from weighthouse.runs.adapters.cgroups import Group, Groups
from weighthouse.runs.adapters.volume import Volume
from weighthouse.runs.model import Facts, Limits, Line, Seen, Stream
from weighthouse.runs.ports import SandboxSpec
from weighthouse.runs.rules.inside import Expected, judge
from weighthouse.runs.rules.output import Lines

GUARD = Path(__file__).with_name("guard.py")
GUARD_INSIDE = "/weighthouse/guard.py"
QUEUED_LINES = 512
READ_BYTES = 16384
REPORT_BYTES = 65536
START_LIMIT_S = 60
LOOK_S = 1.0  # between two looks at what a run takes beyond what limits it
# What the kernel answers where the machine, not the order, has nothing left: memory, processes, files; and memory for
# compiled filters (ENOTSUPP, which has no name in user space). Then the same as programs that start a sandbox say it.
LACKING = (errno.ENOMEM, errno.EAGAIN, errno.ENFILE, 524)
LACKING_TEXTS = (
    "cannot allocate memory", "resource temporarily unavailable", "too many open files in system", "error 524",
    "errno 524",
)  # fmt: skip

Pipes = subprocess.Popen[bytes]


def guard_order(
    limits: dict[str, int], identity: int, workdir: str, command: Sequence[str], variables: dict[str, str]
) -> str:
    """Return the one argument that the guard inside takes."""
    order = {"limits": limits, "identity": identity, "workdir": workdir, "command": command, "variables": variables}
    return msgspec.json.encode(order).decode()


@contextlib.contextmanager
def asked_of_the_machine() -> Iterator[None]:
    """Turn what the machine has none left of, while a sandbox is started, into a start that is tried again."""
    try:
        yield
    except OSError as error:
        if error.errno in LACKING:
            raise _lacking(error.strerror or str(error)) from None
        raise


def _lacking(said: str) -> Unavailable:
    return Unavailable(
        "runs.machine_full",
        f"The sandbox did not start, for this machine has no memory, processes or files left for it: {said}.",
        "Nothing is to be done with the run, which is started once there is some; look at what takes it all.",
    )


def launch(
    command: Sequence[str],
    spec: SandboxSpec,
    owned: contextlib.ExitStack,
    group: Group | None = None,
    pass_fds: Sequence[int] = (),
    *,
    file_bytes: int = 0,
    volume: Volume | None = None,
) -> Pipes:
    """Start a driver's program on a leash, inside `group`, with pipes and nothing of this server's environment.

    When the run's time ends it dies without us, and when `owned` is closed. With a `volume`, the program starts
    behind what makes it, and the volume is held when this returns.
    """
    if volume is not None:
        command, pass_fds = volume.command(command), (*pass_fds, *volume.descriptors)
    process = subprocess.Popen(
        leashed(command, group.join if group else (), file_bytes=file_bytes, ends=spec.ends, meek=True),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        start_new_session=True,
        cwd=spec.folder,
        pass_fds=tuple(pass_fds),
    )
    owned.callback(_ended, process)
    if volume is not None:
        volume.hold(spec.still)
    return process


def _ended(process: Pipes) -> None:
    """End a process and close our ends of its pipes."""
    process.kill()
    process.wait(30)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def make_group(
    groups: Groups | None, limits: Limits, owned: contextlib.ExitStack, *, overhead_bytes: int, processes: int
) -> Group | None:
    """Return a control group for one run, which `owned` ends, where this server may make one.

    Raises `runs.sandbox_failed`.
    """
    if groups is None:
        return None
    try:
        group = groups.make(limits, overhead_bytes=overhead_bytes, processes=processes)
        owned.callback(group.end)
        return group
    except OSError as error:
        if error.errno in LACKING:
            raise _lacking(f"its control group ({error.strerror})") from None
        raise Unavailable(
            "runs.sandbox_failed",
            f"The sandbox did not start: its control group could not be made ({error.strerror}).",
            "Run `weighthouse doctor`; look at what has changed in this server's own control group.",
        ) from None


def limited(group: Group | None) -> str:
    """Say what memory and processes are limited by, for the facts of a run."""
    if group is not None:
        return "memory and processes of the whole run limited by a control group"
    return "memory limited for each process only, since this server may make no control group"


class Contained:
    """The `Handle` of every driver (see ports.py).

    It takes over all that `owned` holds once the code may start; until then the start undoes it. `identity` is the
    user that the code is on this machine, 0 for this server's own.
    """

    def __init__(
        self,
        process: Pipes,
        expected: Expected,
        owned: contextlib.ExitStack,
        *,
        still: Callable[[], None],
        identity: int = 0,
        end: Callable[[], None] = lambda: None,
        group: Group | None = None,
        volume: Volume | None = None,
    ) -> None:
        self._process = process
        self._volume = volume
        self.owner = (identity, identity) if identity else (os.geteuid(), os.getegid())
        self._end = end
        self._group = group
        self._shares_kernel = expected.filtered
        self._look_at = 0.0
        self._lines: queue.Queue[Line] = queue.Queue(QUEUED_LINES)
        self._stopped = threading.Event()
        self._told = threading.Event()
        self._facts: Facts | None = None
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)  # whoever is in there may have filled it, and reads nothing
        self._readers: list[threading.Thread] = []
        owned.callback(self._halt)
        self._pump("err", process.stderr)
        self._admit(expected, still)
        self._pump("out", process.stdout)
        self._owned = owned.pop_all()

    def _pump(self, stream: Stream, pipe: IO[bytes] | None) -> None:
        reader = threading.Thread(target=self._read, args=(stream, pipe), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _admit(self, expected: Expected, still: Callable[[], None]) -> None:
        """Wait for the guard's report, judge it, ask if the run is `still` wanted, and only then let code start."""
        try:
            seen = msgspec.json.decode(self._report(still), type=Seen)
        except msgspec.DecodeError:
            said = self._said()
            if any(text in said.lower() for text in LACKING_TEXTS):
                raise _lacking(said) from None
            raise Unavailable(
                "runs.sandbox_failed",
                f"The {expected.tier} sandbox did not start: {said or 'it gave no report'}.",
                "Run `weighthouse doctor`, which tries each sandbox and says what it lacks.",
            ) from None
        self._facts = judge(seen, expected)
        if self._process.poll() is not None:  # what reported is out of our hands, and starts nothing
            raise Unavailable(
                "runs.sandbox_failed",
                f"The {expected.tier} sandbox was ended while it started.",
                "Find out who ended it, the kernel for want of memory perhaps; then submit again.",
            )
        still()  # as late as can be: a start may take long, and whoever ended the run meanwhile was answered with OK
        self._say(b"go\n")

    def _report(self, still: Callable[[], None]) -> bytes:
        """Read the guard's report; whoever else may hold that pipe open, no longer than a start may take."""
        assert self._process.stdout is not None
        pipe, said, end = self._process.stdout.fileno(), b"", time.monotonic() + START_LIMIT_S
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while not said.endswith(b"\n") and len(said) < REPORT_BYTES and (left := end - time.monotonic()) > 0:
            over = self._process.poll() is not None  # asked first: what it said before its end is there then
            if poll.poll(0 if over else min(left, LOOK_S) * 1000):
                if not (data := os.read(pipe, REPORT_BYTES)):
                    break
                said += data
            elif over:
                return said
            else:
                still()
        if time.monotonic() >= end:
            self.kill()
        return said

    def _said(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._readers[0].join(timeout=5)
        return " / ".join(line.text for line in self.lines(0))[-400:]

    def _say(self, word: bytes) -> None:
        """Say one word to the guard inside, and never wait until it is heard; raises BlockingIOError, an OSError."""
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), word)

    def _read(self, stream: Stream, pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        lines, poll = Lines(), select.poll()
        poll.register(pipe, select.POLLIN)
        with pipe:
            while True:
                wait = lines.wait(time.monotonic())
                if not poll.poll((LOOK_S if wait is None else min(wait, LOOK_S)) * 1000 + 1):
                    if self._stopped.is_set():  # whoever else holds the other end open is no part of the run
                        break
                    self._put(stream, lines.due(time.monotonic()))
                    continue
                data = os.read(pipe.fileno(), READ_BYTES)
                if not data:
                    break
                self._put(stream, lines.feed(data, time.monotonic()))
            self._put(stream, lines.end())

    def _put(self, stream: Stream, texts: list[str]) -> None:
        for text in texts:
            while not self._stopped.is_set():
                with contextlib.suppress(queue.Full):
                    self._lines.put(Line(stream, text), timeout=0.2)
                    break

    @property
    def facts(self) -> Facts:
        assert self._facts is not None
        return self._facts

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def out(self) -> int | None:
        return self._volume.top if self._volume else None

    @property
    def overdue(self) -> bool:
        return self._process.returncode == -signal.SIGALRM

    def excess(self) -> str:
        """Look once in a while, where the kernel is the host's; its own of gVisor is the run's memory."""
        if not self._shares_kernel or time.monotonic() < self._look_at:
            return ""
        self._look_at = time.monotonic() + LOOK_S
        return "runs.too_many_locks" if locks.too_many(self._process.pid) else ""

    def lines(self, timeout_ms: int) -> list[Line]:
        found: list[Line] = []
        with contextlib.suppress(queue.Empty):
            if timeout_ms:
                found.append(self._lines.get(timeout=timeout_ms / 1000))
            while len(found) < QUEUED_LINES:
                found.append(self._lines.get_nowait())
        return found

    def wait(self, timeout_ms: int) -> int | None:
        try:
            status = self._process.wait(timeout_ms / 1000)
        except subprocess.TimeoutExpired:
            return None
        for reader in self._readers:
            if self._lines.empty() and not self._stopped.is_set():
                reader.join(timeout=5)
        if status and self._group is not None and self._group.out_of_memory() and not self._told.is_set():
            self._told.set()
            said = Line("lab", "the kernel ended a process: the run has used all of its memory")
            with contextlib.suppress(queue.Full):
                self._lines.put(said, timeout=5)
        return status if status >= 0 else 128 - status

    def terminate(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has ended, or nobody listens
            self._say(b"term\n")

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> None:
        self._owned.close()

    def _halt(self) -> None:
        """End what runs, and wait until nothing reads its pipes; what else the run has is undone after this."""
        self._stopped.set()
        if self._process.poll() is None:
            self.kill()  # first: what is asked of a runtime may take as long as whoever is in there likes
            self._end()
        self._process.wait(30)
        for reader in self._readers:
            reader.join(timeout=10)
