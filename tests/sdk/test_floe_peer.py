"""FLOE files that cross between the SDK and another implementation (parts/floe), in both directions.

Needs the program that `parts/floe/build.sh` makes from a checkout of the specification (`make test-floe`).
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from tests.sdk.vault import Vault

from weighthouse_sdk import floe
from weighthouse_sdk.errors import FloeError
from weighthouse_sdk.floe_files import Crew, open_regular, open_spans
from weighthouse_sdk.floe_spans import Spans

PEER = os.environ.get("WEIGHTHOUSE_FLOE_PEER", "")
pytestmark = pytest.mark.real_floe
CASES = int(os.environ.get("WEIGHTHOUSE_CASES", "300"))
PLAIN_1M = floe.GCM256_IV256_1M.plain
# Empty, one byte, one below, at and above a border, and several whole segments, so that the last one is full.
SIZES = (0, 1, PLAIN_1M - 1, PLAIN_1M, PLAIN_1M + 1, 3 * PLAIN_1M, 4 * PLAIN_1M + 77)


def peer(verb: str, parameters: floe.Parameters, key: bytes, aad: bytes, data: bytes) -> bytes | None:
    """What the other implementation makes of `data`, or None if it refuses."""
    arguments = [str(Path(PEER).resolve()), verb, str(parameters.segment), key.hex(), aad.hex()]
    done = subprocess.run(arguments, input=data, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout if done.returncode == 0 else None


@pytest.mark.parametrize("size", SIZES)
def test_each_reads_what_the_other_wrote(size: int) -> None:
    key, aad, plain = os.urandom(32), b"a place", os.urandom(size)
    set_ = floe.GCM256_IV256_1M
    assert peer("open", set_, key, aad, floe.encrypt(key, aad, plain)) == plain
    theirs = peer("seal", set_, key, aad, plain)
    assert theirs is not None
    assert len(theirs) == floe.shape_of_plaintext(size).length
    assert floe.decrypt(key, aad, theirs) == plain


def test_both_agree_on_many_sizes_and_refuse_the_same_damage() -> None:
    draw = random.Random(1)
    for _ in range(min(CASES, 2_000)):
        set_ = floe.Parameters(draw.choice((33, 40, 64, 96, 4096)))
        key, aad, plain = draw.randbytes(32), draw.randbytes(draw.randrange(40)), draw.randbytes(draw.randrange(500))
        ours = floe.encrypt(key, aad, plain, set_)
        theirs = peer("seal", set_, key, aad, plain)
        assert theirs is not None
        assert peer("open", set_, key, aad, ours) == plain == floe.decrypt(key, aad, theirs, set_)
        bad = bytearray(theirs)
        at = draw.randrange(len(bad))
        bad[at] ^= 1 << draw.randrange(8)
        cut = bytes(bad[: draw.randrange(len(bad) + 1)]) if draw.random() < 0.5 else bytes(bad)
        with pytest.raises(FloeError):
            floe.decrypt(key, aad, cut, set_)
        assert peer("open", set_, key, aad, cut) is None


def test_random_access_into_a_file_that_the_other_wrote(tmp_path: Path) -> None:
    draw, key, aad = random.Random(2), os.urandom(32), b"a place"
    plain = draw.randbytes(5 * PLAIN_1M + 12_345)
    theirs = peer("seal", floe.GCM256_IV256_1M, key, aad, plain)
    assert theirs is not None
    path = tmp_path / "theirs.floe"
    path.write_bytes(theirs)
    descriptor, length = open_regular(path)
    shape = floe.shape_of_ciphertext(length)
    decryptor = floe.Decryptor(key, aad, theirs[: floe.HEADER_BYTES])
    with Crew() as crew:
        for _ in range(50):
            start = draw.randrange(len(plain))
            buffer = bytearray(draw.randrange(1, min(2_000_000, len(plain) - start) + 1))
            open_spans(descriptor, decryptor, shape, Spans([(start, memoryview(buffer))]), crew)
            assert buffer == plain[start : start + len(buffer)]
    os.close(descriptor)


def test_a_shard_of_a_saved_checkpoint_opens_elsewhere(tmp_path: Path) -> None:
    vault = Vault(tmp_path).save()
    listed = vault.manifest()
    for number, shard in enumerate(listed.shards):
        sealed, aad = vault.shard(number).read_bytes(), listed.binding(shard).aad()
        plain = peer("open", floe.GCM256_IV256_1M, vault.keys[number], aad, sealed)
        assert plain == floe.decrypt(vault.keys[number], aad, sealed)
        assert peer("open", floe.GCM256_IV256_1M, vault.keys[number], aad + b"x", sealed) is None
