"""What a loader refuses, a save refuses before its first byte, by the limit's name; what it writes is loaded again."""

from __future__ import annotations

import hashlib
import os
import resource
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest
from tests.sdk.vault import Vault

from weighthouse_sdk import checkpoint, formats, limits, manifest, names
from weighthouse_sdk.checkpoint_tensors import Tensor
from weighthouse_sdk.errors import CheckpointError, FormatError, SdkError

EMPTY = Tensor("U8", (0,), memoryview(b""))


def refused(vault: Vault, code: str, *words: str, **options: Any) -> str:
    """The save is refused before anything exists on disk."""
    with pytest.raises(SdkError) as caught:
        vault.save(**options)
    assert caught.value.code == code, caught.value
    assert all(word in caught.value.message for word in words), caught.value
    assert not (vault.folder / "shards").exists()
    return caught.value.message


def header_of(length: int) -> dict[str, Any]:
    """Tensors whose shard has a safetensors header of exactly `length` bytes."""
    many = {f"{at:05}" + "n" * 600: EMPTY for at in range((length - 120) // 658)}
    for size in range(1, limits.NAME.most):
        header, _ = formats.build_header([(name, "U8", (0,), 0) for name in (*many, "z" * size)])
        if len(header) - 8 == length:
            return {**many, "z" * size: EMPTY}
    raise AssertionError(length)


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 640 + 65_536, 1408 + 65_536])
def test_a_header_whose_length_is_spelled_like_a_pickle_loads(tmp_path: Path, length: int) -> None:
    vault = Vault(tmp_path, tensors={**header_of(length)}).save()
    assert sorted(vault.load()) == sorted(vault.tensors)
    assert len(checkpoint_header(vault)) == length


def checkpoint_header(vault: Vault) -> bytes:
    from weighthouse_sdk import floe

    plain = floe.decrypt(
        vault.keys[0], vault.manifest().binding(vault.manifest().shards[0]).aad(), vault.shard(0).read_bytes()
    )
    return plain[8 : 8 + formats.header_length(plain)]


def test_a_four_layer_float32_mlp_saves_and_loads(tmp_path: Path) -> None:
    layers: dict[str, Any] = {}
    for at in range(4):
        layers[f"layers.{at}.weight"] = numpy.ones((64, 64), "float32")
        layers[f"layers.{at}.bias"] = numpy.ones(64, "float32")
    assert sorted(Vault(tmp_path, tensors=layers).save().load()) == sorted(layers)


@pytest.mark.parametrize("shards", [1, 2])
def test_weights_case_34_one_tensor_too_many_over_all_shards_is_refused_before_the_first_byte(
    tmp_path: Path, shards: int
) -> None:
    vault = Vault(tmp_path, tensors={"a": EMPTY, "b": EMPTY})
    vault.tensors = {f"t{at}": EMPTY for at in range(limits.TENSORS.most + 1)}
    every = list(vault.tensors)
    vault.plan = [every] if shards == 1 else [every[:50_000], every[50_000:]]
    vault.names, vault.keys = (
        tuple(os.urandom(16).hex() for _ in range(shards + 1)),
        [os.urandom(32)] * (shards + 1),
    )
    refused(vault, "formats.too_large", "100001", "TENSORS", "100000")


def test_names_full_of_brackets_are_counted_by_the_writer_as_by_the_reader(tmp_path: Path) -> None:
    vault = Vault(tmp_path, tensors={"[" * 1019 + f"{at:05}": EMPTY for at in range(1000)})
    refused(vault, "formats.too_large", "BRACKETS")
    few = Vault(tmp_path, tensors={f"layers[{at}].mlp[0]": EMPTY for at in range(1000)}).save()
    assert len(few.load()) == 1000


