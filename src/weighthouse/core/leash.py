"""Lets the kernel kill a child when the thread that started it dies, and at its time. Guards against overstayers.

A control plane that is killed can no longer meter or stop a run, so neither a run nor its proxy may outlive it; one
that is starved or stopped ends nothing, so the end of a run's time is kept outside of it. `leashed` prefixes a
command with this very file, executed with `python -I -S`: it sets the parent-death signal, forbids core dumps (they
would hold plain weights and what passed through a proxy), joins control groups, then execs the command, so that
nothing it ever starts is outside of them. A command with an end gets a keeper, which stays as its parent and dies by
the kernel's own timer; the first signal then takes the command. Sources: setitimer(2), prctl(2), sched(7), proc(5).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
ORPHAN, LATE = 96, 93
# Not 0: where the kernel pipes dumps to a program (systemd-coredump, apport), only a limit of 1 stops it; and a dump
# of one byte is below the smallest that it writes to a file. Source: Linux fs/coredump.c, do_coredump.
NO_CORE = 1
LAST, FIRST_TO_DIE = "19", "1000"
TRIES, AGAIN_S = 20, 0.11  # the kernel lets all ordinary users together renice one session in 100 ms
FIXED = 5


def leashed(
    command: Sequence[str], join: Sequence[str] = (), *, file_bytes: int = 0, ends: float = 0.0, meek: bool = False
) -> list[str]:
    """Return `command`, an absolute path and its arguments, so prefixed that it dies with the calling thread.

    `join` are files of control groups (`cgroup.procs`) to enter first; `file_bytes` is the largest file that the
    command may make, 0 for no limit. At `ends`, a moment of `time.monotonic`, it dies whatever the caller does; 0 for
    never. One that is `meek` gets the processor last, and is what the kernel kills first when memory runs out.
    """
    first = [str(os.getpid()), str(file_bytes), repr(ends), str(int(meek)), str(len(join)), *join]
    return [sys.executable, "-I", "-S", __file__, *first, *command]


def follow(parent: int) -> None:
    """Die with `parent`, at once if it is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent died between fork and prctl, and no signal will come
        sys.exit(ORPHAN)


def keep(ends: float) -> None:
    """Return in a child on a leash of its own; stay behind as the keeper, and never return there.

    Nothing of ours has to be awake at the end: the timer is the kernel's, and what it does is not to be handled.
    """
    left, keeper = ends - time.monotonic(), os.getpid()
    if left <= 0:
        sys.exit(LATE)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, left)
    child = os.fork()
    if child == 0:
        follow(keeper)
        os.setsid()  # what holds for the command's session is not to hold for the keeper
        return
    os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0])  # the pipes are the command's alone
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else 128 - code)


def yield_to_all() -> None:
    """Be last on the processor, as a process and as a session of our own, and first when memory runs out.

    Files are ours to open up to the hard limit: what starts a run hands descriptors on, which is refused to whoever
    may have fewer open than other runs of the same user have under way (unix(7), ETOOMANYREFS).
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.nice(int(LAST))
    _told("/proc/self/oom_score_adj", FIRST_TO_DIE)
    for _ in range(TRIES):
        if _told("/proc/self/autogroup", LAST):
            break
        time.sleep(AGAIN_S)


def _told(path: str, value: str) -> bool:
    """Write to a file of the kernel; return whether there is nothing more to be tried."""
    try:
        with open(path, "w") as file:  # noqa: PTH123  no import that is not needed
            file.write(value)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def main() -> None:
    parent, largest, ends, meek = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    first = 1 + FIXED + int(sys.argv[FIXED])
    resource.setrlimit(resource.RLIMIT_CORE, (NO_CORE, NO_CORE))
    follow(parent)
    if ends:
        keep(ends)
    if meek:
        yield_to_all()
    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    for group in sys.argv[1 + FIXED : first]:
        with open(group, "w") as file:  # noqa: PTH123  no import that is not needed
            file.write("0")
    os.execv(sys.argv[first], sys.argv[first:])  # noqa: S606  the caller's own command, never a run's


if __name__ == "__main__":
    main()
