"""A second FLOE decoder and encoder, written from the specification's pseudocode and sharing no code with the SDK.

It guards the SDK from agreeing only with itself. Slow and plain on purpose: HMAC by the standard library,
one-block HKDF-Expand, whole segments as `bytes`.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def kdf(size: int, key: bytes, iv: bytes, aad: bytes, purpose: bytes, length: int) -> bytes:
    info = struct.pack(">BBII", 0, 0, size, 32) + iv + purpose + aad
    return hmac.new(key, info + b"\x01", hashlib.sha384).digest()[:length]


def decrypt(key: bytes, aad: bytes, data: bytes, size: int, mask: int = 20) -> bytes:
    iv, tag = data[10:42], data[42:74]
    assert data[:10] == struct.pack(">BBII", 0, 0, size, 32)
    assert kdf(size, key, iv, aad, b"HEADER_TAG:", 32) == tag
    message = kdf(size, key, iv, aad, b"MESSAGE_KEY:", 48)
    out, at, position = b"", 74, 0
    while True:
        (marker,) = struct.unpack(">I", data[at : at + 4])
        final = marker != 0xFFFFFFFF
        end = at + (marker if final else size)
        epoch = position & ~((1 << mask) - 1)
        dek = kdf(size, message, iv, aad, b"DEK:" + struct.pack(">Q", epoch), 32)
        out += AESGCM(dek).decrypt(data[at + 4 : at + 16], data[at + 16 : end], struct.pack(">QB", position, final))
        at, position = end, position + 1
        if final:
            assert at == len(data)
            return out


def segment(key: bytes, aad: bytes, header: bytes, size: int, position: int, final: bool, plaintext: bytes) -> bytes:
    """Forge one segment with a valid tag, as any holder of the data key can."""
    message = kdf(size, key, header[10:42], aad, b"MESSAGE_KEY:", 48)
    dek = kdf(size, message, header[10:42], aad, b"DEK:" + struct.pack(">Q", position & ~((1 << 20) - 1)), 32)
    body = AESGCM(dek).encrypt(b"\x07" * 12, plaintext, struct.pack(">QB", position, final))
    marker = struct.pack(">I", len(body) + 16) if final else b"\xff" * 4
    return marker + b"\x07" * 12 + body
