"""The first program inside every sandbox: it looks around, reports, waits, gives up its last rights, then starts.

Guards against a sandbox that is really the host (a runtime that fell back, a flag that was dropped): submitted code
starts only after the driver outside has judged this report and answered `go`. It then stays as the parent, to hand on
the request to end (`term`) and the status, the same in every runtime, and shows the code nothing of itself. Runs with
`python -I -S` and the standard library alone; it is mounted read-only and is never imported by the control plane.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
import threading
from typing import Any

PR_SET_DUMPABLE = 4
# What code sends to its own group, or to every process that it sees, is not meant for us.
UNHEARD = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
)  # fmt: skip


def _read(path: str) -> str:
    try:
        with open(path) as file:  # noqa: PTH123  no import the sandbox does not need
            return file.read()
    except OSError:
        return ""


def look() -> dict[str, object]:
    """Return what can be seen from here, as JSON-ready values."""
    status = dict(line.split(":\t", 1) for line in _read("/proc/self/status").splitlines() if ":\t" in line)
    try:
        interfaces = sorted(name for _, name in socket.if_nameindex())
    except OSError:
        interfaces = sorted(line.split(":")[0].strip() for line in _read("/proc/net/dev").splitlines()[2:])
    return {
        "release": os.uname().release,
        "version": os.uname().version,
        "interfaces": interfaces,
        "routes": [line.split()[0] for line in _read("/proc/net/route").splitlines()[1:] if line.strip()],
        "pid": os.getpid(),
        "uid": os.getuid(),
        "capabilities": status.get("CapEff", "").strip(),
        "no_new_privileges": status.get("NoNewPrivs", "").strip(),
        "seccomp": status.get("Seccomp", "").strip(),
        "roots": sorted(os.listdir("/")),  # noqa: PTH208  no import the sandbox does not need
    }


def limit(wanted: dict[str, int]) -> None:
    """Set resource limits that every descendant inherits and none can raise."""
    for name, value in wanted.items():
        number = getattr(resource, "RLIMIT_" + name)
        _, hard = resource.getrlimit(number)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (allowed, allowed))


def drop(identity: int) -> None:
    """Become an unprivileged user for good, when started as root; the capabilities go with it."""
    if identity and os.getuid() == 0:
        os.setgroups([])
        os.setresgid(identity, identity, identity)
        os.setresuid(identity, identity, identity)


def hide() -> None:
    """Show nobody of the same user our memory, or the pipe on which the driver speaks to us."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def begin(order: dict[str, Any]) -> None:
    """Become the workload, with a group of processes of its own."""
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, *UNHEARD):
        signal.signal(number, signal.SIG_DFL)
    variables = order["variables"]
    with contextlib.suppress(OSError):
        os.mkdir(variables.get("HOME", "/tmp/home"), 0o700)  # noqa: PTH102, S108  no import that is not needed
    try:
        os.chdir(order["workdir"])
        os.execve(order["command"][0], order["command"], variables)  # noqa: S606  this is what a guard is for
    except OSError as error:
        os.write(2, f"{error}\n".encode())
    os._exit(127)


def hand_on(child: int) -> None:
    """Ask the workload to end whenever the driver outside says so; end it when nobody can say so any more."""
    while said := os.read(0, 5):
        if said == b"term\n":
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGTERM)
    os._exit(98)


def main() -> None:
    order = json.loads(sys.argv[1])
    limit(order["limits"])
    drop(order["identity"])
    sys.stdout.write(json.dumps(look()) + "\n")
    sys.stdout.flush()
    if os.read(0, 3) != b"go\n":
        sys.exit(97)
    for number in UNHEARD:
        signal.signal(number, signal.SIG_IGN)
    hide()  # before anything else has our user id; what the code executes can be seen again
    child = os.fork()
    if child == 0:
        begin(order)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)  # the workload alone holds the pipes
    threading.Thread(target=hand_on, args=(child,), daemon=True).start()
    ended = status = 0
    while ended != child:
        ended, status = os.wait()  # also of what the workload left behind, where nobody else collects it
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


main()