@pytest.mark.parametrize(
    ("tensors", "code", "word"),
    [
        ({"n" * 1025: EMPTY}, "formats.too_large", "NAME"),
        ({"": EMPTY}, "formats.name", "empty"),
        ({"__metadata__": EMPTY}, "formats.name", "__metadata__"),
        ({"a\u202eb": EMPTY}, "formats.name", "U+202E"),
        ({"a\x00": EMPTY}, "formats.name", "U+0000"),
        ({"a\u200b": EMPTY}, "formats.name", "U+200B"),
        ({"\ud800": EMPTY}, "formats.name", "U+D800"),
        ({7: EMPTY}, "formats.name", "text"),
        ({"a": Tensor("U8", (1,) * 17, memoryview(b"x"))}, "formats.too_large", "DIMENSIONS"),
        ({"a": numpy.empty((1 << 48, 0), "uint8")}, "formats.too_large", "SIDE"),
        ({"a": Tensor("F32", (2,), memoryview(bytes(7)))}, "formats.shape", "8 bytes, not 7"),
    ],
)  # fmt: skip
def test_what_no_loader_takes_is_refused_before_the_first_byte(
    tmp_path: Path, tensors: dict[str, Any], code: str, word: str
) -> None:
    vault = Vault(tmp_path, tensors={"ok": EMPTY})
    vault.tensors, vault.plan = tensors, [list(tensors)]
    refused(vault, code, word)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"a": "x" * limits.METADATA.most}, "formats.too_large"),
        ({"a": 1}, "formats.metadata"),
        ({1: "a"}, "formats.metadata"),
        ({"a": "\ud800"}, "formats.metadata"),
        ([("a", "b")], "formats.metadata"),
    ],
)
def test_metadata_is_bounded_text(tmp_path: Path, metadata: Any, code: str) -> None:
    refused(Vault(tmp_path), code, metadata=metadata)


def test_metadata_is_kept_inside_the_encrypted_part_and_nowhere_else(tmp_path: Path) -> None:
    said = {
        "loss_after": "0.125 or so",
        "über": "\x00\n\u202e{[\"'",
        "": "",
        "long": "x" * (limits.METADATA.most - 100),
    }
    vault = Vault(tmp_path).save(metadata=said)
    assert vault.describe().metadata == said
    clear = vault.envelope + vault.manifest().payload()
    clear += b"".join(path.read_bytes() for path in sorted((tmp_path / "shards").iterdir()))
    assert b"loss_after" not in clear
    assert b"0.125 or so" not in clear
    vault.load()


def test_the_largest_metadata_loads_in_whatever_letters_it_is(tmp_path: Path) -> None:
    for number, letter in enumerate(("x", "\x00", "é", "𝔘", '"', "[")):
        count = (limits.METADATA.most - 1) // len(letter.encode())
        vault = Vault(tmp_path / str(number), tensors={"t": EMPTY}).save(metadata={"k": letter * count})
        assert vault.describe().metadata == {"k": letter * count}
        assert list(vault.load()) == ["t"]


def test_a_name_is_judged_by_fixed_sets_and_not_by_the_interpreters_unicode() -> None:
    taken = [names._REFUSED.search(chr(code)) is None for code in range(0x110000)]
    # One digest for every Python there will be: a change here makes old checkpoints unreadable.
    digest = hashlib.sha256(bytes(taken)).hexdigest()
    assert digest == "8e33447330ab45762ae7bf502d0cc41bd4f0ea30631bbbf5e1c35d1155bb4268"
    # Whatever an interpreter called printable before there was a rule is readable still.
    assert all(taken[code] for code in range(0x110000) if chr(code).isprintable()), unicodedata.unidata_version


