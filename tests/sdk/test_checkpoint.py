"""Checkpoints come back bit for bit, into the caller's own buffers, and are ordinary safetensors inside."""

from __future__ import annotations

import array
import ctypes
import os
import threading
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.vault import Vault, arrays

from weighthouse_sdk import checkpoint, floe
from weighthouse_sdk.checkpoint_tensors import Tensor, as_tensor
from weighthouse_sdk.errors import CheckpointError, FloeError, SdkError
from weighthouse_sdk.floe_spans import Spans


def equal(left: dict[str, object], right: dict[str, object]) -> None:
    assert sorted(left) == sorted(right)
    for name in left:
        a, b = left[name], right[name]
        assert isinstance(a, numpy.ndarray)
        assert isinstance(b, numpy.ndarray)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("verify", ["signed", "tags"])
def test_round_trip_bit_for_bit(tmp_path: Path, threads: int, verify: str) -> None:
    vault = Vault(tmp_path).save(threads=threads)
    assert len(vault.plan) > 1
    equal(vault.load(threads=threads, verify=verify), vault.tensors)


def test_what_lies_on_disk_is_not_plain_and_names_nothing(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    everything = b"".join(path.read_bytes() for path in sorted((tmp_path / "shards").iterdir())) + vault.envelope
    assert b"embed.weight" not in everything
    assert vault.tensors["embed.weight"].tobytes()[:64] not in everything
    assert all(key not in everything for key in vault.keys)
    assert {path.suffix for path in (tmp_path / "shards").iterdir()} == {".floe", ".leaves"}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "shards").iterdir()} == {0o600}


