"""FLOE: authenticated encryption of large files with random access (c2sp.org/FLOE, ePrint 2025/2275).

Guards file contents from anyone who holds the file but not its key, and holders of the key from a file that was
cut, stretched, reordered, spliced or made to open under two keys: the header tag commits to key, parameters and
associated data, and each segment is bound to its position and to being the last or not.

Nothing here returns plaintext from a segment whose tag failed, and the output buffer is wiped when one does.
Objects named `SegmentCipher` belong to one thread each; everything else may be shared.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .errors import FloeError

KEY_BYTES = 32
_IV = 32
_TAG = 32
_NONCE = 12
_GCM_TAG = 16
_LENGTH = 4
OVERHEAD = _LENGTH + _NONCE + _GCM_TAG
HEADER_BYTES = 10 + _IV + _TAG
MAX_SEGMENTS = 1 << 40
_INTERNAL = b"\xff\xff\xff\xff"
_KDF_KEY = 48
_DAMAGED = "Fetch the file again from storage; if it fails again, it was damaged or altered there."

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Parameters:
    """A FLOE parameter set: AES-256-GCM, HKDF-Expand-SHA-384 and a 32-byte IV are fixed, the segment length is free.

    `segment` is ENC_SEG_LEN, the encrypted length in bytes; `rotation` is AEAD_ROTATION_MASK and differs from 20
    only in the published known-answer files.
    """

    segment: int
    rotation: int = 20

    @property
    def plain(self) -> int:
        """Plaintext bytes in a full segment."""
        return self.segment - OVERHEAD

    def encoded(self) -> bytes:
        """PARAM_ENCODE: AEAD id, KDF id, segment length, IV length."""
        return b"\x00\x00" + self.segment.to_bytes(4, "big") + _IV.to_bytes(4, "big")


GCM256_IV256_1M = Parameters(1 << 20)
GCM256_IV256_4K = Parameters(1 << 12)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an exact file length means: how many segments, how long the last one is, how much plaintext."""

    segments: int
    last: int
    plain: int
    length: int


