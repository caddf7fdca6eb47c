"""Yesterday's key file comes back. A server that saw a newer one says no until that one is back; none goes unseen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from weighthouse.core.clock import ManualClock
from weighthouse.core.errors import Denied, Unavailable
from weighthouse.keys.adapters.embedded import SealedKeys

KEK = "model/tern"
PASSPHRASE = "four random words here"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.sealed"


@pytest.fixture
def service(path: Path, clock: ManualClock) -> SealedKeys:
    return SealedKeys.create(path, PASSPHRASE, cost=1 << 10, clock=clock)


def rolled_back(*acts: Callable[[], object]) -> None:
    for act in acts:
        with pytest.raises(Unavailable) as caught:
            act()
        assert caught.value.code == "keys.rolled_back"


def everything(service: SealedKeys, blob: bytes) -> list[Callable[[], object]]:
    return [
        lambda: service.unwrap(KEK, [(blob, b"here")]),
        lambda: service.rewrap(KEK, [(blob, b"here")]),
        lambda: service.generate(KEK, [b"there"]),
        lambda: service.generate("model/wren", [b"there"]),
        lambda: service.rotate(KEK),
        lambda: service.set_minimum(KEK, 1),
        lambda: service.retire(KEK, "ver_1"),
        lambda: service.destroy(KEK),
        service.describe,
    ]


def written_over(source: Path, target: Path) -> None:
    shutil.copy(source, target)


def moved_over(source: Path, target: Path) -> None:
    shutil.copy(source, target.with_name("moving"))
    target.with_name("moving").replace(target)


def minimum_raised(service: SealedKeys) -> None:
    service.rotate(KEK)
    service.set_minimum(KEK, 2)


CHANGES: list[Callable[[SealedKeys], object]] = [
    lambda service: service.rotate(KEK),
    minimum_raised,
    lambda service: service.retire(KEK, "ver_1"),
    lambda service: service.destroy(KEK),
    lambda service: service.generate("model/wren", [b"new"]),
]


@pytest.mark.parametrize("change", CHANGES)
def test_yesterdays_file_under_a_running_server_is_refused_until_the_newest_is_back(
    service: SealedKeys, path: Path, change: Callable[[SealedKeys], object]
) -> None:
    blob = service.generate(KEK, [b"here"])[0].wrapped.blob
    yesterday, newest = path.with_name("yesterday"), path.with_name("newest")
    shutil.copy(path, yesterday)
    change(service)
    shutil.copy(path, newest)
    told = service.describe()
    for put_back in (written_over, moved_over):
        put_back(yesterday, path)
        rolled_back(*everything(service, blob))
        assert not service.health().ok
        assert "edition" in service.health().detail
        rolled_back(service.describe)  # asking for the health takes nothing older into use
        assert path.read_bytes() == yesterday.read_bytes(), "and nothing was written over what is there"
        put_back(newest, path)
        assert service.describe() == told
        assert service.health().ok


def test_another_file_of_the_same_edition_is_a_fork(service: SealedKeys, path: Path, clock: ManualClock) -> None:
    blob = service.generate(KEK, [b"here"])[0].wrapped.blob
    shutil.copy(path, path.with_name("aside"))
    other = service.elsewhere(path.with_name("aside"))
    other.generate("model/wren", [b"there"])
    service.rotate(KEK)
    shutil.copy(path.with_name("aside"), path)
    rolled_back(*everything(service, blob))


def test_what_another_process_writes_is_taken_and_then_nothing_older(
    service: SealedKeys, path: Path, clock: ManualClock
) -> None:
    blob = service.generate(KEK, [b"here"])[0].wrapped.blob
    shutil.copy(path, path.with_name("yesterday"))
    other = SealedKeys.open(path, PASSPHRASE, clock=clock)
    other.rotate(KEK)
    other.set_minimum(KEK, 2)
    with pytest.raises(Denied) as caught:
        service.unwrap(KEK, [(blob, b"here")])
    assert caught.value.code == "keys.version_too_old"
    shutil.copy(path.with_name("yesterday"), path)
    rolled_back(*everything(service, blob), *everything(other, blob))
