"""Every way to put a wrong byte, file, set or signature under a loader: each is refused by name, and nothing is kept."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.sdk import floe_second
from tests.sdk.vault import Vault

from weighthouse_sdk import checkpoint, manifest
from weighthouse_sdk.checkpoint_binding import Recipient
from weighthouse_sdk.errors import CheckpointError, FloeError, ManifestError, SdkError
from weighthouse_sdk.floe_files import Crew


def refused(load: Callable[[], Any], *codes: str) -> str:
    with pytest.raises(SdkError) as caught:
        load()
    assert caught.value.code in codes, caught.value
    return caught.value.message


def ticket(vault: Vault, **changes: Any) -> Callable[[], Any]:
    return lambda: checkpoint.load(checkpoint.parse_load(vault.document(**changes)), vault.recipient, vault.folder)


def test_weights_case_1_one_altered_byte_names_the_shard(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    for number, at in ((0, 3), (0, 60), (0, 80), (0, 1 << 20), (1, -1), (len(vault.names) - 1, 100)):
        path = vault.shard(number)
        good = path.read_bytes()
        bad = bytearray(good)
        bad[at] ^= 1
        path.write_bytes(bad)
        for verify in ("signed", "tags"):
            message = refused(
                lambda verify=verify: vault.load(verify=verify),
                "checkpoint.manifest",
                "floe.segment",
                "floe.not_signed",
            )
            assert vault.names[number] in message
        path.write_bytes(good)
    vault.load()


def test_weights_case_2_3_7_a_shard_of_another_length(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    good = vault.shard(0).read_bytes()
    for bad in (good[:-1], good + b"\0", good[: 74 + (1 << 20)], b"", good[:74]):
        vault.shard(0).write_bytes(bad)
        refused(vault.load, "checkpoint.manifest")


def test_weights_case_8_a_segment_moved_between_two_shards(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    one, two = bytearray(vault.shard(0).read_bytes()), vault.shard(1).read_bytes()
    one[74 : 74 + (1 << 20)] = two[74 : 74 + (1 << 20)]
    vault.shard(0).write_bytes(one)
    refused(lambda: vault.load(verify="tags"), "floe.segment")
    refused(lambda: vault.load(verify="signed"), "floe.not_signed")


@pytest.mark.parametrize("field", ["model", "version", "save_id", "tenant"])
def test_weights_case_9_a_whole_shard_under_another_name(tmp_path: Path, field: str) -> None:
    # The thief has even the same data keys sealed for the other place; the header tag is bound to the first one.
    vault = Vault(tmp_path / "a").save()
    other = Vault(tmp_path / "b", **{field: "elsewhere"})
    other.names, other.keys = vault.names, vault.keys
    other.save()
    shutil.copy(vault.shard(0), other.shard(0))
    shutil.copy(vault.shard(0, ".leaves"), other.shard(0, ".leaves"))
    refused(other.load, "checkpoint.manifest")
    # Were the manifest to list it (a malicious producer), the header tag still refuses it.
    listed = other.manifest()
    forged = replace(listed, shards=(vault.manifest().shards[0], *listed.shards[1:]))
    other.envelope = manifest.sign(forged, other.signer)
    refused(other.load, "floe.header")


def test_weights_case_14_a_data_key_swapped_for_another_valid_one(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    document = vault.document()
    keys = document["keys"]
    keys[0]["sealed"], keys[1]["sealed"] = keys[1]["sealed"], keys[0]["sealed"]
    refused(ticket(vault, keys=keys), "checkpoint.sealed_key")
    vault.keys[0], vault.keys[1] = vault.keys[1], vault.keys[0]
    refused(vault.load, "floe.header")


def test_a_ticket_sealed_to_somebody_else_opens_nothing(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    parsed = checkpoint.parse_load(vault.document())
    refused(lambda: checkpoint.load(parsed, Recipient(), vault.folder), "checkpoint.sealed_key")


def test_weights_case_18_an_older_manifest_with_its_older_shards(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    remembered = vault.document()["digest"]
    again = Vault(tmp_path / "again", signer=vault.signer, tensors=vault.tensors).save()
    refused(ticket(again, digest=remembered), "checkpoint.manifest")


def test_weights_case_19_shards_of_two_saves_mixed(tmp_path: Path) -> None:
    one = Vault(tmp_path / "a", save_id="sav_one").save()
    two = Vault(tmp_path / "b", save_id="sav_two", tensors=one.tensors)
    two.names, two.keys = one.names, one.keys
    two.save()
    shutil.copy(two.shard(1), one.shard(1))
    refused(lambda: one.load(verify="tags"), "checkpoint.manifest")


def test_weights_case_20_signature_by_another_key_or_over_another_type(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    thief = Ed25519PrivateKey.generate()
    by_thief = manifest.sign(vault.manifest(), thief).decode()
    refused(ticket(vault, manifest=by_thief), "manifest.envelope")
    renamed = by_thief.replace(
        manifest.key_id(thief.public_key().public_bytes_raw()),
        manifest.key_id(vault.signer.public_key().public_bytes_raw()),
    )
    refused(ticket(vault, manifest=renamed), "manifest.signature")
    other_type = vault.envelope.decode().replace(manifest.PAYLOAD_TYPE, "application/json")
    refused(ticket(vault, manifest=other_type), "manifest.envelope")
    # A signature over the bare payload, without the type (what a confused signer would make), is none.
    payload = vault.manifest().payload()
    bare = base64.b64encode(vault.signer.sign(payload)).decode()
    start = vault.envelope.index(b'"sig":"') + 7
    refused(
        ticket(vault, manifest=vault.envelope[:start].decode() + bare + vault.envelope[start + 88 :].decode()),
        "manifest.signature",
    )


def test_weights_case_21_a_readers_forged_segment_has_a_valid_tag_but_no_signed_root(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    path = vault.shard(0)
    data = bytearray(path.read_bytes())
    binding = vault.manifest().binding(vault.manifest().shards[0])
    plain = bytearray(1_048_544)
    original = floe_second.decrypt(vault.keys[0], binding.aad(), bytes(data), 1 << 20)
    plain[:] = original[:1_048_544]
    plain[-1] ^= 1
    data[74 : 74 + (1 << 20)] = floe_second.segment(
        vault.keys[0], binding.aad(), bytes(data[:74]), 1 << 20, 0, False, bytes(plain)
    )
    path.write_bytes(data)
    changed = vault.load(verify="tags")  # tags alone cannot tell a reader from a writer; this is why "signed" exists
    assert any(changed[name].tobytes() != vault.tensors[name].tobytes() for name in changed)
    refused(vault.load, "floe.not_signed")
    leaves = bytearray(vault.shard(0, ".leaves").read_bytes())
    leaves[0] ^= 1
    vault.shard(0, ".leaves").write_bytes(leaves)
    refused(vault.load, "manifest.leaves")
    refused(ticket(vault, verify="signed"), "manifest.leaves")


@pytest.mark.parametrize(
    "wrong",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "a" * 31,
        "A" * 32,
        "a" * 33,
        "a" * 31 + "\0",
        "а" * 32,
        "a" * 4096,
        "",
        7,
        None,
    ],
)
def test_weights_case_31_shard_names_that_could_be_paths(tmp_path: Path, wrong: Any) -> None:
    vault = Vault(tmp_path).save()
    document = vault.document()
    document["keys"][0]["shard"] = wrong
    refused(lambda: checkpoint.parse_load(document), "checkpoint.ticket")
    refused(lambda: checkpoint.parse_save({**document, "parent": None}), "checkpoint.ticket")


def test_weights_case_32_links_and_special_files_in_place_of_a_shard(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    path = vault.shard(0)
    aside = path.rename(tmp_path / "aside")
    path.symlink_to(aside)
    refused(vault.load, "floe.unreadable")
    path.unlink()
    os.mkfifo(path)
    refused(vault.load, "floe.not_a_file")
    path.unlink()
    path.mkdir()
    refused(vault.load, "floe.not_a_file")
    path.rmdir()
    refused(vault.load, "floe.unreadable")
    fresh = Vault(tmp_path / "new")
    (tmp_path / "new" / "shards").mkdir(parents=True)
    victim = tmp_path / "victim"
    fresh.shard(0).symlink_to(victim)
    refused(fresh.save, "floe.unwritable")
    assert not victim.exists()


def test_weights_case_33_the_file_changes_between_check_and_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(tmp_path).save()
    real = os.preadv

    def racing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        # The attacker rewrites the file right after each read; what was read is what is checked and decrypted.
        count = real(descriptor, buffers, offset)
        with vault.shard(0).open("r+b") as file:
            file.seek(max(0, offset))
            file.write(os.urandom(min(count, 4096)))
        return count

    monkeypatch.setattr(os, "preadv", racing)
    try:
        result = vault.load(threads=1)
    except SdkError:
        return
    assert all(result[name].tobytes() == vault.tensors[name].tobytes() for name in result)


def test_a_manifest_of_another_form_is_refused(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    payload = vault.manifest().payload()
    key = vault.signer.public_key().public_bytes_raw()
    for old, new in (
        (b'"alg":1', b'"alg":2'),
        (b'"format":"weighthouse/1"', b'"format":"weighthouse/2"'),
        (b'"index":0', b'"index":1'),
        (b'"index":0', b'"index":0,"index":0'),
        (b'"index":0', b'"index":0,"extra":0'),
        (b'"index":0', b'"index":0.0'),
        (b'"predicate":', b' "predicate":'),
        (vault.names[0].encode(), b"../../../../../../../../etc/pass"),
    ):
        assert old in payload
        with pytest.raises(ManifestError) as caught:
            manifest.parse(payload.replace(old, new, 1))
        assert caught.value.code == "manifest.payload"
    for bad in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"payload":1}', b"1" * 10_000):
        with pytest.raises(ManifestError):
            manifest.parse(bad)
        with pytest.raises(ManifestError):
            manifest.open_envelope(bad, key)


def test_a_refused_load_leaves_zeros_in_the_callers_buffers(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    last = len(vault.plan) - 1
    data = bytearray(vault.shard(last).read_bytes())
    data[-1] ^= 1
    vault.shard(last).write_bytes(data)
    mine = {name: array.copy() for name, array in vault.tensors.items()}
    with pytest.raises(FloeError):
        vault.load(into=mine)
    assert not any(array.any() for array in mine.values())


def test_a_failed_save_is_not_repeated_with_the_same_ticket_over_old_files(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    before = vault.shard(0).read_bytes()
    with pytest.raises(FloeError):
        vault.save()
    assert vault.shard(0).read_bytes() == before
    vault.load()


def test_a_plan_of_another_size_than_the_ticket(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    vault.plan = [*vault.plan, []]
    with pytest.raises(CheckpointError) as caught:
        vault.save()
    assert caught.value.code == "checkpoint.plan"


def test_weights_case_32_the_folder_of_shards_is_no_link_and_stays_the_one_that_was_opened(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "a").save()
    elsewhere = tmp_path / "elsewhere"
    vault.shard(0).parent.rename(elsewhere)
    (tmp_path / "a" / "shards").symlink_to(elsewhere)
    refused(vault.load, "floe.unreadable")
    fresh, victim = Vault(tmp_path / "b"), tmp_path / "victim"
    victim.mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "shards").symlink_to(victim)
    refused(fresh.save, "floe.unreadable")
    assert list(victim.iterdir()) == []


def test_weights_case_32_a_folder_swapped_while_a_save_writes_catches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, victim, real = Vault(tmp_path / "a"), tmp_path / "victim", os.pwrite
    victim.mkdir()

    def swapped(descriptor: int, data: memoryview, offset: int) -> int:
        shards = tmp_path / "a" / "shards"
        if not shards.is_symlink():
            shards.rename(tmp_path / "aside")
            shards.symlink_to(victim)
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", swapped)
    vault.save(threads=1)
    assert list(victim.iterdir()) == []
    assert len(list((tmp_path / "aside").iterdir())) == 2 * len(vault.names)


def test_weights_case_34_a_leaf_file_of_another_length_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    leaves = vault.shard(0, ".leaves")
    with leaves.open("r+b") as file:
        file.truncate(1 << 40)  # sparse: it costs the attacker nothing
    refused(vault.load, "checkpoint.manifest")
    leaves.write_bytes(b"")
    refused(vault.load, "checkpoint.manifest")


@pytest.mark.parametrize("call", ["preadv", "fsync", "pwrite"])
def test_a_failing_disk_is_named_and_no_half_save_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    if call == "preadv":
        vault = Vault(tmp_path).save()
        monkeypatch.setattr(os, call, broken)
        refused(vault.load, "floe.unreadable")
        return
    vault = Vault(tmp_path)
    monkeypatch.setattr(os, call, broken)
    refused(vault.save, "floe.unwritable")
    assert list((tmp_path / "shards").iterdir()) == []


def test_weights_case_39_every_wrong_bit_of_a_kind_is_answered_alike(tmp_path: Path) -> None:
    # Which bit was wrong, and whether the key or the place was, is said to nobody.
    vault = Vault(tmp_path).save()
    path, good = vault.shard(0), vault.shard(0).read_bytes()
    for verify, places in (
        ("signed", (80, 90, 5_000, 74 + (1 << 20) - 1)),
        ("tags", (80, 90, 5_000, 74 + (1 << 20) - 1)),
    ):
        answers = set()
        for at in places:
            bad = bytearray(good)
            bad[at] ^= 0x80
            path.write_bytes(bad)
            answers.add(refused(lambda verify=verify: vault.load(verify=verify), "floe.segment", "floe.not_signed"))
        assert len(answers) == 1
    path.write_bytes(good)
    answers = set()
    for at in (12, 41, 42, 73):  # file IV and header tag, under a manifest that lists the altered header
        bad = bytearray(good)
        bad[at] ^= 1
        path.write_bytes(bad)
        listed = vault.manifest()
        forged = replace(listed.shards[0], header=blake3(bytes(bad[:74])).hexdigest())
        envelope = manifest.sign(replace(listed, shards=(forged, *listed.shards[1:])), vault.signer).decode()
        digest = manifest.open_envelope(envelope.encode(), vault.signer.public_key().public_bytes_raw()).digest()
        answers.add(refused(ticket(vault, manifest=envelope, digest=digest), "floe.header"))
    assert len(answers) == 1


def test_weights_case_27_a_key_service_that_answers_with_another_key(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    vault.keys[-1] = os.urandom(32)
    refused(vault.load, "floe.header")
    vault.keys[-1] = bytes(32)
    refused(vault.load, "floe.header")


def test_weights_case_36_a_load_leaves_no_plaintext_in_any_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(tmp_path / "vault").save()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = set(tmp_path.rglob("*"))
    vault.load()
    assert set(tmp_path.rglob("*")) == before
    with Crew(1) as crew:
        sealed, plain = crew._buffers()
        plain[:4] = b"data"
        marks = [line for line in Path("/proc/self/smaps").read_text().splitlines() if line.startswith("VmFlags")]
        assert sum(" dd" in line for line in marks) >= 1  # left out of core dumps
    assert bytes(plain[:4]) == bytes(4)
    assert len(sealed) == 1 << 20


def test_a_refused_load_leaves_no_mix_of_what_it_read_and_what_was_there(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    path = vault.shard(len(vault.plan) - 1)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    mine = {name: numpy.full_like(array, 1) for name, array in vault.tensors.items() if name != "step"}
    refused(lambda: vault.load(into=mine), "floe.not_signed")
    assert "step" not in mine, "what the load itself had made is taken out again"
    assert not any(array.any() for array in mine.values()), "nor are tensors of shards that were not reached left"


def test_a_load_that_is_refused_before_it_reads_changes_nothing(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    mine: dict[str, Any] = {"block.0.attn": numpy.ones((256, 1031)), "block.0.bias": numpy.ones(3, dtype="uint8")}
    refused(lambda: vault.load(into=mine), "checkpoint.destination")
    assert set(mine) == {"block.0.attn", "block.0.bias"} and all(array.all() for array in mine.values())


def test_every_folder_that_a_save_makes_is_kept_by_the_folder_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, real = set(), os.fsync

    def fsync(descriptor: int) -> None:
        kept.add(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    Vault(tmp_path / "a" / "b").save()
    assert {each.stat().st_ino for each in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")} <= kept
