"""What every object store must do, run against each adapter: create once, read exactly, never follow, never climb."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from weighthouse.core.errors import Conflict, Invalid, NotFound, Unavailable, WeighthouseError
from weighthouse.weights.adapters.embedded import FolderStore
from weighthouse.weights.ports import ObjectStore

SHARD = "runs/run_1/sav_1/shards/" + "a" * 32 + ".floe"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture(params=["folder"])
def store(root: Path) -> ObjectStore:
    return FolderStore(root)


def refused(call: Callable[[], object], kind: type[WeighthouseError], code: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.code == code


def length(store: ObjectStore, path: str) -> int:
    with store.open(path) as found:
        return found.size


def read(store: ObjectStore, path: str, offset: int, size: int) -> bytes:
    with store.open(path) as found:
        return found.read(offset, size)


def made(store: ObjectStore, prefix: str) -> None:
    folder = store.folder(prefix)
    assert folder is not None
    os.close(folder)


def test_what_was_put_is_read_back_exactly(store: ObjectStore) -> None:
    store.put_new(SHARD, b"0123456789")
    assert length(store, SHARD) == 10
    assert read(store, SHARD, 0, 10) == b"0123456789"
    assert read(store, SHARD, 3, 4) == b"3456"
    assert read(store, SHARD, 10, 0) == b""


def test_weights_case_24_an_object_is_created_once(store: ObjectStore) -> None:
    store.put_new(SHARD, b"first")
    refused(lambda: store.put_new(SHARD, b"second"), Conflict, "weights.object_exists")
    assert read(store, SHARD, 0, 5) == b"first"


def test_weights_case_44_a_shorter_object_is_never_half_read(store: ObjectStore) -> None:
    store.put_new(SHARD, b"0123456789")
    for offset, size in ((5, 6), (11, 1), (-1, 1), (1 << 60, 1)):
        refused(lambda o=offset, s=size: read(store, SHARD, o, s), Invalid, "weights.short_object")


def test_what_is_not_there_is_named(store: ObjectStore) -> None:
    refused(lambda: length(store, SHARD), NotFound, "weights.no_object")
    refused(lambda: read(store, SHARD, 0, 1), NotFound, "weights.no_object")
    assert store.delete("runs/run_1") == 0


@pytest.mark.parametrize(
    "path",
    ["", "/", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", ".hidden", "a/.b", "A/b", "a\0b", "a\nb",
     "а/b", "a/b/c/d/e/f/g", "x" * 65, "x" * 4096, "a b", "a\\b", "~", "a/b.floe/..", "con:", "a..b"],
)  # fmt: skip
def test_weights_case_31_paths_that_could_climb_or_deceive(store: ObjectStore, path: str) -> None:
    for call in (store.delete, store.folder, store.names):
        refused(lambda call=call: call(path), Invalid, "weights.bad_path")
    refused(lambda: length(store, path), Invalid, "weights.bad_path")
    refused(lambda: store.put_new(path, b"x"), Invalid, "weights.bad_path")
    refused(lambda: read(store, path, 0, 1), Invalid, "weights.bad_path")


def test_deleting_a_prefix_removes_its_objects_and_nothing_else(store: ObjectStore) -> None:
    other = "runs/run_2/sav_1/shards/" + "a" * 32 + ".floe"
    store.put_new(SHARD, b"x")
    store.put_new(other, b"y")
    assert store.delete("runs/run_1") == 1
    refused(lambda: length(store, SHARD), NotFound, "weights.no_object")
    assert read(store, other, 0, 1) == b"y"


class TestFolder:
    """What is particular to a folder that a hostile sandbox writes into."""

    @pytest.fixture
    def shards(self, store: ObjectStore, root: Path) -> Path:
        made(store, "runs/run_1/sav_1/shards")
        return root / "runs/run_1/sav_1/shards"

    def test_the_root_and_what_is_made_in_it_is_for_the_owner_only(self, root: Path, store: ObjectStore) -> None:
        store.put_new(SHARD, b"x")
        assert root.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in root.rglob("*"))

    @pytest.mark.parametrize("kind", ["symlink", "dangling", "fifo", "folder", "hard link", "socket"])
    def test_weights_case_32_links_and_special_files_are_no_objects(
        self, store: ObjectStore, shards: Path, tmp_path: Path, kind: str
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_bytes(b"the signing keys")
        path = shards / SHARD.rsplit("/", 1)[1]
        if kind == "symlink":
            path.symlink_to(secret)
        elif kind == "dangling":
            path.symlink_to(tmp_path / "nothing")
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "hard link":
            path.hardlink_to(secret)
        else:
            import socket

            with socket.socket(socket.AF_UNIX) as listener:
                here = Path.cwd()
                os.chdir(shards)
                try:
                    listener.bind(path.name)
                finally:
                    os.chdir(here)
        refused(lambda: length(store, SHARD), Invalid, "weights.not_an_object")
        refused(lambda: read(store, SHARD, 0, 1), Invalid, "weights.not_an_object")
        refused(lambda: store.put_new(SHARD, b"x"), Conflict, "weights.object_exists")
        assert secret.read_bytes() == b"the signing keys"

    def test_weights_case_32_a_folder_on_the_way_that_is_a_link(
        self, store: ObjectStore, shards: Path, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / SHARD.rsplit("/", 1)[1]).write_bytes(b"x")
        shards.rmdir()
        shards.symlink_to(outside)
        refused(lambda: length(store, SHARD), Invalid, "weights.not_an_object")
        refused(lambda: store.put_new(SHARD + "x", b"x"), Invalid, "weights.not_an_object")
        refused(lambda: store.folder("runs/run_1/sav_1/shards"), Invalid, "weights.not_an_object")
        store.delete("runs/run_1")
        assert (outside / SHARD.rsplit("/", 1)[1]).exists()

    def test_weights_case_26_a_full_disk_leaves_no_object(
        self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        made(store, "runs/run_1/sav_1/shards")
        monkeypatch.setattr(os, "fsync", full)
        refused(lambda: store.put_new(SHARD, b"x"), Unavailable, "weights.store_unavailable")
        monkeypatch.undo()
        refused(lambda: length(store, SHARD), NotFound, "weights.no_object")
        store.put_new(SHARD, b"x")


def test_it_says_what_room_is_left_and_that_is_less_than_the_volume_has(store: ObjectStore, root: Path) -> None:
    room, disk = store.room(), os.statvfs(root)
    assert room is None or 0 <= room < disk.f_blocks * disk.f_frsize