def test_a_plan_that_forgets_repeats_or_invents_a_tensor_is_refused(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    good = vault.plan
    for bad, word in (
        ([good[0][1:], *good[1:]], "forgets"),
        ([[*good[0], good[0][0]], *good[1:]], "twice"),
        ([[*good[0], "invented"], *good[1:]], "invented"),
    ):
        vault.plan = bad
        refused(vault, "checkpoint.plan", word)
    vault.plan = good
    vault.save()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_shard_larger_than_this_process_may_write_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    vault = Vault(tmp_path, tensors={"a": numpy.zeros(3 << 20, "uint8")})
    with files_of_at_most(2 << 20):
        refused(vault, "checkpoint.too_large", "RLIMIT_FSIZE", str(2 << 20))
    vault.save().load()


def test_a_manifest_that_no_reader_takes_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    vault = Vault(tmp_path, model="m" * (limits.TEXT.most + 1))
    with pytest.raises(CheckpointError):
        vault.save()  # the ticket's own reader says no
    listed = manifest.Manifest("lab", "m" * (limits.TEXT.most + 1), "ver", "sav", None, ())
    with pytest.raises(SdkError):
        manifest.check(listed)


def test_a_thousand_shards_make_a_manifest_that_loads(tmp_path: Path) -> None:
    vault = Vault(tmp_path, tensors={f"t{at}": EMPTY for at in range(2)})
    count = limits.SHARDS.most
    shards = tuple(
        manifest.Shard(
            os.urandom(16).hex(),
            at,
            manifest.SHARD_MEDIA if at < count else manifest.INDEX_MEDIA,
            (1 << 53) - 1,
            (1 << 53) - 1,
            "0" * 64,
            "0" * 64,
        )
        for at in range(count + 1)
    )
    listed = manifest.Manifest("t" * 128, "m" * 260, "ver_" + "0" * 26, "sav_" + "0" * 26, None, shards)
    manifest.check(listed)
    envelope = manifest.sign(listed, vault.signer)
    assert manifest.open_envelope(envelope, vault.signer.public_key().public_bytes_raw()) == listed
    over = (*shards[:-1], shards[0], shards[-1])
    with pytest.raises(FormatError) as caught:
        manifest.check(manifest.Manifest("t", "m", "v", "s", None, over))
    assert "SHARDS" in caught.value.message


def test_many_long_names_are_planned_over_more_shards_than_their_bytes_need(tmp_path: Path) -> None:
    tensors = {f"{at:05}" + "é" * 1000: EMPTY for at in range(9000)}
    plan = checkpoint.plan_shards(tensors)
    assert len(plan) > 1
    for names_ in plan:
        formats.build_header([(name, "U8", (0,), 0) for name in names_], {"m": "\x00" * (limits.METADATA.most - 1)})


def test_what_was_written_is_opened_again_before_the_manifest_is_given_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, real = Vault(tmp_path), os.fsync

    def rotting(descriptor: int) -> None:
        """A disk that loses the first segment of the first shard once it has said that it is durable."""
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name == vault.names[0] + ".floe":
            with path.open("r+b") as file:
                file.seek(100)
                file.write(bytes(8))

    monkeypatch.setattr(os, "fsync", rotting)
    with pytest.raises(SdkError) as caught:
        vault.save()
    assert caught.value.code == "floe.not_signed"
    assert list((tmp_path / "shards").iterdir()) == []


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor("F32", (2**47, 2**47, 0), memoryview(b"")),
        Tensor("U8", (2**48 - 1, 0, 2**48 - 1), memoryview(b"")),
        Tensor("F64", (0, 2**40, 2**21), memoryview(b"")),
    ],
)
def test_sides_that_no_library_makes_an_array_of_are_refused_by_the_writer(tmp_path: Path, tensor: Tensor) -> None:
    vault = Vault(tmp_path, tensors={"z": EMPTY})
    vault.tensors = {"z": tensor}
    refused(vault, "formats.too_large", "SPAN")


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({1: EMPTY}, "formats.name"),
        ({("z",): EMPTY}, "formats.name"),
        ({None: EMPTY}, "formats.name"),
        ({"z": Tensor("U8", None, memoryview(b""))}, "formats.shape"),  # type: ignore[arg-type]
        ({"z": Tensor("U8", 0, memoryview(b""))}, "formats.shape"),  # type: ignore[arg-type]
        ({"z": Tensor([], (0,), memoryview(b""))}, "formats.dtype"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_name_or_shape_is_refused_by_code(tmp_path: Path, tensors: Any, code: str) -> None:
    vault = Vault(tmp_path, tensors={"z": EMPTY})
    vault.tensors = tensors
    refused(vault, code)
    if code == "formats.name":
        with pytest.raises(SdkError):
            checkpoint.plan_shards(tensors)


@pytest.mark.parametrize("plan", ["z", ["z"], [[["z"]]], [[None]], 5, {"z": 1}])
def test_a_plan_that_is_no_lists_of_names_is_refused_by_code(tmp_path: Path, plan: Any) -> None:
    vault = Vault(tmp_path, tensors={"z": EMPTY})
    vault.plan = plan
    refused(vault, "checkpoint.plan")
