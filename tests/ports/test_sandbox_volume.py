"""The one place that a run may write to has a size, whatever is written how, and nothing of it stays or is named."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.running import within
from tests.ports.benches import Bench, driver
from tests.ports.conftest import BUBBLEWRAP, GVISOR, ROOT

from weighthouse.core.errors import Unavailable
from weighthouse.runs.adapters import volume
from weighthouse.runs.model import MIB, Environment
from weighthouse.runs.ports import Handle

pytestmark = pytest.mark.ordinary

ON_DISK = ["bubblewrap, on disk", "gvisor, on disk"] if ROOT else []
NAMES = [*BUBBLEWRAP, *GVISOR, *ON_DISK]
SIZE = 48 * MIB
libc = ctypes.CDLL(None)
FLOODS = {
    "60 folders deep": "for _ in range(60): os.mkdir('d'); os.chdir('d')\nflood('x')",
    "an unlinked open file": "f = os.open('x', os.O_CREAT | os.O_RDWR); os.unlink('x'); flood(f)",
    "a second name, and the first unlinked": "open('x', 'w').close(); os.link('x', 'y'); os.unlink('x'); flood('y')",
    "a sparse file": "f = os.open('x', os.O_CREAT | os.O_RDWR); os.truncate('x', 2 << 30); flood(f, hole=32 << 20)",
    "many files": "for i in range(64): flood(f'x{i}')",
    "a hundred thousand empty files": "for i in range(100_000): take(lambda: open(f'e{i}', 'w').close())\nflood('x')",
    "room reserved without writing": "f = os.open('x', os.O_CREAT | os.O_RDWR)\n"
    "for i in range(80): take(lambda: os.posix_fallocate(f, i << 20, 1 << 20))",
}
CODE = """
import errno, json, os
taken, met = 0, set()
def take(act):
    global taken
    try:
        taken += act() or 0
        return True
    except OSError as error:
        met.add(errno.errorcode[error.errno])
        return False
def flood(where, hole=0):
    f = where
    if isinstance(where, str):
        try: f = os.open(where, os.O_CREAT | os.O_RDWR)
        except OSError as error: return met.add(errno.errorcode[error.errno])
    while take(lambda: os.write(f, bytes(1 << 20))):
        if hole: take(lambda: os.lseek(f, hole, os.SEEK_CUR) and 0)
os.chdir('/out')
"""


@pytest.fixture(params=[pytest.param(n, marks=[pytest.mark.real_gvisor] * n.startswith("gvisor")) for n in NAMES])
def writer(request: pytest.FixtureRequest, environment: Environment, short: Path) -> Bench:
    return Bench(driver(request.param), environment, short)


def images(below: Path) -> list[Path]:
    """Disk images below a folder that some loop device still holds; a device may go while they are read."""
    found = []
    for one in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            found += [one] if str(below) in one.read_text() else []
    return found


@pytest.fixture
def held(writer: Bench) -> Iterator[Handle]:
    """A run that has left something in /out and waits."""
    handle = writer.start(
        "import os, time\nopen('/out/secret', 'w').write('the plain weights')\n"
        "os.mkdir('/out/deep'); os.symlink('/etc/passwd', '/out/link'); print('done', flush=True); time.sleep(600)",
        out="/out", out_bytes=SIZE,
    )  # fmt: skip
    assert [line.text for line in handle.lines(30_000)] == ["done"]
    yield handle
    handle.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", FLOODS)
def test_no_way_of_writing_takes_more_than_the_size(writer: Bench, how: str) -> None:
    done = writer.run(
        CODE + FLOODS[how] + "\nprint(json.dumps([taken, sorted(met)]))", out="/out", out_bytes=SIZE, out_files=2000
    )
    assert done.status == 0, (done.out, done.err)
    taken, met = json.loads(done.out[-1])
    assert taken <= SIZE and "ENOSPC" in met, (taken, met)


def test_the_server_reads_by_descriptor_what_no_path_of_the_host_leads_to(
    writer: Bench, held: Handle, short: Path
) -> None:
    assert held.out is not None and sorted(os.listdir(held.out)) == ["deep", "link", "secret"]  # noqa: PTH208
    secret = os.open("secret", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=held.out)
    with os.fdopen(secret) as file:
        assert file.read() == "the plain weights"
    assert not [path for path in short.rglob("*") if path.name in ("secret", "deep")]
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(short) not in mounts


def test_nothing_is_left_when_the_run_has_ended(writer: Bench, held: Handle, short: Path) -> None:
    held.stop()
    assert held.out is None
    assert not [path for path in short.rglob("*") if path.name in ("secret", "deep")]
    within("the kernel lets go of the image", lambda: not images(short))


@pytest.mark.as_root
def test_an_image_has_its_room_before_the_run_starts_and_none_is_a_refusal(
    environment: Environment, short: Path
) -> None:
    assert volume.usable_on_disk()
    small = short / "small"
    small.mkdir()
    assert libc.mount(b"small", os.fsencode(small), b"tmpfs", 0, b"size=40m") == 0
    try:
        with pytest.raises(Unavailable) as refused:
            Bench(driver("bubblewrap, on disk"), environment, small).start("print('started')", out="/out")
    finally:
        assert libc.umount2(os.fsencode(small), 2) == 0
    assert refused.value.code == "runs.out_of_space" and "runs.out_mib" in refused.value.remedy
