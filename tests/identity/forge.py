"""Tokens as an attacker makes them: any header, any bytes, any signature. Also a provider that misbehaves on demand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from weighthouse_sdk.client import DeviceKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def raw(header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes]) -> str:
    """A compact token of exactly these bytes."""
    first, second = (
        b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload)
    )
    return f"{first}.{second}.{b64(sign(f'{first}.{second}'.encode()))}"


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda data: hmac.digest(secret, data, "sha256")


def proof(key: DeviceKey, method: str, url: str, now: int, token: str = "", **changes: Any) -> str:
    """A DPoP proof; `changes` replace claims (None removes one), `header` replaces header members."""
    claims: dict[str, Any] = {"htm": method, "htu": url, "iat": now // 1000, "jti": secrets.token_urlsafe(16)}
    if token:
        claims["ath"] = b64(hashlib.sha256(token.encode()).digest())
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk, **changes.pop("header", {})}
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return raw(header, claims, key.sign)


Twist = Callable[[dict[str, Any]], str]


class Misbehaving(httpx.BaseTransport):
    """The real provider, except that its identity token, or any whole answer, is what the test says."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        self.twist: Twist | None = None
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        replaced = self.instead(request)
        if replaced is not None:
            return replaced
        answer = self.inner.handle_request(request)
        if self.twist is None or not request.url.path.endswith("/token"):
            return answer
        body = json.loads(answer.read())
        claims = json.loads(unb64(body["id_token"].split(".")[1]))
        return httpx.Response(200, json={**body, "id_token": self.twist(claims)})
