"""`weighthouse keys` on a kept folder: the drill after a leak. What the thief kept opens nothing new."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.app.kept import PASSPHRASE, State
from tests.weights.world import TERN, World

from weighthouse.app.home import Home
from weighthouse.cli import exits, main
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import SystemClock
from weighthouse.core.errors import Denied, Unavailable
from weighthouse.core.work import begin
from weighthouse.keys import api as keys
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.weights import store
from weighthouse.weights.api.sealing import open_version
from weighthouse.weights.rules.manifests import places

NEW = "quite another passphrase"


class Drill:
    """A kept folder with a checkpoint in it, and the commands as an operator types them."""

    def __init__(self, state: State, folder: Path) -> None:
        self.kept, self.home, self.secret = state, Home(state.root), state.passphrase
        self.new = folder / "new-passphrase"
        self.new.touch(0o600)
        self.new.write_text(NEW)
        world = self.opened()
        world.grant("ada", "tern-train")
        self.version = world.save(world.run("ada")).id
        world.system.database.close()

    def opened(self) -> World:
        from weighthouse.app.initialise import load_settings, reopen

        made = World.__new__(World)
        settings, home = load_settings({}, state=self.kept.root)
        made.system = reopen(settings, home, self.secret.read_text())
        made.clock, made.state, made.devices = SystemClock(), self.kept.root, {}  # type: ignore[assignment]
        return made

    def keys(self, *words: str, status: int = exits.OK) -> str:
        name, *rest = words
        told = ["--state", str(self.kept.root), "--passphrase-file", str(self.secret)]
        self.kept.printed()
        assert main.run(["keys", name, *rest, *told]) == status
        said = self.kept._capsys.readouterr()  # type: ignore[union-attr]
        self.listed = said.out
        return said.out + said.err

    def status(self) -> dict[str, Any]:
        """What `keys status` lists of the one model that has a key."""
        self.keys("status", "-o", "json")
        (row,) = json.loads(self.listed)["items"]
        return dict(row)

    def wrapped(self) -> list[tuple[bytes, bytes]]:
        """What a thief of the database has of Tern: each wrapped data key and its place."""
        world = self.opened()
        with begin(world.system, SYSTEM) as unit:
            sealed = open_version(unit, self.version)
            listed = store.find_keys(unit.conn, sealed.save.id)
            bound = places(sealed.save, [(key.shard, key.index, key.media) for key in listed])
        world.system.database.close()
        from weighthouse.core.canonical import encode

        return [(key.blob, encode(place.context())) for key, place in zip(listed, bound, strict=True)]


@pytest.fixture
def drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Drill:
    return Drill(State(tmp_path, monkeypatch, capsys), tmp_path)


def test_the_drill_after_a_leak_leaves_the_thief_a_file_that_opens_nothing_new(drill: Drill, tmp_path: Path) -> None:
    stolen = shutil.copy(drill.home.keys_file, tmp_path / "stolen")
    thief = SealedKeys.open(stolen, PASSPHRASE)
    assert len(thief.unwrap(TERN, drill.wrapped())) == 2

    assert "opens with the new passphrase alone" in drill.keys(
        "new-passphrase", "--new-passphrase-file", str(drill.new)
    )
    drill.keys("status", status=exits.KEYS_CLOSED)  # the old one opens no newer file
    drill.secret = drill.new
    row = drill.status()
    assert (row["current"], row["minimum"], row["wrapped"]) == (1, 1, {"1": 2})
    assert "version 2" in drill.keys("rotate", TERN)
    drill.keys("minimum", TERN, "2", status=exits.CONFLICT)
    assert "2 data keys of 1 saves; 2 wrapped again, 0 saves" in drill.keys("rewrap", TERN)
    assert "2 data keys of 1 saves; 0 wrapped again" in drill.keys("rewrap", TERN)
    assert "2 data keys of 1 saves; 0 saves do not hold" in drill.keys("verify", TERN)
    assert "2 data keys of 1 saves; 0 saves do not hold" in drill.keys("verify", TERN, "--stored")
    drill.keys("minimum", TERN, "2")

    fresh = drill.wrapped()
    with pytest.raises(Denied) as caught:
        thief.unwrap(TERN, fresh)
    assert caught.value.code == "keys.wrong_context"
    with pytest.raises(Unavailable) as closed:
        SealedKeys.open(drill.home.keys_file, PASSPHRASE)
    assert closed.value.code == "keys.passphrase"
    world = drill.opened()
    world.load(world.run("ada"), drill.version)
    kinds = ("keys.PassphraseChanged", "keys.KekRotated", "weights.KeysRewrapped", "keys.KekMinimumRaised")
    assert [len(world.facts(kind)) for kind in kinds] == [1, 1, 1, 1]
    world.system.database.close()


def test_what_is_stored_under_the_keys_is_read_when_that_is_asked_for(drill: Drill) -> None:
    stored = drill.kept.root / "objects" / "versions" / drill.version / "shards"
    shard = max(stored.iterdir(), key=lambda path: path.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-1])
    assert "1 saves; 0 saves do not hold" in drill.keys("verify", TERN), "the keys themselves open"
    told = drill.keys("verify", TERN, "--stored", status=exits.CHECK_FAILED)
    assert f"shard {shard.stem}: its length is not the signed one" in told and "1 saves do not hold" in told


def test_a_restored_backup_is_taken_into_use_past_the_log(drill: Drill, tmp_path: Path) -> None:
    backup = shutil.copy(drill.home.keys_file, tmp_path / "backup")
    drill.keys("rotate", TERN)
    drill.keys("rewrap", TERN)
    drill.keys("minimum", TERN, "2")
    shutil.copy(backup, drill.home.keys_file)
    assert "older key file" in drill.keys("status", status=exits.CHECK_FAILED)
    drill.keys("rotate", TERN, status=exits.KEYS_CLOSED)
    assert "version 3" in drill.keys("rotate", TERN, "--past-log")
    assert "keys.wrong_context" in drill.keys("verify", TERN, status=exits.CHECK_FAILED)
    row = drill.status()
    assert (row["current"], row["minimum"]) == (3, 2)


def test_a_destroyed_key_is_named_and_one_that_was_put_back_is_told_of(drill: Drill, tmp_path: Path) -> None:
    backup = shutil.copy(drill.home.keys_file, tmp_path / "backup")
    world = drill.opened()
    with begin(world.system, SYSTEM) as unit:
        keys.destroy(unit, SYSTEM, TERN)
    world.system.database.close()
    assert drill.status()["destroyed"] is True
    assert "says the log" not in drill.keys("status")
    shutil.copy(backup, drill.home.keys_file)
    assert drill.status()["destroyed"] is True
    assert f"The key of {TERN} was destroyed, says the log" in drill.keys("status")
    assert "destroyed on purpose" in drill.keys("rotate", TERN, status=exits.REFUSED)
    assert "keys.destroyed" in drill.keys("verify", TERN, status=exits.CHECK_FAILED)


@pytest.mark.parametrize("words", [("rotate", "model/none"), ("rotate", "model/none", "--past-log")])
def test_a_model_without_a_key_has_none_to_rotate(drill: Drill, words: tuple[str, ...]) -> None:
    drill.keys(*words, status=exits.REFUSED)


@pytest.mark.parametrize("bad", [PASSPHRASE, "short", "aaaaaaaaaaaaaaaa"])
def test_a_new_passphrase_is_another_one_and_no_weaker(drill: Drill, bad: str) -> None:
    drill.new.write_text(bad)
    before = drill.home.keys_file.read_bytes()
    drill.keys("new-passphrase", "--new-passphrase-file", str(drill.new), status=exits.REFUSED)
    assert drill.home.keys_file.read_bytes() == before
