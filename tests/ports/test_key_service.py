"""What every key service must do, run against each adapter: bind, refuse, rotate, destroy, survive a restart."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from weighthouse.core.clock import ManualClock
from weighthouse.core.errors import Conflict, Denied, Invalid, Unavailable
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.adapters.key_form import Contents, Kek
from weighthouse.keys.adapters.sealed_file import SealedFile
from weighthouse.keys.ports import KeyService

PASSPHRASE = "four random words here"
KEK = "model/tern"
Reopen = Callable[[], KeyService]


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    return tmp_path / "keys.sealed"


@pytest.fixture(params=["sealed file"])
def service(sealed: Path, clock: ManualClock) -> KeyService:
    return SealedKeys.create(sealed, PASSPHRASE, cost=1 << 10, clock=clock)


@pytest.fixture
def reopen(sealed: Path, clock: ManualClock) -> Reopen:
    return lambda: SealedKeys.open(sealed, PASSPHRASE, clock=clock)


def one(service: KeyService, context: bytes = b"place one") -> tuple[bytes, bytes]:
    (made,) = service.generate(KEK, [context])
    return made.plain, made.wrapped.blob


def denied(call: Callable[[], object], code: str) -> None:
    with pytest.raises(Denied) as caught:
        call()
    assert caught.value.code == code


def test_each_key_is_fresh_and_comes_back_only_in_its_own_context(service: KeyService) -> None:
    made = service.generate(KEK, [b"%d" % at for at in range(100)])
    assert len({key.plain for key in made}) == 100
    assert all(len(key.plain) == 32 for key in made)
    pairs = [(key.wrapped.blob, b"%d" % at) for at, key in enumerate(made)]
    assert service.unwrap(KEK, pairs) == [key.plain for key in made]


def test_weights_case_14_and_17_another_context_kek_or_blob_is_refused(service: KeyService) -> None:
    _, blob = one(service)
    service.generate("model/wren", [b"x"])
    denied(lambda: service.unwrap(KEK, [(blob, b"place two")]), "keys.wrong_context")
    denied(lambda: service.unwrap("model/wren", [(blob, b"place one")]), "keys.wrong_context")
    denied(lambda: service.unwrap("model/none", [(blob, b"place one")]), "keys.wrong_context")
    for at in range(len(blob)):
        bad = bytearray(blob)
        bad[at] ^= 1
        denied(lambda bad=bad: service.unwrap(KEK, [(bytes(bad), b"place one")]), "keys.wrong_context")
    for bad in (b"", blob[:-1], blob + b"\0"):
        denied(lambda bad=bad: service.unwrap(KEK, [(bad, b"place one")]), "keys.wrong_context")


def test_weights_case_16_a_stale_version_is_refused_after_the_minimum_rises(service: KeyService) -> None:
    plain, blob = one(service)
    assert service.rotate(KEK) == 2
    assert service.unwrap(KEK, [(blob, b"place one")]) == [plain]
    (again,) = service.rewrap(KEK, [(blob, b"place one")])
    assert again.version == 2
    service.set_minimum(KEK, 2)
    denied(lambda: service.unwrap(KEK, [(blob, b"place one")]), "keys.version_too_old")
    assert service.unwrap(KEK, [(again.blob, b"place one")]) == [plain]
    for wrong in (1, 3):
        with pytest.raises(Invalid) as caught:
            service.set_minimum(KEK, wrong)
        assert caught.value.code == "keys.bad_minimum"


def test_weights_case_42_a_destroyed_kek_stays_destroyed(service: KeyService, reopen: Reopen) -> None:
    _, blob = one(service)
    service.destroy(KEK)
    service.destroy(KEK)
    for each in (service, reopen()):
        denied(lambda each=each: each.unwrap(KEK, [(blob, b"place one")]), "keys.destroyed")
        denied(lambda each=each: each.generate(KEK, [b"new"]), "keys.destroyed")
        assert [(kek.name, kek.destroyed) for kek in each.describe()] == [(KEK, True)]


def test_weights_case_42_a_retired_version_opens_nothing_and_its_neighbours_do(
    service: KeyService, reopen: Reopen
) -> None:
    one, two = (b'{"shard":"a","version":"ver_%d"}' % number for number in (1, 2))
    first, second = (key.wrapped.blob for key in service.generate("model/tern", [one, two]))
    service.retire("model/tern", "ver_1")
    service.retire("model/tern", "ver_1")
    for each in (service, reopen()):
        for act in (each.unwrap, each.rewrap):
            with pytest.raises(Denied) as caught:
                act("model/tern", [(first, one)])
            assert caught.value.code == "keys.destroyed"
        assert len(each.unwrap("model/tern", [(second, two)])) == 1
        assert each.health().ok


def test_it_is_the_same_service_after_a_restart(service: KeyService, reopen: Reopen) -> None:
    plain, blob = one(service)
    service.rotate(KEK)
    again = reopen()
    assert again.unwrap(KEK, [(blob, b"place one")]) == [plain]
    assert again.describe() == service.describe()
    assert again.health().ok


def test_two_processes_on_one_service_see_each_others_changes(service: KeyService, reopen: Reopen) -> None:
    other = reopen()
    plain, blob = one(service)
    assert other.unwrap(KEK, [(blob, b"place one")]) == [plain]
    other.rotate(KEK)
    assert service.generate(KEK, [b"x"])[0].wrapped.version == 2
    other.set_minimum(KEK, 2)
    denied(lambda: service.unwrap(KEK, [(blob, b"place one")]), "keys.version_too_old")


def test_many_threads_make_one_kek(service: KeyService) -> None:
    made: list[bytes] = []

    def ask() -> None:
        made.append(service.generate(KEK, [b"here"])[0].wrapped.blob)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(service.unwrap(KEK, [(blob, b"here") for blob in made])) == 8
    assert len(service.describe()) == 1


class TestSealedFile:
    """What is particular to the file: what a thief of the disk gets."""

    def test_nothing_plain_is_on_disk(self, service: SealedKeys, sealed: Path) -> None:
        plain, blob = one(service)
        raw = sealed.read_bytes()
        assert plain not in raw
        assert blob not in raw
        assert KEK.encode() not in raw
        assert service.signer("log").public not in raw
        assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
        assert not sealed.with_name("keys.sealed.new").exists()

    def test_a_wrong_passphrase_and_an_altered_file_are_refused(self, service: SealedKeys, sealed: Path) -> None:
        with pytest.raises(Unavailable) as caught:
            SealedKeys.open(sealed, "another passphrase")
        assert caught.value.code == "keys.passphrase"
        good = sealed.read_bytes()
        for old, new in (
            (b'"n": 1024', b'"n": 2048'),
            (b'"box": "', b'"box": "AAAA'),
            (b'"nonce": "', b'"nonce": "AAAA'),
        ):
            assert old in good
            sealed.write_bytes(good.replace(old, new))
            with pytest.raises(Unavailable):
                SealedKeys.open(sealed, PASSPHRASE)
            assert not service.health().ok
        for bad in (b"", b"{}", b"[]", b"\xff", good.replace(b'"n": 1024', b'"n": 1073741824')):
            sealed.write_bytes(bad)
            with pytest.raises(Unavailable) as caught:
                SealedKeys.open(sealed, PASSPHRASE)
            assert caught.value.code == "keys.bad_file"
        sealed.unlink()
        with pytest.raises(Unavailable) as caught:
            SealedKeys.open(sealed, PASSPHRASE)
        assert caught.value.code == "keys.no_file"

    def test_an_existing_file_is_never_replaced(self, service: SealedKeys, sealed: Path) -> None:
        with pytest.raises(Conflict) as caught:
            SealedKeys.create(sealed, PASSPHRASE, cost=1 << 10)
        assert caught.value.code == "keys.file_exists"

    def test_a_short_passphrase_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(Invalid) as caught:
            SealedKeys.create(tmp_path / "other", "short", cost=1 << 10)
        assert caught.value.code == "keys.weak_passphrase"

    def test_signers_are_stable_and_apart_by_purpose(self, service: SealedKeys, reopen: Reopen) -> None:
        again = reopen()
        assert isinstance(again, SealedKeys)
        assert service.signer("grant").public == again.signer("grant").public
        assert service.mac("manifest", b"row") == again.mac("manifest", b"row")
        assert service.signer("grant").public != service.signer("log").public
        assert service.mac("manifest", b"row") != service.mac("session", b"row")
        assert service.mac("grant", b"row") != service.signer("grant").public

    def test_a_disk_that_cannot_be_written_loses_nothing(
        self, service: SealedKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain, blob = one(service)

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable) as caught:
            service.rotate(KEK)
        assert caught.value.code == "keys.unavailable"
        monkeypatch.undo()
        assert service.unwrap(KEK, [(blob, b"place one")]) == [plain]
        assert service.rotate(KEK) == 2

    @pytest.mark.parametrize("cost", [0, 1 << 9, 1 << 21])
    def test_a_work_factor_that_opening_refuses_is_refused_by_making(self, tmp_path: Path, cost: int) -> None:
        with pytest.raises(Invalid) as caught:
            SealedKeys.create(tmp_path / "other", PASSPHRASE, cost=cost)
        assert caught.value.code == "keys.bad_cost"
        assert not (tmp_path / "other").exists()

    def test_a_file_larger_than_opening_takes_is_never_written(self, tmp_path: Path) -> None:
        empty = Contents(root=bytes(32), keks={}, edition=1)
        file, _ = SealedFile.create(tmp_path / "keys", PASSPHRASE, empty, cost=1 << 10)
        before = file.path.read_bytes()
        big = Kek(current=1, minimum=1, keys={"1": bytes(32)}, made=0, retired=("x" * (13 << 20),))
        with pytest.raises(Unavailable) as caught:
            file.write(msgspec.structs.replace(empty, keks={KEK: big}, edition=2))
        assert caught.value.code == "keys.full"
        assert file.path.read_bytes() == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["keys"]
        assert SealedFile.open(file.path, PASSPHRASE)[1].contents == empty

    def test_secrets_do_not_show_in_a_repr(self, service: SealedKeys) -> None:
        (made,) = service.generate(KEK, [b"x"])
        assert made.plain.hex() not in repr(made)
        assert repr(made.plain) not in repr(made)
        assert repr(service) == "SealedKeys(…)"
