"""A folder that is swapped for another one, as fast as the kernel lets a process, while sandboxes start with it.

R1 of the first path (runc CVE-2021-30465 is the same kind): what was checked must be what is mounted. In every tier,
as root and as an ordinary user: not one foreign byte at /in, /data or /code, and at most one start in a hundred fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.ports.benches import Bench

from weighthouse.core import folders
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.runs.adapters import cloning
from weighthouse.runs.adapters.held import Held
from weighthouse.runs.ports import Mount

pytestmark = pytest.mark.ordinary

TARGETS = ("/in", "/data", "/code")
LOOK = "print([open(t + '/word').read() for t in ('/in', '/data', '/code')])"
SWAP = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
pairs = [(a.encode(), b.encode()) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]
print("swapping", flush=True)
while True:
    for a, b in pairs: libc.renameat2(-100, a, -100, b, 2)
    time.sleep(PAUSE)
"""


@contextmanager
def swapping(pairs: list[tuple[Path, Path]], pause: str = "0.0005") -> Iterator[None]:
    """Exchange each pair of names over and over, in a process of its own."""
    command = [sys.executable, "-c", SWAP.replace("PAUSE", pause), *(str(path) for pair in pairs for path in pair)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"swapping\n"
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def folder(path: Path, word: str) -> Path:
    path.mkdir(mode=0o755)
    (path / "word").write_text(word)
    (path / "word").chmod(0o644)
    return path


def checked(path: Path) -> int:
    """What a server does: look until the folder is there, and hold on to it."""
    while True:
        with suppress(OSError):
            held = folders.hold_folder(path)
            if Path(f"/proc/self/fd/{held}/word").read_text() == "ours":
                return held
            os.close(held)


@pytest.mark.parametrize("tries", [pytest.param(100, id="100"), pytest.param(0, marks=pytest.mark.soak, id="soak")])
@pytest.mark.timeout(3600)
def test_r1_no_start_ever_mounts_what_was_swapped_in(bench: Bench, short: Path, tries: int) -> None:
    tries = tries or (2000 if bench.sandbox.tier == "bubblewrap" else 300)
    host = folder(short / "host", "FOREIGN")
    pairs = []
    for target in TARGETS:
        own = folder(short / target[1:], "ours")
        link = short / f"link{target[1:]}"
        link.symlink_to(host) if target != "/data" else folder(link, "FOREIGN")
        pairs.append((own, link))
    held = {target: checked(short / target[1:]) for target in TARGETS}
    seen: list[str] = []
    with swapping(pairs):
        for _ in range(tries):
            try:
                done = bench.run(LOOK, *(Mount(held[target], target) for target in TARGETS))
                seen.append(done.out[0] if done.out else f"{done.status} {done.err}")
            except WeighthouseError as error:
                seen.append(error.message)
    for descriptor in held.values():
        os.close(descriptor)
    honest = seen.count("['ours', 'ours', 'ours']")
    assert not [one for one in seen if "FOREIGN" in one], seen
    assert tries - honest <= tries // 100 + 1, [one for one in seen if "ours" not in one]


CLONES = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("cloning", sys.argv[1])
cloning = importlib.util.module_from_spec(spec); spec.loader.exec_module(cloning)
cloning.enter(os.geteuid() != 0)
held, seen = int(sys.argv[2]), {True: 0, False: 0}
for _ in range(int(sys.argv[3])):
    tree = cloning.clone(held)
    seen[cloning.same(tree, held)] += 1
    os.close(tree)
print(seen[True], seen[False])
"""


@pytest.mark.parametrize("tries", [pytest.param(4000, id="4000"), pytest.param(40_000, marks=pytest.mark.soak)])
def test_r1_what_is_cloned_for_a_runtime_is_always_what_is_held(short: Path, tries: int) -> None:
    """The program before gVisor's runtime, against two swappers: about one path in thirty leads elsewhere here."""
    own, other = folder(short / "own", "ours"), folder(short / "other", "FOREIGN")
    held = checked(own)
    command = [sys.executable, "-I", "-S", "-c", CLONES, cloning.__file__, str(held), str(tries)]
    try:
        with swapping([(own, other)], pause="0"), swapping([(own, other)], pause="0"):
            done = subprocess.run(command, pass_fds=(held,), capture_output=True, text=True, check=False)
    finally:
        os.close(held)
    assert done.stdout.split() == [str(tries), "0"], done.stderr


def test_a_link_that_is_held_in_place_of_what_was_meant_is_given_to_no_sandbox(short: Path) -> None:
    """A runtime that goes by the path of a point follows a link there, out of the sandbox."""
    link = short / "link"
    link.symlink_to("/etc")
    held_link = os.open(link, os.O_PATH | os.O_NOFOLLOW)
    try:
        with Held() as held:
            held.descriptor(held_link)
            with pytest.raises(Unavailable) as refused:
                held.points(short / "points")
    finally:
        os.close(held_link)
    assert refused.value.code == "runs.sandbox_failed" and not (short / "points").exists()
