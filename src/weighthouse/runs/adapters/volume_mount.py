"""Makes the one place that a run may write to, of a fixed size, then becomes what starts the sandbox.

Guards the machine's disk: a file system that is as large as it is cannot be filled further, whatever lies in it,
however deep, sparse, linked, or unlinked and still open. It is memory (tmpfs), or a disk image without a name. It is
mounted in a mount namespace of its own, so no path of the host leads to it; the server holds its top folder by the
descriptor that is sent back here, and once that is closed and the run is gone, so are its bytes.
Runs with `python -I -S`. Sources: Linux man-pages mount_namespaces(7), tmpfs(5), loop(4).
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys

NEWNS, NEWUSER = 0x00020000, 0x10000000
MS_NOSUID, MS_NODEV, MS_NOATIME, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x400, 0x4000, 0x40000
LOOP_CONTROL_GET_FREE, LOOP_CONFIGURE, AUTOCLEAR = 0x4C82, 0x4C0A, 4
BUSY_TRIES = 64
PR_SET_PDEATHSIG = 1
FAILED = 94
NOBODY = 65534  # the run's own user, which files must be able to belong to

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result < 0:
        sys.stderr.write(f"{what}: {os.strerror(ctypes.get_errno())}\n")
        sys.exit(FAILED)


def enter(own_user: bool) -> None:
    """Take a mount namespace of our own, as an ordinary user inside a user namespace where we keep our name."""
    parent, uid, gid = os.getppid(), os.geteuid(), os.getegid()
    check(libc.unshare(NEWNS | (NEWUSER if own_user else 0)), "a mount namespace of its own")
    if own_user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  no import that is not needed
                file.write(text)
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "a leash")  # other rights may have taken it off
    if os.getppid() != parent:
        sys.exit(FAILED)
    check(libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "a private tree of mounts")


def attach(image: int) -> int:
    """Return a loop device over an image, which lets go of it by itself when nobody uses it any more."""
    with open("/dev/loop-control", "rb") as control:  # noqa: PTH123
        for _ in range(BUSY_TRIES):
            number = fcntl.ioctl(control, LOOP_CONTROL_GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            information = bytearray(232)
            struct.pack_into("<I", information, 52, AUTOCLEAR)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, struct.pack("<II", image, 0) + bytes(information) + bytes(64))
            except OSError:  # another start was faster
                os.close(device)
                continue
            return device
    sys.stderr.write("no loop device is free\n")
    sys.exit(FAILED)


def fill(point: bytes, order: dict[str, int]) -> None:
    """Mount the volume at `point`."""
    if order["image"] < 0:
        options = f"size={order['bytes']},nr_inodes={order['files']},mode=777".encode()
        flags = MS_NOSUID | MS_NODEV
        check(libc.mount(b"run", point, b"tmpfs", ctypes.c_ulong(flags), options), "a file system in memory")
        return
    device = attach(order["image"])
    name = os.readlink(f"/proc/self/fd/{device}").encode()  # noqa: PTH115
    flags = MS_NOSUID | MS_NODEV | MS_NOATIME
    check(libc.mount(name, point, b"ext4", ctypes.c_ulong(flags), None), "a file system in a disk image")
    os.close(device)
    os.close(order["image"])
    os.rmdir(point + b"/lost+found")  # noqa: PTH106
    os.chmod(point, 0o777)  # noqa: PTH101, S103  the one user inside writes here; outside nobody comes here


def main() -> None:
    order = json.loads(sys.argv[1])
    point = os.fsencode(order["point"])
    enter(order["own_user"])
    fill(point, order)
    top = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with socket.socket(fileno=order["reply"]) as reply:
        socket.send_fds(reply, [b"."], [top])
    os.close(top)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  what the driver chose


if __name__ == "__main__":
    main()
