"""A start that is refused, at whichever of its steps: everything that it had taken by then is given back.

Attack: have starts refused again and again (fill the disk, take the machine's last process). Each left descriptors, a
control group, a disk image with all of its room in the server, until nothing started any more before a restart.
"""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ports.benches import Bench, driver
from tests.ports.conftest import ROOT
from tests.ports.test_sandbox_ends import within
from tests.ports.test_sandbox_volume import images

from weighthouse.core import canonical, folders
from weighthouse.runs.adapters import cgroups, contained, held, volume
from weighthouse.runs.adapters.cgroups import Group, Groups
from weighthouse.runs.model import MIB, Environment

SIZE = 48 * MIB
# Of the process, of the machine, of whoever interrupts, of no kind that anybody thought of.
ERRORS = (
    OSError(errno.EMFILE, "Too many open files"), OSError(errno.ENOMEM, "Cannot allocate memory"),
    KeyboardInterrupt(), RuntimeError("can't start new thread"),
)  # fmt: skip
NAMES = ["bubblewrap, on disk", "gvisor, on disk"] if ROOT else ["bubblewrap in a user namespace", "gvisor, rootless"]
# What a step belongs to, its name, and whether it fails when it is done rather than when it begins.
STEPS: dict[str, tuple[object, str, bool]] = {
    "the volume": (volume.Volume, "__init__", False),
    "its image is made": (volume.subprocess, "run", True),
    "its image is measured": (volume, "_length", False),
    "the control group": (Groups, "make", False),
    "what is shown is held": (folders, "hold", False),
    "a text is passed on": (os, "lseek", False),
    "points": (held.Held, "points", False),
    "points are there": (held.Held, "points", True),
    "the program is started": (contained.subprocess, "Popen", False),
    "the volume is held": (volume.Volume, "hold", False),
    "the volume was held": (volume.Volume, "hold", True),
    "what is expected": (canonical, "digest", False),
    "what reads its output": (contained.Contained, "_pump", False),
    "the report": (contained.Contained, "_report", False),
    "the verdict": (contained, "judge", False),
    "the word to go": (contained.Contained, "_say", False),
    "the word was said": (contained.Contained, "_say", True),
}


class Here:
    """Control groups of this machine; where none may be made, plain folders, to see what makes and removes them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        found = cgroups.find()
        if found is None:
            patch.setattr(Group, "join", ())
            for name in ("memory", "pids"):
                (folder / name).mkdir(parents=True)
            found = Groups((folder / "memory", folder / "pids"))
        self.groups = found

    def left(self) -> list[Path]:
        return [path for base in self.groups._bases for path in base.glob(self.groups._name + "*")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(tmp_path / "groups", monkeypatch)


def starts() -> Iterator[Any]:
    """Every step in every tier that has it."""
    for tier in NAMES:
        for step, (owner, _, _) in STEPS.items():
            if "on disk" not in tier and step.startswith("its image"):
                continue
            if tier.startswith("gvisor") and owner is os:  # whose texts are files below its own folder
                continue
            yield pytest.param(tier, step, marks=[pytest.mark.real_gvisor] * tier.startswith("gvisor"))


def failing(patch: pytest.MonkeyPatch, owner: object, name: str, *, after: bool, error: BaseException) -> list[str]:
    """Have one step fail, when it begins or `after` it was done; return what grows each time that it does."""
    real, failed = getattr(owner, name), list[str]()

    def step(*arguments: Any, **options: Any) -> Any:
        if after:
            real(*arguments, **options)
        failed.append(name)
        raise error

    patch.setattr(owner, name, step)
    return failed


def taken() -> list[str]:
    """What this process has open, without what only reading it opens."""
    gc.collect()
    found = []
    for one in Path("/proc/self/fd").iterdir():
        try:
            found.append(f"{one.name} {one.readlink()}")
        except OSError:
            continue
    return sorted(line for line in found if "/proc/" not in line)


def reserved(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_blocks - disk.f_bfree


def left_of_starts(short: Path) -> list[str]:
    """Processes and mounts that name the folder of these starts."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(short) in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found += [entry.name] if str(short).encode() in (entry / "cmdline").read_bytes() else []
            except OSError:
                continue
    return found


@pytest.mark.parametrize(("tier", "step"), list(starts()))
def test_whatever_step_of_a_start_fails_all_that_it_had_taken_is_given_back(
    tier: str, step: str, environment: Environment, here: Here, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = driver(tier)
    sandbox._groups = here.groups  # type: ignore[attr-defined]
    bench = Bench(sandbox, environment, short)
    owner, name, after = STEPS[step]
    bench.start("pass", out="/out", out_bytes=SIZE).stop()
    before, room = taken(), reserved(short)
    for error in ERRORS:
        with monkeypatch.context() as patch:
            failed = failing(patch, owner, name, after=after, error=error)
            with pytest.raises(BaseException) as raised:
                bench.start("print('started')", out="/out", out_bytes=SIZE)
        assert failed, raised.value
    assert taken() == before
    assert here.left() == []
    assert within(lambda: not left_of_starts(short) and not images(short)), left_of_starts(short)
    assert within(lambda: reserved(short) - room < SIZE // 2 // os.statvfs(short).f_frsize)