def test_a_decrypted_shard_is_a_safetensors_file(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    binding = vault.manifest().binding(vault.manifest().shards[0])
    plain = floe.decrypt(vault.keys[0], binding.aad(), vault.shard(0).read_bytes())
    equal(safetensors.numpy.load(plain), {name: vault.tensors[name] for name in vault.plan[0]})


def test_loading_into_the_callers_buffers_allocates_none(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    mine = {name: numpy.empty_like(array) for name, array in vault.tensors.items()}
    kept = dict(mine)
    result = vault.load(into=mine)
    assert result is mine
    assert all(result[name] is kept[name] for name in kept)
    equal(mine, vault.tensors)


def test_one_tensor_reads_its_own_bytes_and_at_most_two_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(tmp_path, tensors={f"t{at}": numpy.full(3_000_000, at, dtype="uint8") for at in range(8)})
    vault.plan = [list(vault.tensors)]
    vault.names, vault.keys = vault.names[:2], vault.keys[:2]
    vault.save()
    read: list[int] = []
    real = os.preadv

    def counting(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        count = real(descriptor, buffers, offset)
        read.append(count)
        return count

    monkeypatch.setattr(os, "preadv", counting)
    result = vault.load(names=["t5"])
    assert list(result) == ["t5"]
    assert (result["t5"] == 5).all()
    index = vault.shard(1).stat().st_size
    assert sum(read) - index <= 3_000_000 + (2 << 20) + 4096


def test_raw_tensors_need_no_numpy_and_hold_any_dtype(tmp_path: Path) -> None:
    data = memoryview(os.urandom(2 * 6))
    vault = Vault(tmp_path, tensors={"w": Tensor("BF16", (2, 3), data)}).save()
    mine = bytearray(12)
    vault.load(into={"w": mine})
    assert mine == data


def test_weights_case_35_object_arrays_are_never_stored(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.plan_shards({"evil": numpy.array([object()], dtype=object)})
    assert caught.value.code == "checkpoint.dtype"


@pytest.mark.parametrize(
    "data",
    [
        numpy.array([1, 2, 3], ">f4"),
        numpy.array([1, 2, 3], "i4"),
        (ctypes.c_int * 3)(),
        array.array("i", [1, 2, 3]),
        numpy.zeros(6, "f2"),
        numpy.zeros(3, [("a", "i2"), ("b", "i2")]),
        numpy.zeros(3, "V4"),
        None,
        "abcdefghijkl",
    ],
)
def test_data_of_another_type_or_byte_order_is_never_stored_as_what_it_is_said_to_be(
    tmp_path: Path, data: Any
) -> None:
    vault = Vault(tmp_path, tensors={"w": Tensor("F32", (3,), memoryview(bytes(12)))})
    vault.tensors = {"w": Tensor("F32", (3,), data)}
    for act in (
        vault.save,
        lambda: checkpoint.plan_shards(vault.tensors),
        lambda: as_tensor("w", vault.tensors["w"]),
    ):
        with pytest.raises(CheckpointError) as caught:
            act()
        assert caught.value.code == "checkpoint.dtype"


@pytest.mark.parametrize("data", [numpy.array([1, 2, 3], "<f4"), (ctypes.c_float * 3)(1, 2, 3)])
def test_typed_data_of_the_claimed_type_is_stored_bit_for_bit(tmp_path: Path, data: Any) -> None:
    vault = Vault(tmp_path, tensors={"w": Tensor("F32", (3,), memoryview(data))}).save()
    assert vault.load()["w"].tolist() == [1, 2, 3]


def test_a_misspelled_demand_checks_no_less_and_is_refused(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    for word in ("sign", "SIGNED", "", "none"):
        with pytest.raises(CheckpointError) as caught:
            vault.load(verify=word)
        assert caught.value.code == "checkpoint.verify"


@pytest.mark.parametrize("names", ["step", [["step"]], [None], 5])
def test_names_that_are_none_are_refused_by_code(tmp_path: Path, names: Any) -> None:
    vault = Vault(tmp_path).save()
    with pytest.raises(CheckpointError) as caught:
        vault.load(names=names)
    assert caught.value.code == "checkpoint.no_tensor"


@pytest.mark.parametrize(
    "buffer",
    [
        bytes(8),
        bytearray(7),
        bytearray(9),
        numpy.zeros(2, "float32"),
        numpy.zeros((2, 1), "int64"),
        numpy.zeros(4, "int64")[::4],
    ],
)
def test_a_wrong_destination_is_refused_before_anything_is_read(tmp_path: Path, buffer: object) -> None:
    vault = Vault(tmp_path).save()
    with pytest.raises(SdkError) as caught:
        vault.load(into={"step": buffer}, names=["step"])
    assert caught.value.code in ("checkpoint.destination", "checkpoint.layout")


def test_weights_case_26_a_full_disk_leaves_no_file_and_no_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(tmp_path)
    real, left = os.pwrite, [1_200_000]

    def small_disk(descriptor: int, data: memoryview, offset: int) -> int:
        room = min(len(data), left[0], 300_000)
        if room <= 0:
            raise OSError(28, "No space left on device")
        left[0] -= room
        return real(descriptor, data[:room], offset)

    monkeypatch.setattr(os, "pwrite", small_disk)
    with pytest.raises(FloeError) as caught:
        vault.save()
    assert caught.value.code == "floe.unwritable"
    assert vault.envelope == b""
    assert list((tmp_path / "shards").iterdir()) == []


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault, real = Vault(tmp_path), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: real(descriptor, data[:65_537], offset))
    vault.save()
    equal(vault.load(), vault.tensors)


def test_weights_case_28_an_ended_lease_stops_the_load_and_wipes_the_buffers(tmp_path: Path) -> None:
    vault = Vault(tmp_path, tensors=arrays(big=3_000_000)).save()
    calls, lock = [0], threading.Lock()

    def ended() -> None:
        with lock:
            calls[0] += 1
            if calls[0] == 6:
                raise CheckpointError("checkpoint.lease", "The lease has ended.", "Ask again.")

    mine = {name: numpy.full_like(array, 1) for name, array in vault.tensors.items()}
    with pytest.raises(CheckpointError) as caught:
        vault.load(into=mine, names=["embed.weight"], between=ended)
    assert caught.value.code == "checkpoint.lease"
    assert not mine["embed.weight"].any()


@given(st.lists(st.integers(0, 200), max_size=12), st.integers(1, 64), st.data())
@settings(max_examples=150, deadline=None)
def test_spans_write_exactly_what_lies_in_them(lengths: list[int], size: int, data: st.DataObject) -> None:
    gaps = [data.draw(st.integers(0, 50)) for _ in lengths]
    at, pairs = 0, []
    for length, gap in zip(lengths, gaps, strict=True):
        pairs.append((at + gap, bytearray(length)))
        at += gap + length
    spans = Spans((offset, memoryview(buffer)) for offset, buffer in pairs)
    source = bytes(value % 251 for value in range(at + size))
    for position in spans.segments(size):
        start, end = position * size, position * size + size
        whole = spans.whole(start, end)
        if whole is not None:
            whole[:] = source[start:end]
            continue
        for offset, part in spans.parts(start, end):
            part[:] = source[start + offset : start + offset + len(part)]
    assert all(buffer == source[offset : offset + len(buffer)] for offset, buffer in pairs)
