"""The first program inside every sandbox: it looks around, reports, waits, gives up its last rights, then execs.

Guards against a sandbox that is really the host (a runtime that fell back, a flag that was dropped): submitted code
starts only after the driver outside has judged this report and answered `go`. Runs with `python -I -S` and the
standard library alone; it is mounted read-only and is never imported by the control plane.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys


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


def main() -> None:
    order = json.loads(sys.argv[1])
    limit(order["limits"])
    drop(order["identity"])
    sys.stdout.write(json.dumps(look()) + "\n")
    sys.stdout.flush()
    if os.read(0, 3) != b"go\n":
        sys.exit(97)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(order["workdir"])
    os.execve(order["command"][0], order["command"], order["variables"])  # noqa: S606  this is what a guard is for


main()
