"""Local files: sealed ones open to the same bytes, altered ones to nothing, and ciphertext is checked without a key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.sdk.vault import Vault

from weighthouse.cli import exits, main, sealing
from weighthouse.core.errors import WeighthouseError
from weighthouse_sdk import manifest
from weighthouse_sdk.floe import GCM256_IV256_1M, HEADER_BYTES


def nothing(_: int) -> None:
    """Watch no progress."""


def sealed(tmp_path: Path, content: bytes) -> tuple[Path, bytes]:
    source, target = tmp_path / "plain", tmp_path / "plain.floe"
    source.write_bytes(content)
    key = sealing.read_key(tmp_path / "key", make=True)
    sealing.seal(source, target, key, nothing)
    return target, key


@pytest.mark.parametrize("size", [0, 1, GCM256_IV256_1M.plain, 2 * GCM256_IV256_1M.plain + 7])
def test_what_is_sealed_opens_to_the_same_bytes(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(1).bytes(size)
    target, key = sealed(tmp_path, content)
    assert size < 64 or content[:64] not in target.read_bytes()
    sealing.open_sealed(target, tmp_path / "out", key, nothing)
    assert (tmp_path / "out").read_bytes() == content
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_the_same_file_is_never_sealed_twice_under_one_key(tmp_path: Path) -> None:
    source = tmp_path / "plain"
    source.write_bytes(b"tern")
    key = sealing.read_key(tmp_path / "key", make=True)
    heads = set()
    for number in range(3):
        sealing.seal(source, tmp_path / f"{number}.floe", key, nothing)
        heads.add((tmp_path / f"{number}.floe").read_bytes()[len(sealing.MAGIC) :][: sealing.SALT])
    assert len(heads) == 3


@pytest.mark.parametrize("place", ["magic", "salt", "header", "segment", "end", "cut"])
def test_an_altered_file_leaves_nothing_behind(tmp_path: Path, place: str) -> None:
    target, key = sealed(tmp_path, b"w" * (GCM256_IV256_1M.plain + 100))
    data = bytearray(target.read_bytes())
    head = len(sealing.MAGIC) + sealing.SALT
    at = {
        "magic": 2,
        "salt": head - 1,
        "header": head + 20,
        "segment": head + HEADER_BYTES + 500,
        "end": len(data) - 1,
    }
    if place == "cut":
        data = data[:-40]
    else:
        data[at[place]] ^= 1
    target.write_bytes(data)
    with pytest.raises(Exception) as caught:
        sealing.open_sealed(target, tmp_path / "out", key, nothing)
    assert getattr(caught.value, "code", "").split(".")[0] in {"cli", "floe"}
    assert not (tmp_path / "out").exists()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    sealing.read_key(tmp_path / "key", make=True)
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(WeighthouseError) as caught:
        sealing.read_key(tmp_path / "key")
    assert caught.value.code == "cli.key_exposed"


def test_a_key_behind_a_link_is_refused(tmp_path: Path) -> None:
    sealing.read_key(tmp_path / "key", make=True)
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(WeighthouseError) as caught:
        sealing.read_key(tmp_path / "link")
    assert caught.value.code == "cli.no_key_file"


def test_an_existing_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "w.bin", tmp_path / "w.bin.floe"
    source.write_bytes(b"weights")
    target.write_bytes(b"precious")
    status = main.run(["weights", "seal", str(source), "--key", str(tmp_path / "key")])
    assert status == exits.CONFLICT
    assert target.read_bytes() == b"precious"
    assert "cli.file_exists" in capsys.readouterr().err


def test_seal_and_open_through_the_command(tmp_path: Path) -> None:
    source, key = tmp_path / "w.bin", str(tmp_path / "key")
    source.write_bytes(b"weights")
    assert main.run(["weights", "seal", str(source), "--key", key]) == 0
    assert main.run(["weights", "open", str(source) + ".floe", "--key", key, "-o", str(tmp_path / "back")]) == 0
    assert (tmp_path / "back").read_bytes() == b"weights"


def stored(folder: Path) -> tuple[manifest.Manifest, Path]:
    """Save a real checkpoint with the SDK; return its manifest and the first shard's file."""
    vault = Vault(folder).save()
    (folder / "manifest.json").write_bytes(vault.envelope)
    listed = vault.manifest()
    return listed, folder / "shards" / f"{listed.shards[0].id}.floe"


def test_ciphertext_is_checked_without_a_key(tmp_path: Path) -> None:
    listed, _ = stored(tmp_path)
    assert sealing.read_manifest(tmp_path / "manifest.json", listed.digest()) == listed
    assert [sealing.check_shard(tmp_path / "shards", shard, nothing) for shard in listed.shards] == [""] * len(
        listed.shards
    )


@pytest.mark.parametrize(("at", "what"), [(15, "header"), (HEADER_BYTES + 9, "bytes"), (-1, "bytes")])
def test_one_altered_byte_of_a_shard_is_named(tmp_path: Path, at: int, what: str) -> None:
    listed, path = stored(tmp_path)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert what in sealing.check_shard(tmp_path / "shards", listed.shards[0], nothing)


def test_a_cut_a_missing_and_a_linked_shard_are_named(tmp_path: Path) -> None:
    listed, path = stored(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert "were signed" in sealing.check_shard(tmp_path / "shards", listed.shards[0], nothing)
    path.rename(tmp_path / "elsewhere")
    assert sealing.check_shard(tmp_path / "shards", listed.shards[0], nothing) == "it is missing"
    path.symlink_to(tmp_path / "elsewhere")
    assert sealing.check_shard(tmp_path / "shards", listed.shards[0], nothing) == "it is missing"


def test_a_manifest_that_the_control_plane_does_not_remember_is_refused(tmp_path: Path) -> None:
    """An older manifest with its older shards is signed too; only the remembered digest tells them apart."""
    stored(tmp_path)
    with pytest.raises(WeighthouseError) as caught:
        sealing.read_manifest(tmp_path / "manifest.json", "sha256:" + "0" * 64)
    assert caught.value.code == "cli.other_manifest"
