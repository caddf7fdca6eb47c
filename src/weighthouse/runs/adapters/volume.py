"""A place of a fixed size for what a run writes, held by descriptor. Guards the disk, and later readers.

Nothing is measured by walking: the size is the file system's own. As root it is a disk image that never has a name,
its room reserved before the run starts. For an ordinary user, and where no image can be mounted, it is memory: half
of the run's at most, so that a full volume is an answer and not the end. Nothing of it is left when the run is gone,
also when this server is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from weighthouse.core.errors import Unavailable
from weighthouse.runs.adapters import volume_mount
from weighthouse.runs.model import MIB, Limits
from weighthouse.runs.ports import SandboxSpec

LEAST_FREE = 256 * MIB
LEAST_BYTES = 32 * MIB  # below this a file system has no room for files
ANSWER_S = 30.0
LOOK_S = 1.0  # between two questions if a run that still starts is still wanted
MAKE_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


VOLUME = "volume"  # the mount point, in a driver's own scratch folder


class Volume:
    """The volume of one run. `command` starts the sandbox behind it; `top` is its folder once that has begun."""

    def __init__(self, limits: Limits, *, folder: Path, own_user: bool, on_disk: bool) -> None:
        self._own_user, self.on_disk = own_user, on_disk
        self.point = folder / VOLUME
        self.point.mkdir(mode=0o700, exist_ok=True)
        self._files = limits.out_files
        self._image: int | None = None
        self.bytes = min(limits.out_bytes, limits.memory_bytes // 2)
        self.top: int | None = None
        with contextlib.ExitStack() as owned:
            self._start = owned.enter_context(contextlib.ExitStack())  # what only the start needs
            if on_disk:
                self._image = _image(folder, limits)
                self._start.callback(os.close, self._image)
                self.bytes = _length(self._image)
            self._ours, self._theirs = socket.socketpair()
            owned.enter_context(self._ours)
            self._start.enter_context(self._theirs)
            self._owned = owned.pop_all()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What `command` needs to inherit."""
        image = () if self._image is None else (self._image,)
        return (self._theirs.fileno(), *image)

    def command(self, command: Sequence[str]) -> list[str]:
        """Return `command` behind the program that makes the volume and mounts it at `point`, for it alone to see."""
        order = {
            "point": str(self.point),
            "bytes": self.bytes,
            "files": self._files,
            "image": -1 if self._image is None else self._image,
            "reply": self._theirs.fileno(),
            "own_user": self._own_user,
        }
        program = [sys.executable, "-I", "-S", volume_mount.__file__]
        return [*program, msgspec.json.encode(order).decode(), *command]

    def hold(self, still: Callable[[], None]) -> None:
        """Take the top folder's descriptor from the program that was started; it holds the volume from then on.

        Meanwhile it is asked if the run is `still` wanted, which raises where it is not.
        """
        self._start.close()
        end, poll = time.monotonic() + ANSWER_S, select.poll()
        poll.register(self._ours, select.POLLIN)
        with self._ours:
            while not poll.poll(LOOK_S * 1000):
                if time.monotonic() >= end:
                    return
                still()
            with contextlib.suppress(OSError):
                for held in socket.recv_fds(self._ours, 1, 1)[1]:
                    self._owned.callback(os.close, held)
                    self.top = held

    def close(self) -> None:
        """Let go of everything."""
        self.top = None
        self._owned.close()


def make(spec: SandboxSpec, owned: contextlib.ExitStack, *, own_user: bool, on_disk: bool) -> Volume | None:
    """Return the volume that a specification asks for, which `owned` closes; None when it asks for none.

    Raises `runs.out_of_space`.
    """
    if not spec.out:
        return None
    volume = Volume(spec.limits, folder=spec.folder, own_user=own_user, on_disk=on_disk and not own_user)
    owned.callback(volume.close)
    return volume


def said(volume: Volume | None) -> str:
    """Say what /out is, for the facts of a run."""
    if volume is None:
        return "no /out"
    return f"/out of {volume.bytes // MIB} MiB {'on disk' if volume.on_disk else 'in memory'}"


def usable_on_disk() -> bool:
    """Return whether images can be mounted here, having mounted one."""
    if _maker() is None:
        return False
    with tempfile.TemporaryDirectory(prefix="wh-volume-") as own:
        try:
            volume = Volume(Limits(out_bytes=LEAST_BYTES), folder=Path(own), own_user=False, on_disk=True)
        except Unavailable:
            return False
        try:
            tried = subprocess.run(
                volume.command(["/bin/true"]),
                pass_fds=volume.descriptors,
                capture_output=True,
                timeout=ANSWER_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        finally:
            volume.close()
    return tried.returncode == 0


def _maker() -> str | None:
    return shutil.which("mkfs.ext4", path=MAKE_PATH)


def _length(image: int) -> int:
    return os.fstat(image).st_size


def _image(folder: Path, limits: Limits) -> int:
    """Return a file without a name, its room reserved, with an empty file system in it."""
    disk = os.statvfs(folder)
    # A run may have a quarter of what is free, so that those beside it and the store find room as well.
    room = (disk.f_bavail * disk.f_frsize - LEAST_FREE) // 4
    size = min(limits.out_bytes, room) // MIB * MIB
    if size < min(limits.out_bytes, LEAST_BYTES):
        raise _no_room()
    maker = _maker()
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            raise _no_room() from None
        options = ["-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode", "-N", str(limits.out_files)]
        command = [str(maker), *options, "-E", "lazy_itable_init=1,nodiscard", f"/proc/self/fd/{file.fileno()}"]
        made = subprocess.run(command, pass_fds=(file.fileno(),), capture_output=True, timeout=ANSWER_S, check=False)
        if made.returncode:
            why = made.stderr.decode("utf-8", "replace").strip()[-200:]
            raise Unavailable(
                "runs.sandbox_failed", f"No file system could be made for /out: {why}.", "Run `weighthouse doctor`."
            )
        return os.dup(file.fileno())


def _no_room() -> Unavailable:
    return Unavailable(
        "runs.out_of_space",
        "The disk of this server has no room for the run's /out.",
        "Free space on the server, or lower runs.out_mib.",
    )
