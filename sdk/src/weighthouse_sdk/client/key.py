"""The device's key: made here, kept in one file of mode 0600, never sent. Guards it from other users of the machine.

A file that others may read is refused rather than used. A hardware key store is better; this file is the floor.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from weighthouse_sdk.errors import SdkError


def b64url(data: bytes) -> str:
    """Return unpadded base64url (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class DeviceKey:
    """One P-256 key. `thumbprint` is its RFC 7638 name; `jwk` its public form."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.now: Callable[[], float] = time.time
        numbers = private.public_key().public_numbers()
        self.jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": b64url(numbers.x.to_bytes(32, "big")),
            "y": b64url(numbers.y.to_bytes(32, "big")),
        }
        text = json.dumps(self.jwk, separators=(",", ":"), sort_keys=True)
        self.thumbprint = b64url(hashlib.sha256(text.encode()).digest())

    def __repr__(self) -> str:
        return f"DeviceKey({self.thumbprint})"

    @classmethod
    def generate(cls) -> DeviceKey:
        """Make a fresh key that lives in this process only."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load_or_make(cls, path: Path) -> DeviceKey:
        """Load the key at `path`, or make one there (mode 0600, its folder 0700). Raises `client.key_exposed`."""
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return cls._make(path)
        with os.fdopen(handle, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise SdkError(
                    "client.key_exposed",
                    f"Other users of this machine may read {path}, so the key counts as stolen.",
                    "Delete the file and enrol this device again; end the old device in the console.",
                )
            data = file.read(16_384)
        try:
            private = serialization.load_pem_private_key(data, None)
        except (ValueError, TypeError) as error:
            raise _unreadable(path) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
            raise _unreadable(path)
        return cls(private)

    @classmethod
    def _make(cls, path: Path) -> DeviceKey:
        key = cls.generate()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = key._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        return key

    def sign(self, data: bytes) -> bytes:
        """Return the ES256 signature over `data`: r and s of 32 bytes each, as WebCrypto makes it."""
        r, s = decode_dss_signature(self._private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def proof(self, method: str, url: str, *, token: str = "", nonce: str = "") -> str:
        """Return a fresh DPoP proof (RFC 9449) for one request, bound to `token` and made after the
        server's `nonce`, if there are any."""
        claims: dict[str, Any] = {
            "htm": method,
            "htu": url.split("?", 1)[0].split("#", 1)[0],
            "iat": int(self.now()),
            "jti": secrets.token_urlsafe(16),
        }
        if token:
            claims["ath"] = b64url(hashlib.sha256(token.encode()).digest())
        if nonce:
            claims["nonce"] = nonce
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk}
        text = ".".join(b64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return f"{text}.{b64url(self.sign(text.encode()))}"


def _unreadable(path: Path) -> SdkError:
    return SdkError(
        "client.key_unreadable",
        f"{path} does not hold a P-256 private key in PEM form.",
        "Move the file away and sign in again; a new key is made and must be enrolled.",
    )
