"""Write access to the database, to the store, or to both: whatever is changed is refused by name, with one line."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from tests.weights.world import TERN, World, arrays

from weighthouse.core.errors import Denied, Invalid, Unavailable, WeighthouseError
from weighthouse.weights import api as weights
from weighthouse_sdk import manifest
from weighthouse_sdk.errors import SdkError


@pytest.fixture
def run(world: World) -> Any:
    world.grant("ada", "tern-train")
    return world.run("ada")


def sql(world: World, statement: str, **values: object) -> list[Any]:
    """What an administrator of the database can do."""
    with world.system.database.engine.connect() as connection:
        result = connection.execute(text(statement), values)
        rows = list(result) if result.returns_rows else []
        connection.commit()
    return rows


def refused(world: World, attempt: Callable[[], object], code: str, line: str) -> None:
    before = world.size()
    with pytest.raises(WeighthouseError) as caught:
        attempt()
    assert caught.value.code == code, caught.value
    assert [kind for kind in world.since(before) if kind != "access.Allowed"] == [line]


FIELDS: dict[str, object] = {
    "digest": "sha256:" + "0" * 64, "counter": 7, "prefix": "uploads/other", "bytes": 1, "person": "eve", "model": "model/wren",
    "id": "ver_00000000000000000000000000", "parent": {"version": "ver_x", "digest": "d"}, "state": "destroyed", "at": 1,
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_an_edited_version_row_is_refused(world: World, run: Any, field: str) -> None:
    version = world.save(run)
    body = json.loads(sql(world, "SELECT body FROM weights_version")[0].body)
    sql(world, "UPDATE weights_version SET body = :body", body=json.dumps({**body, field: FIELDS[field]}))
    refused(world, lambda: world.begin_load(run, version.id), "weights.row_seal", "weights.TamperFound")


def test_a_forged_version_row_is_refused(world: World, run: Any) -> None:
    # The whole registry is rewritten for a version of the thief's making; only the seals cannot be made.
    version = world.save(run)
    sql(world, "UPDATE weights_version SET seal = :seal", seal=b"\0" * 32)
    refused(world, lambda: world.begin_load(run, version.id), "weights.row_seal", "weights.TamperFound")


def test_weights_case_20_a_thief_signs_a_manifest_and_swaps_key_and_envelope(world: World, run: Any) -> None:
    version = world.save(run)
    row = sql(world, "SELECT body FROM weights_save")[0]
    save = json.loads(row.body)
    thief = Ed25519PrivateKey.generate()
    envelope = sql(world, "SELECT envelope FROM weights_version")[0].envelope
    real = manifest.open_envelope(bytes(envelope), base64.b64decode(save["signer"]))
    sql(world, "UPDATE weights_version SET envelope = :e", e=manifest.sign(real, thief))
    refused(world, lambda: world.begin_load(run, version.id), "weights.envelope", "weights.TamperFound")
    save["signer"] = base64.b64encode(thief.public_key().public_bytes_raw()).decode()
    sql(world, "UPDATE weights_save SET body = :b", b=json.dumps(save))
    refused(world, lambda: world.begin_load(run, version.id), "weights.row_seal", "weights.TamperFound")


def test_a_second_manifest_by_the_right_producer_put_in_the_place_of_the_committed_one(
    world: World, run: Any
) -> None:
    # The run's own key signs twice; only the first was committed, and only its digest is remembered.
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    version = world.commit(run, draft, envelope)
    listed = manifest.open_envelope(envelope, draft.signer.public_key().public_bytes_raw())
    first = replace(listed.shards[0], plaintext=listed.shards[0].plaintext - 1)
    second = manifest.sign(replace(listed, shards=(first, *listed.shards[1:])), draft.signer)
    sql(world, "UPDATE weights_version SET envelope = :e", e=second)
    refused(world, lambda: world.begin_load(run, version.id), "weights.envelope", "weights.TamperFound")


def test_weights_case_18_an_older_version_put_in_the_place_of_the_newest(world: World, run: Any) -> None:
    old, new = world.save(run), world.save(run, seed=2)
    ada = world.person("ada")
    # The newest version vanishes, rows and all, as from yesterday's backup.
    sql(world, "DELETE FROM weights_version WHERE id = :id", id=new.id)
    sql(world, "UPDATE weights_head SET counter = 1")

    def newest() -> object:
        with world.unit(ada) as unit:
            return weights.versions(unit, ada, TERN)[0]

    refused(world, newest, "weights.rolled_back", "weights.TamperFound")
    with world.unit(run) as unit:
        assert weights.begin_load(unit, run, old.id).version == old.id


def test_weights_case_18_one_version_under_the_id_of_another(world: World, run: Any) -> None:
    old, new = world.save(run), world.save(run, seed=2)
    row = sql(world, "SELECT body, envelope, seal FROM weights_version WHERE id = :id", id=old.id)[0]
    sql(
        world, "UPDATE weights_version SET body = :b, envelope = :e, seal = :s WHERE id = :id",
        b=row.body, e=row.envelope, s=row.seal, id=new.id,
    )  # fmt: skip
    refused(world, lambda: world.begin_load(run, new.id), "weights.row_seal", "weights.TamperFound")


def test_weights_case_14_a_wrapped_key_swapped_with_another_valid_one(world: World, run: Any) -> None:
    one, two = world.save(run), world.save(run)
    blob = sql(world, "SELECT blob FROM weights_key WHERE save = :s AND place = 0", s=two.save)[0].blob
    sql(world, "UPDATE weights_key SET blob = :b WHERE save = :s AND place = 0", b=blob, s=one.save)
    refused(world, lambda: world.begin_load(run, one.id), "keys.wrong_context", "keys.KeyRefused")
    sql(world, "UPDATE weights_key SET shard = 'x' || shard WHERE save = :s", s=one.save)
    refused(world, lambda: world.begin_load(run, one.id), "weights.envelope", "weights.TamperFound")


def test_weights_case_42_a_destroyed_version_put_back_from_a_backup_stays_destroyed(world: World, run: Any) -> None:
    version = world.save(run)
    rows = sql(world, "SELECT * FROM weights_key")
    backup = sql(world, "SELECT body, seal FROM weights_version")[0]
    world.destroyed("ada", version)
    sql(world, "UPDATE weights_version SET body = :b, seal = :s", b=backup.body, s=backup.seal)
    for row in rows:
        sql(
            world, "INSERT INTO weights_key VALUES (:save, :place, :shard, :media, :kek, :kek_version, :blob)",
            **row._mapping,
        )  # fmt: skip
    with pytest.raises(WeighthouseError) as caught:
        world.begin_load(run, version.id)
    assert caught.value.code == "weights.destroyed"
    # The log's own row is hidden as well, by its columns, which no signature covers: decisions read what was hashed.
    sql(world, "UPDATE log_entry SET kind = 'x', subject = 'x' WHERE kind = 'weights.CheckpointDestroyed'")
    with pytest.raises(WeighthouseError) as caught:
        world.begin_load(run, version.id)
    assert caught.value.code == "weights.destroyed"


def test_weights_case_1_and_19_bytes_changed_in_storage_are_named_by_loader_and_by_verify(
    world: World, run: Any
) -> None:
    one, two = world.save(run), world.save(run)
    assert weights.verify_stored(world.system, one.id) == []
    folder = world.state / "objects" / one.prefix / "shards"
    shard = max(folder.glob("*.floe"), key=lambda path: path.stat().st_size)
    good = shard.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    shard.write_bytes(bad)
    with pytest.raises(SdkError) as caught:
        world.load(run, one.id)
    assert shard.stem in caught.value.message
    assert weights.verify_stored(world.system, one.id) == [f"shard {shard.stem}: its bytes are not the signed ones"]
    other = max(
        (world.state / "objects" / two.prefix / "shards").glob("*.floe"), key=lambda path: path.stat().st_size
    )
    shard.write_bytes(other.read_bytes())
    with pytest.raises(SdkError):
        world.load(run, one.id)
    shard.unlink()
    (problem,) = weights.verify_stored(world.system, one.id)
    assert shard.stem in problem


def commit_refused(world: World, run: Any, change: Callable[[Any, bytes], bytes], code: str) -> None:
    draft = world.begin_save(run)
    envelope = change(draft, draft.write(arrays()))
    refused(world, lambda: world.commit(run, draft, envelope), code, "weights.ManifestRefused")
    with world.unit(run) as unit, pytest.raises(WeighthouseError) as caught:
        weights.begin_load(unit, run, draft.ticket.version)
    assert caught.value.code == "weights.no_version"


def test_a_commit_that_does_not_hold_makes_nothing_visible(world: World, run: Any) -> None:
    def altered(**changes: Any) -> Callable[[Any, bytes], bytes]:
        def change(draft: Any, envelope: bytes) -> bytes:
            listed = manifest.open_envelope(envelope, draft.signer.public_key().public_bytes_raw())
            return manifest.sign(replace(listed, **changes), draft.signer)

        return change

    for changes in (
        {"model": "model/wren"},
        {"version": "ver_x"},
        {"save": "sav_x"},
        {"tenant": "other"},
        {"parent": ("v", "d")},
    ):
        commit_refused(world, run, altered(**changes), "weights.bad_manifest")
    commit_refused(world, run, lambda draft, envelope: envelope[:-1], "weights.bad_manifest")
    commit_refused(world, run, lambda draft, envelope: b"", "weights.bad_manifest")
    other = Ed25519PrivateKey.generate()
    commit_refused(
        world, run,
        lambda draft, envelope: manifest.sign(manifest.open_envelope(envelope, draft.signer.public_key().public_bytes_raw()), other),
        "weights.bad_manifest",
    )  # fmt: skip

    def with_file(act: Callable[[Any], object]) -> Callable[[Any, bytes], bytes]:
        def change(draft: Any, envelope: bytes) -> bytes:
            act(draft.folder / "shards" / f"{draft.ticket.keys[0].shard}.floe")
            return envelope

        return change

    for act in (
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"\1" + path.read_bytes()[1:]),
        lambda path: path.with_suffix(".second").hardlink_to(path),
        lambda path: path.rename(path.with_suffix(".aside")) and path.symlink_to(path.with_suffix(".aside")),
    ):
        commit_refused(world, run, with_file(act), "weights.bad_shard")


def test_a_commit_that_no_load_would_take_is_refused(world: World, run: Any) -> None:
    def shard(**changes: Any) -> Callable[[Any, bytes], bytes]:
        def change(draft: Any, envelope: bytes) -> bytes:
            listed = manifest.open_envelope(envelope, draft.signer.public_key().public_bytes_raw())
            first = replace(listed.shards[0], **changes)
            return manifest.sign(replace(listed, shards=(first, *listed.shards[1:])), draft.signer)

        return change

    commit_refused(world, run, shard(plaintext=7), "weights.bad_manifest")
    commit_refused(world, run, shard(root="0" * 64), "weights.bad_shard")


def test_nothing_secret_is_in_the_database_or_the_store(world: World, run: Any) -> None:
    world.save(run)
    plain = arrays()["embed"].tobytes()[:64]
    root = world.sealed._held.contents.root
    for path in [*world.state.rglob("*")]:
        if path.is_file():
            data = path.read_bytes()
            assert plain not in data, path
            assert root not in data and base64.b64encode(root) not in data, path


def test_weights_case_41_a_log_that_cannot_be_written_lets_no_key_out(world: World, run: Any) -> None:
    version = world.save(run)
    sql(world, "ALTER TABLE log_head RENAME TO log_head_gone")
    got: list[object] = []
    with pytest.raises(Unavailable), world.unit(run) as unit:
        got.append(weights.begin_load(unit, run, version.id))
    sql(world, "ALTER TABLE log_head_gone RENAME TO log_head")
    assert got == []
    assert len(world.facts("weights.LoadStarted")) == 0


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33), bytes(32)])
def test_a_recipient_that_is_no_key_is_refused(world: World, run: Any, wrong: bytes) -> None:
    version = world.save(run)
    world.lender(run).recipient = wrong
    with pytest.raises(Invalid) as caught, world.unit(run) as unit:
        weights.begin_load(unit, run, version.id)
    assert caught.value.code == "keys.bad_recipient"


def test_weights_case_20_a_token_of_one_run_says_nothing_for_another(world: World, run: Any) -> None:
    version = world.save(run)
    stranger = world.run("eve")
    with pytest.raises(Denied):
        world.begin_load(stranger, version.id)
