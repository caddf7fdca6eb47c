"""FLOE against the published known answers, a second decoder, and every way of cutting, moving and forging segments."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk import floe_second as second

from weighthouse_sdk import floe
from weighthouse_sdk.errors import FloeError

KATS = Path(__file__).parent / "kats"
ZERO, AAD = bytes(32), b"This is AAD"
SMALL = floe.Parameters(64)
SETS = {
    "GCM256_IV256_64": floe.Parameters(64),
    "GCM256_IV256_4K": floe.GCM256_IV256_4K,
    "rotation": floe.Parameters(40, rotation=2),
    "lastSegAligned": floe.Parameters(40),
    "lastSegEmpty": floe.Parameters(40),
}
PAIRS = sorted(path.name.removesuffix("_ct.txt") for path in KATS.glob("*_ct.txt"))
KEY = bytes(range(32))


def known(name: str) -> tuple[bytes, bytes]:
    return bytes.fromhex((KATS / f"{name}_pt.txt").read_text()), bytes.fromhex((KATS / f"{name}_ct.txt").read_text())


def four_segments() -> bytearray:
    """Header, three full segments of 64 bytes and a final one with 5 plaintext bytes."""
    return bytearray(floe.encrypt(KEY, AAD, bytes(range(101)), SMALL))


def refused(data: bytes, code: str, key: bytes = KEY, aad: bytes = AAD, parameters: floe.Parameters = SMALL) -> None:
    with pytest.raises(FloeError) as caught:
        floe.decrypt(key, aad, data, parameters)
    assert caught.value.code == code


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    body = data[74:]
    return data[:74], [body[at : at + 64] for at in range(0, len(body), 64)]


def test_all_published_pairs_are_here() -> None:
    assert len(PAIRS) == 17


@pytest.mark.parametrize("name", PAIRS)
def test_published_known_answer(name: str) -> None:
    plain, cipher = known(name)
    assert floe.decrypt(ZERO, AAD, cipher, SETS[name.split("_", name.startswith("pub_") + 1)[-1]]) == plain


@pytest.mark.parametrize("size", [0, 1, 1048543, 1048544, 1048545, 2 * 1048544 + 3, 3 * 1048544])
def test_a_second_decoder_reads_the_1m_set(size: int) -> None:
    plain = os.urandom(size)
    assert second.decrypt(KEY, AAD, floe.encrypt(KEY, AAD, plain), 1 << 20) == plain


@given(st.binary(max_size=400), st.integers(33, 96), st.integers(0, 3), st.binary(max_size=20))
@settings(max_examples=200, deadline=None)
def test_both_implementations_agree(plain: bytes, segment: int, rotation: int, aad: bytes) -> None:
    parameters = floe.Parameters(segment, rotation)
    data = floe.encrypt(KEY, aad, plain, parameters)
    assert len(data) == floe.shape_of_plaintext(len(plain), parameters).length
    assert floe.shape_of_ciphertext(len(data), parameters) == floe.shape_of_plaintext(len(plain), parameters)
    assert second.decrypt(KEY, aad, data, segment, rotation) == plain == floe.decrypt(KEY, aad, data, parameters)


def test_weights_case_1_every_byte_flipped_is_refused() -> None:
    whole = four_segments()
    for at in range(len(whole)):
        whole[at] ^= 0x40
        refused(whole, "floe.header" if at < 74 else "floe.segment")
        whole[at] ^= 0x40
    assert floe.decrypt(KEY, AAD, whole, SMALL) == bytes(range(101))


def test_weights_case_2_and_3_truncation_at_and_inside_a_segment() -> None:
    whole = bytes(four_segments())
    for length in range(len(whole)):
        with pytest.raises(FloeError) as caught:
            floe.decrypt(KEY, AAD, whole[:length], SMALL)
        assert caught.value.code in ("floe.length", "floe.segment")


def test_weights_case_4_5_6_7_drop_swap_duplicate_append() -> None:
    header, (a, b, c, last) = cut(bytes(four_segments()))
    for wrong in ((a, c, last), (b, a, c, last), (a, b, b, last), (a, a, b, c, last), (a, b, last, c), (b, c, last)):
        refused(header + b"".join(wrong), "floe.segment")
    refused(header + a + b + c + last + last, "floe.length" if len(last) * 2 % 64 < 32 else "floe.segment")
    refused(header + a + b + c + last + b"\0", "floe.segment")
    refused(header + a + b + c + c[:28] + last[:3], "floe.length")


def test_weights_case_8_segment_moved_between_two_files_of_one_key() -> None:
    one, two = cut(bytes(four_segments())), cut(bytes(four_segments()))
    refused(one[0] + one[1][0] + two[1][1] + one[1][2] + one[1][3], "floe.segment")


def test_weights_case_9_another_place_fails_at_the_header() -> None:
    refused(bytes(four_segments()), "floe.header", aad=b"another path, model, version or tenant")


def test_weights_case_10_middle_segment_promoted_to_final() -> None:
    header, (a, b, _, last) = cut(bytes(four_segments()))
    refused(header + a + len(b).to_bytes(4, "big") + b[4:], "floe.segment")
    refused(header + a + b"\xff\xff\xff\xff" + last[4:], "floe.segment")


def test_weights_case_11_empty_file_and_empty_final_segment() -> None:
    for length in (0, 73, 74, 74 + 31):
        refused(bytes(length), "floe.length")
    assert floe.decrypt(KEY, AAD, floe.encrypt(KEY, AAD, b"", SMALL), SMALL) == b""
    header, (a, b, c, last) = cut(bytes(four_segments()))
    refused(header + a + b + c + last[:31], "floe.length")


def test_weights_case_12_header_downgrade() -> None:
    whole = four_segments()
    for wrong in (
        bytes.fromhex("01") + whole[1:],
        whole[:1] + b"\x01" + whole[2:],
        whole[:2] + (40).to_bytes(4, "big") + whole[6:],
    ):
        refused(wrong, "floe.header")
    refused(bytes(whole), "floe.header", parameters=floe.GCM256_IV256_4K)


def test_weights_case_13_body_of_another_parameter_set() -> None:
    header = bytes(four_segments())[:74]
    body = floe.encrypt(KEY, AAD, bytes(200), floe.Parameters(96))[74:]
    with pytest.raises(FloeError):
        floe.decrypt(KEY, AAD, header + body, SMALL)


def test_weights_case_15_a_second_key_fails_at_the_header_tag() -> None:
    # A GCM segment can be crafted to open under two keys; the header tag commits to one.
    whole = bytes(four_segments())
    refused(whole, "floe.header", key=bytes(32))
    other = second.kdf(64, bytes(32), whole[10:42], AAD, b"HEADER_TAG:", 32)
    refused(whole[:42] + other + whole[74:], "floe.segment", key=bytes(32))


def _times(left: int, right: int) -> int:
    """Multiply in the field of GHASH (NIST SP 800-38D, 6.3): bit 0 is the highest, the polynomial 0xe1 << 120."""
    product = 0
    for bit in range(127, -1, -1):
        product ^= left if right >> bit & 1 else 0
        left = left >> 1 ^ (0xE1 << 120 if left & 1 else 0)
    return product


def _inverse(value: int) -> int:
    """Raise to 2^128 - 2."""
    result, power = 1 << 127, value
    for _ in range(127):
        power = _times(power, power)
        result = _times(result, power)
    return result


def two_faced(keys: tuple[bytes, bytes], nonce: bytes, aad: bytes, body: bytes) -> bytes:
    """A ciphertext and tag that AES-GCM opens under both keys: one free block, and an equation for it.

    With a common tag, the difference of the two GHASH sums plus the encrypted counters must vanish; it is linear in
    each block (Grubbs, Lu and Ristenpart 2017; Len, Grubbs and Ristenpart 2021).
    """

    def block(key: bytes, data: bytes) -> int:
        cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        return int.from_bytes(cipher.update(data), "big")

    padded = aad + bytes(-len(aad) % 16)
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * (len(body) + 16)).to_bytes(8, "big")
    known = padded + body + bytes(16) + lengths
    total, factor, sums = 0, 0, []
    for key in keys:
        subkey, at = block(key, bytes(16)), 0
        for low in range(0, len(known), 16):
            at = _times(at ^ int.from_bytes(known[low : low + 16], "big"), subkey)
        sums.append(at ^ block(key, nonce + b"\0\0\0\1"))
        total ^= sums[-1]
        factor ^= _times(subkey, subkey)  # the free block is the last but one that is multiplied in
    free = _times(total, _inverse(factor))
    first = block(keys[0], bytes(16))
    tag = sums[0] ^ _times(free, _times(first, first))
    return body + free.to_bytes(16, "big") + tag.to_bytes(16, "big")


def test_weights_case_15_a_segment_made_to_open_under_two_keys_opens_under_one() -> None:
    # A partitioning oracle's ciphertext, made for real: plain AES-GCM opens it under both keys, FLOE's header does not.
    ours, theirs, iv = bytes(range(32)), bytes(range(32, 64)), os.urandom(32)
    segment, nonce, place = floe.Parameters(4096), os.urandom(12), bytes(8) + b"\x01"

    def derived(key: bytes) -> bytes:
        message = second.kdf(segment.segment, key, iv, AAD, b"MESSAGE_KEY:", 48)
        return second.kdf(segment.segment, message, iv, AAD, b"DEK:" + bytes(8), 32)

    sealed = two_faced((derived(ours), derived(theirs)), nonce, place, bytes(64))
    one, two = (AESGCM(derived(key)).decrypt(nonce, sealed, place) for key in (ours, theirs))
    assert one != two
    body = (len(sealed) + 16).to_bytes(4, "big") + nonce + sealed
    for key, other, plain in ((ours, theirs, one), (theirs, ours, two)):
        tag = second.kdf(segment.segment, key, iv, AAD, b"HEADER_TAG:", 32)
        whole = segment.encoded() + iv + tag + body
        assert floe.decrypt(key, AAD, whole, segment) == plain
        refused(whole, "floe.header", key=other, parameters=segment)


def test_weights_case_22_a_forked_child_cannot_go_on_with_the_file() -> None:
    encryptor = floe.Encryptor(KEY, AAD, SMALL)
    cipher = encryptor.cipher()
    child = os.fork()
    if child == 0:
        try:
            cipher.seal_into(0, True, b"x", memoryview(bytearray(64)))
        except FloeError as error:
            os._exit(42 if error.code == "floe.forked" else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_weights_case_23_a_random_generator_of_zeros_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floe.os, "urandom", lambda count: bytes(count))
    with pytest.raises(FloeError) as caught:
        floe.encrypt(KEY, AAD, b"x", SMALL)
    assert caught.value.code == "floe.randomness"


def test_a_failed_segment_leaves_no_plaintext_behind() -> None:
    whole = four_segments()
    whole[-1] ^= 1
    out = bytearray(b"\xaa" * 5)
    cipher = floe.Decryptor(KEY, AAD, whole[:74], SMALL).cipher()
    with pytest.raises(FloeError):
        cipher.open_into(3, True, memoryview(whole)[-37:], memoryview(out))
    assert out == bytes(5)


def test_misuse_is_refused() -> None:
    cipher = floe.Encryptor(KEY, AAD, SMALL).cipher()
    for position, final, size in ((0, False, 31), (0, True, 33), (1 << 40, True, 1), (-1, True, 1)):
        with pytest.raises(FloeError) as caught:
            cipher.seal_into(position, final, bytes(size), memoryview(bytearray(128)))
        assert caught.value.code == "floe.use"
    refused(bytes(four_segments()), "floe.key", key=bytes(33))
