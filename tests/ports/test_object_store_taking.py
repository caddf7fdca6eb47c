"""Taking shards over while their writer fights for them: what is kept holds the signed bytes, or nothing is kept."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from weighthouse.core import folders
from weighthouse.core.errors import Invalid, NotFound, TooMany, WeighthouseError
from weighthouse.weights.adapters.embedded import FolderStore
from weighthouse.weights.adapters.flight import Flight
from weighthouse.weights.adapters.taking import SEGMENT
from weighthouse.weights.model import Signed
from weighthouse_sdk import floe
from weighthouse_sdk.manifest_merkle import leaf_hash, root_of

NAME = "a" * 32 + ".floe"
SAVE, KEPT = "runs/run_1/sav_1", "versions/ver_1"
SOURCE, TARGET = f"{SAVE}/shards/{NAME}", f"{KEPT}/shards/{NAME}"
BYTES = os.urandom(floe.HEADER_BYTES + 2 * SEGMENT + 99)
EXCHANGE = 2


def signed(data: bytes) -> Signed:
    pieces = [data[at : at + SEGMENT] for at in range(floe.HEADER_BYTES, len(data), SEGMENT)]
    return Signed(
        len(data), blake3(data[: floe.HEADER_BYTES]).hexdigest(), root_of([leaf_hash(p) for p in pieces]).hex()
    )


SIGNED = signed(BYTES)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    made = FolderStore(tmp_path / "objects")
    made.put_new(SOURCE, BYTES)
    return made


@pytest.fixture
def written(tmp_path: Path, store: FolderStore) -> Path:
    return tmp_path / "objects" / SOURCE


def take(store: FolderStore, promise: Signed = SIGNED) -> None:
    store.take(SOURCE, TARGET, promise, lambda: None)


def kept(store: FolderStore) -> bytes:
    with store.open(TARGET) as found:
        return found.read(0, found.size)


def test_what_was_taken_is_a_copy_that_its_writer_cannot_reach(store: FolderStore, written: Path) -> None:
    """The run keeps the file open, mapped, and under a second name that it makes afterwards."""
    with written.open("r+b") as open_file:
        mapped = mmap.mmap(open_file.fileno(), 0)
        take(store)
        os.link(written, written.with_name("second"))
        open_file.write(b"changed")
        open_file.flush()
        mapped[SEGMENT : SEGMENT + 7] = b"changed"
        mapped.flush()
        written.chmod(0o777)
        assert kept(store) == BYTES and store.is_taken(TARGET, SIGNED)
    take(store)
    assert kept(store) == BYTES


@pytest.mark.parametrize("at", [0, floe.HEADER_BYTES, floe.HEADER_BYTES + SEGMENT, len(BYTES) - 1])
def test_bytes_that_were_not_signed_are_not_taken(store: FolderStore, written: Path, at: int) -> None:
    with written.open("r+b") as file:
        file.seek(at)
        file.write(bytes([BYTES[at] ^ 1]))
    with pytest.raises(Invalid) as refusal:
        take(store)
    assert refusal.value.code == "weights.bad_object"
    assert store.names(f"{KEPT}/shards") == []


def test_a_length_that_was_never_written_makes_the_server_write_nothing(store: FolderStore, written: Path) -> None:
    with written.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(Invalid) as refusal:
        take(store, Signed(1 << 40, SIGNED.header, SIGNED.root))
    assert refusal.value.code == "weights.bad_object" and "shorter" in refusal.value.message


def test_a_second_save_of_other_bytes_replaces_nothing(store: FolderStore, written: Path) -> None:
    take(store)
    other = BYTES[:-1] + bytes([BYTES[-1] ^ 1])
    written.write_bytes(other)
    with pytest.raises(Invalid):
        take(store, signed(other))
    assert kept(store) == BYTES
    assert FolderStore(written.parents[4]).is_taken(TARGET, SIGNED) is False, "nothing is believed of another process"


def test_a_change_in_the_middle_of_the_copy_is_either_in_it_and_refused_or_not_in_it(
    store: FolderStore, written: Path
) -> None:
    """A writer that flips one byte to and fro: no version ever holds the wrong one."""
    ended, outcomes = threading.Event(), set()

    def flip() -> None:
        at = floe.HEADER_BYTES + SEGMENT + 5
        with written.open("r+b", buffering=0) as file:
            while not ended.is_set():
                for byte in (BYTES[at] ^ 1, BYTES[at]):
                    os.pwrite(file.fileno(), bytes([byte]), at)

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for number in range(60):
            target = f"versions/ver_{number}/shards/{NAME}"
            try:
                store.take(SOURCE, target, SIGNED, lambda: None)
                with store.open(target) as found:
                    assert found.read(0, found.size) == BYTES
                outcomes.add("taken")
            except WeighthouseError as error:
                assert error.code == "weights.bad_object"
                outcomes.add("refused")
    finally:
        ended.set()
        thread.join()
    assert outcomes


SWAP = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
a, b = (name.encode() for name in sys.argv[1:3])
print("swapping", flush=True)
while True: libc.renameat2(-100, a, -100, b, 2)
"""


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """A process that exchanges two names as fast as the kernel lets it."""
    process = subprocess.Popen([sys.executable, "-c", SWAP, str(one), str(other)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"swapping\n"
        yield
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _attempts(store: FolderStore, count: int) -> dict[str, int]:
    seen: dict[str, int] = {}
    for number in range(count):
        target = f"versions/ver_{number}/shards/{NAME}"
        try:
            store.take(SOURCE, target, SIGNED, lambda: None)
            with store.open(target) as found:
                said = "ours" if found.read(0, found.size) == BYTES else "FOREIGN"
        except WeighthouseError as error:
            said = error.code
        seen[said] = seen.get(said, 0) + 1
    return seen


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("what", ["the save", "the shard"])
def test_r1_a_save_that_is_swapped_for_a_link_never_brings_foreign_bytes(
    store: FolderStore, written: Path, tmp_path: Path, what: str, count: int
) -> None:
    secret = tmp_path / "secret"
    (secret / "shards").mkdir(parents=True)
    (secret / "shards" / NAME).write_bytes(b"the signing keys of the lab".ljust(len(BYTES)))
    place = written.parents[1] if what == "the save" else written
    link = place.with_name("link")
    link.symlink_to(secret if what == "the save" else secret / "shards" / NAME)
    with swapping(place, link):
        seen = _attempts(store, count)
    assert "FOREIGN" not in seen and set(seen) <= {"ours", "weights.not_an_object", "weights.no_object"}, seen
    assert seen.get("ours", 0) > 0, seen


def test_only_what_the_manifest_lists_is_handed_on(store: FolderStore, tmp_path: Path) -> None:
    take(store)
    listed = {TARGET: len(BYTES)}
    folder = store.only(KEPT, listed)
    assert folder is not None
    assert sorted(each.name for each in Path(f"/proc/self/fd/{folder}/shards").iterdir()) == sorted(
        [NAME, NAME.replace(".floe", ".leaves")]
    )
    os.close(folder)
    shards = tmp_path / "objects" / KEPT / "shards"
    for number in range(2000):  # looked at only until there is one too many
        (shards / f"x{number}").touch()
    for wrong in (listed, {TARGET: len(BYTES) - 1}, {}):
        with pytest.raises(Invalid) as refusal:
            store.only(KEPT, wrong)
        assert refusal.value.code == "weights.strange_folder"


def test_a_lent_folder_is_what_its_descriptor_holds_and_not_what_lies_at_the_path(
    store: FolderStore, written: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own file system"
    (own / "sav_1/shards").mkdir(parents=True)
    (own / "sav_1/shards" / NAME).write_bytes(BYTES)
    written.write_bytes(b"what somebody put at the path")
    held = folders.hold_folder(own)
    store.lend("runs/run_1", held)
    os.close(held)
    own.rename(tmp_path / "elsewhere")
    take(store)
    assert kept(store) == BYTES
    store.lend("runs/run_1", None)
    with store.open(SOURCE) as found:
        assert found.size == 29


@pytest.mark.parametrize("depth", [1, 1500])
def test_r8_a_tree_of_any_depth_goes_without_recursion(store: FolderStore, written: Path, depth: int) -> None:
    here = os.open(written.parents[1], os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", 0o700, dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=deeper))
        os.symlink("/", "up", dir_fd=deeper)
        os.close(here)
        here = deeper
    os.fchmod(here, 0)
    os.close(here)
    assert store.delete("runs/run_1") == 2 * depth + 1
    with pytest.raises(NotFound), store.open(SOURCE):
        pass


def test_l5_a_server_that_is_killed_while_it_writes_leaves_no_part_of_an_object(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from weighthouse.weights.adapters import writing
def chunks():
    yield b"half of it" * 100000
    os.kill(os.getpid(), signal.SIGKILL)
folder = os.open(sys.argv[1], os.O_RDONLY)
writing.write_new(folder, "name", chunks(), 0o600)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9 and list(tmp_path.iterdir()) == []


def test_the_exchange_that_these_tests_rely_on_works_here(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1"), other.write_text("2")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.renameat2(-100, bytes(one), -100, bytes(other), EXCHANGE) == 0
    assert one.read_text() == "2"


def test_what_is_promised_to_one_copy_is_not_there_for_another(tmp_path: Path) -> None:
    """Sixty copies that each found room before any of them had written filled the disk to its last byte."""
    flight, folder = Flight(), folders.hold_folder(tmp_path)
    half = flight.room(folder) // 2 + (64 << 20)
    try:
        with flight.promised(folder, half) as wrote:
            with pytest.raises(TooMany) as refusal, flight.promised(folder, half):
                pass
            assert refusal.value.code == "weights.no_room"
            wrote(half)
            with flight.promised(folder, half):
                pass
        with flight.promised(folder, half):
            pass
    finally:
        os.close(folder)


def test_two_copies_to_one_place_follow_each_other(store: FolderStore) -> None:
    inside, waited = threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        def hold() -> None:
            inside.set()
            assert waited.wait(20)

        store.take(SOURCE, TARGET, SIGNED, hold)
        order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(20)
    store.take(SOURCE, TARGET, SIGNED, waited.set)
    order.append("second")
    thread.join(20)
    assert order == ["first", "second"] and kept(store) == BYTES
