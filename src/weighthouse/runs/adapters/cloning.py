"""Mounts what the server holds by descriptor at private points, then becomes a sandbox's runtime.

Guards runtimes that go by a path (runsc takes nothing else; bubblewrap mounts the path behind a descriptor and gives
up when it has been swapped): what lies there may be something else by then. In a mount namespace of its own this
reopens each path, compares device and inode with the descriptor that the server checked, clones exactly what it holds
(open_tree, move_mount), and hands the runtime the point, which nobody else sees. Runs with `python -I -S`; the
control plane only takes its file name and its order.

Guards also against what outlives its start: bubblewrap's second process is on no leash before all is mounted. So it
starts as the first process of a namespace, with which the kernel ends everything in there, whatever it is doing.
Source: Linux man-pages, open_tree(2), move_mount(2), mount_namespaces(7), pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import time

NEWNS, NEWUSER, NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
OPEN_TREE, MOVE_MOUNT = 428, 429  # the same on every processor that the filter of system calls knows
CLONE, CLOEXEC, RECURSIVE, EMPTY_PATH = 1, os.O_CLOEXEC, 0x8000, 0x1000
MOVE_EMPTY_PATH = 0x4
AT_FDCWD = -100
HELD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
LIMIT_S, PAUSE_S = 20.0, 0.0005
NOBODY = 65534
GONE = "what started it is gone"
PR_SET_PDEATHSIG = 1
CAPABILITY_VERSION_3, PR_CAP_AMBIENT, AMBIENT_RAISE = 0x20080522, 47, 2

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    if result < 0:
        sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def enter(own_user: bool, rights: bool = True, processes: bool = False) -> None:
    """Take a mount namespace of our own, as an ordinary user inside a user namespace of our own; with `processes`
    return as the first process of a namespace of those, too."""
    parent, uid, gid = os.getppid(), os.geteuid(), os.getegid()
    kinds = NEWNS | (NEWUSER if own_user else 0) | (NEWPID if processes else 0)
    check(libc.unshare(kinds), "a mount namespace of its own")
    if own_user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  no import that is not needed
                file.write(text)
        if rights:
            keep_rights()
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "a leash")  # other rights may have taken it off
    if os.getppid() != parent:
        sys.exit(GONE)
    if processes:
        become_first()
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "a private tree of mounts")


def become_first() -> None:
    """Return in the first process of the new namespace; stay behind to hand on how it ends, and never return."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(tell)
        check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "a leash")
        os.set_blocking(told, False)
        with contextlib.suppress(BlockingIOError):  # as long as the parent lives, which has no number in here
            if not os.read(told, 1):
                sys.exit(GONE)
        os.close(told)
        return
    os.closerange(0, tell)  # the pipes are the command's alone
    os.closerange(tell + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(code if code >= 0 else 128 - code)


def keep_rights() -> None:
    """Let the runtime keep the rights over these namespaces, though its user there is not named root.

    That user is the one that the run has inside: a file that a run makes must be able to belong to it.
    """
    header = struct.pack("<Ii", CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    check(libc.capget(header, held), "its rights")
    effective, permitted, _, effective2, permitted2, _ = struct.unpack("<6I", held.raw)
    held.raw = struct.pack("<6I", effective, permitted, permitted, effective2, permitted2, permitted2)
    check(libc.capset(header, held), "inheritable rights")
    for number in range(64):
        if (permitted | permitted2 << 32) >> number & 1:
            check(libc.prctl(PR_CAP_AMBIENT, AMBIENT_RAISE, number, 0, 0), "ambient rights")


def same(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def clone(wanted: int) -> int:
    """Return a detached mount of exactly what `wanted` holds, however often its path leads elsewhere meanwhile."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        try:
            found = os.open(os.readlink(f"/proc/self/fd/{wanted}"), HELD)  # noqa: PTH115  no import that is not needed
        except OSError:  # nothing lies there at this moment, or never will again
            time.sleep(PAUSE_S)
            continue
        if same(found, wanted):
            tree = check(libc.syscall(OPEN_TREE, found, b"", EMPTY_PATH | RECURSIVE | CLONE | CLOEXEC), "open_tree")
            if same(tree, wanted):
                os.close(found)
                return tree
            os.close(tree)
        os.close(found)
    return sys.exit(f"what lies at {os.readlink(f'/proc/self/fd/{wanted}')} is never what was checked")  # noqa: PTH115


def main() -> None:
    order = json.loads(sys.argv[1])
    enter(order["own_user"], order["rights"], order["processes"])
    for descriptor, point in order["points"]:
        tree = clone(descriptor)
        check(libc.syscall(MOVE_MOUNT, tree, b"", AT_FDCWD, os.fsencode(point), MOVE_EMPTY_PATH), "move_mount")
        os.close(tree)
        os.close(descriptor)
    os.execv(order["command"][0], order["command"])  # noqa: S606  the runtime that the driver chose


if __name__ == "__main__":
    main()