def shape_of_plaintext(plain: int, parameters: Parameters = GCM256_IV256_1M) -> Shape:
    """Shape of the file that `plain` bytes become; an exact multiple ends in a full final segment."""
    segments = max(1, -(-plain // parameters.plain))
    last = plain - (segments - 1) * parameters.plain + OVERHEAD
    return Shape(segments, last, plain, HEADER_BYTES + (segments - 1) * parameters.segment + last)


def shape_of_ciphertext(length: int, parameters: Parameters = GCM256_IV256_1M) -> Shape:
    """Shape of a file of `length` bytes; a length that no FLOE file can have is refused before anything is read."""
    body = length - HEADER_BYTES
    if body < OVERHEAD:
        raise _length_error(length, "it is shorter than its header and one segment")
    segments = -(-body // parameters.segment)
    last = body - (segments - 1) * parameters.segment
    if last < OVERHEAD:
        raise _length_error(length, f"its last segment would have {last} bytes")
    if segments > MAX_SEGMENTS:
        raise _length_error(length, "it would have more than 2^40 segments")
    return Shape(segments, last, body - segments * OVERHEAD, length)


def _length_error(length: int, why: str) -> FloeError:
    return FloeError("floe.length", f"A FLOE file of {length} bytes cannot exist: {why}.", _DAMAGED)


def random_bytes(count: int) -> bytes:
    """Fresh random bytes from the operating system; a generator that yields only zeros is refused, not used."""
    value = os.urandom(count)
    if not any(value):
        why = "The operating system's random generator returned only zeros."
        raise FloeError("floe.randomness", why, "Do not encrypt on this machine.")
    return value


@dataclass(frozen=True, slots=True)
class _State:
    """A started file: message key, IV, associated data, and the process that started it."""

    parameters: Parameters
    key: bytes
    iv: bytes
    aad: bytes
    process: int

    def __repr__(self) -> str:
        return "floe._State(…)"


def _kdf(parameters: Parameters, key: bytes, iv: bytes, aad: bytes, purpose: bytes, length: int) -> bytes:
    info = parameters.encoded() + iv + purpose + aad
    return HKDFExpand(algorithm=hashes.SHA384(), length=length, info=info).derive(key)


def _start(parameters: Parameters, key: bytes, iv: bytes, aad: bytes) -> tuple[_State, bytes]:
    if len(key) != KEY_BYTES:
        why = f"A FLOE key has {KEY_BYTES} bytes, this one has {len(key)}."
        raise FloeError("floe.key", why, "Use the data key of the ticket as it is.")
    tag = _kdf(parameters, key, iv, aad, b"HEADER_TAG:", _TAG)
    message = _kdf(parameters, key, iv, aad, b"MESSAGE_KEY:", _KDF_KEY)
    return _State(parameters, message, iv, aad, os.getpid()), tag


class SegmentCipher:
    """Encrypts or decrypts single segments of one file. One a thread: it caches the derived key."""

    __slots__ = ("_cipher", "_epoch", "_state")

    def __init__(self, state: _State) -> None:
        self._state = state
        self._epoch = -1
        self._cipher: AESGCM

    def _aead(self, position: int) -> AESGCM:
        state = self._state
        epoch = position >> state.parameters.rotation
        if epoch != self._epoch:
            purpose = b"DEK:" + (epoch << state.parameters.rotation).to_bytes(8, "big")
            self._cipher = AESGCM(_kdf(state.parameters, state.key, state.iv, state.aad, purpose, KEY_BYTES))
            self._epoch = epoch
        return self._cipher

    def seal_into(self, position: int, final: bool, plaintext: Buffer, out: memoryview) -> int:
        """Encrypt one segment into `out` and return its length. Seal each position once, the last one as final."""
        parameters = self._state.parameters
        size = len(plaintext)
        if size > parameters.plain or (size != parameters.plain and not final):
            why = f"Segment {position} cannot hold {size} bytes."
            raise FloeError("floe.use", why, "Cut the plaintext into full segments.")
        if not 0 <= position < MAX_SEGMENTS:
            raise FloeError("floe.use", f"Position {position} is out of range.", "A file has at most 2^40 segments.")
        if os.getpid() != self._state.process:
            # A forked child shares message key and positions with its parent: two writers of one file.
            why = "This file was started in another process."
            raise FloeError("floe.forked", why, "Start a new save, with new keys, in this process.")
        total = size + OVERHEAD
        nonce = random_bytes(_NONCE)
        out[:_LENGTH] = total.to_bytes(_LENGTH, "big") if final else _INTERNAL
        out[_LENGTH : _LENGTH + _NONCE] = nonce
        place = position.to_bytes(8, "big") + bytes((final,))
        self._aead(position).encrypt_into(nonce, plaintext, place, out[_LENGTH + _NONCE : total])
        return total

    def open_into(self, position: int, final: bool, segment: memoryview, out: memoryview) -> int:
        """Decrypt one segment into the front of `out` and return the plaintext length; wipe `out` on failure."""
        parameters = self._state.parameters
        size = len(segment)
        right = OVERHEAD <= size <= parameters.segment if final else size == parameters.segment
        marker = size.to_bytes(_LENGTH, "big") if final else _INTERNAL
        if not right or segment[:_LENGTH] != marker:
            raise _segment_error(position)
        nonce = segment[_LENGTH : _LENGTH + _NONCE]
        plain = size - OVERHEAD
        place = position.to_bytes(8, "big") + bytes((final,))
        try:
            self._aead(position).decrypt_into(nonce, segment[_LENGTH + _NONCE :], place, out[:plain])
        except InvalidTag:
            out[:plain] = bytes(plain)
            raise _segment_error(position) from None
        return plain


def _segment_error(position: int) -> FloeError:
    return FloeError("floe.segment", f"Segment {position} is not authentic at this place in this file.", _DAMAGED)


class Encryptor:
    """Starts one encrypted file: a fresh IV and its header. Use a key for one file only."""

    def __init__(self, key: bytes, aad: bytes, parameters: Parameters = GCM256_IV256_1M) -> None:
        iv = random_bytes(_IV)
        self._state, tag = _start(parameters, key, iv, aad)
        self.parameters = parameters
        self.header = parameters.encoded() + iv + tag

    def cipher(self) -> SegmentCipher:
        """A segment cipher for the calling thread."""
        return SegmentCipher(self._state)


class Decryptor:
    """Opens one encrypted file's header; raises before any segment is read when key, context or parameters differ."""

    def __init__(self, key: bytes, aad: bytes, header: Buffer, parameters: Parameters = GCM256_IV256_1M) -> None:
        if len(header) != HEADER_BYTES:
            why = f"A FLOE header has {HEADER_BYTES} bytes, this one has {len(header)}."
            raise FloeError("floe.header", why, _DAMAGED)
        head = bytes(header)
        if head[:10] != parameters.encoded():
            # No negotiation: a smaller segment or another algorithm id in the file is an attack, not a choice.
            raise FloeError("floe.header", "The file's parameters are not the expected ones.", _DAMAGED)
        self._state, expected = _start(parameters, key, head[10 : 10 + _IV], aad)
        if not hmac.compare_digest(expected, head[10 + _IV :]):
            raise FloeError("floe.header", "The file was not made under this key for this place.", _DAMAGED)
        self.parameters = parameters

    def cipher(self) -> SegmentCipher:
        """A segment cipher for the calling thread."""
        return SegmentCipher(self._state)


def encrypt(key: bytes, aad: bytes, plaintext: Buffer, parameters: Parameters = GCM256_IV256_1M) -> bytes:
    """Encrypt a small plaintext in one call and return the whole file."""
    shape = shape_of_plaintext(len(plaintext), parameters)
    encryptor = Encryptor(key, aad, parameters)
    out = bytearray(shape.length)
    view, source = memoryview(out), memoryview(plaintext)
    view[:HEADER_BYTES] = encryptor.header
    cipher, at = encryptor.cipher(), HEADER_BYTES
    for position in range(shape.segments):
        piece = source[position * parameters.plain : (position + 1) * parameters.plain]
        at += cipher.seal_into(position, position == shape.segments - 1, piece, view[at:])
    return bytes(out)


def decrypt(key: bytes, aad: bytes, ciphertext: Buffer, parameters: Parameters = GCM256_IV256_1M) -> bytes:
    """Decrypt a small file in one call; all of it is authentic or nothing is returned."""
    shape = shape_of_ciphertext(len(ciphertext), parameters)
    view = memoryview(ciphertext)
    cipher = Decryptor(key, aad, view[:HEADER_BYTES], parameters).cipher()
    out = bytearray(shape.plain)
    target = memoryview(out)
    for position in range(shape.segments):
        at = HEADER_BYTES + position * parameters.segment
        final = position == shape.segments - 1
        segment = view[at : at + (shape.last if final else parameters.segment)]
        cipher.open_into(position, final, segment, target[position * parameters.plain :])
    return bytes(out)
