"""A person's device as a test holds it: a P-256 key that signs what a page carries, as the page's script does."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.web.world import World, field
from weighthouse.core.canonical import encode
from weighthouse.identity import api as identity


class Device:
    """One key; `enrol` it once, then `decide` on cards and motions."""

    def __init__(self, world: World, person: str, client: httpx.Client) -> None:
        self._world, self._person, self._client = world, person, client
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.id = ""
        numbers = self._key.public_key().public_numbers()
        self.jwk = {"kty": "EC", "crv": "P-256", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}

    def proof_for(self, jwk: dict[str, str]) -> str:
        """This key's signature over the possession of `jwk`."""
        return self._signature(identity.possession(self._person, jwk, identity.audience(self._world.system)))

    def enrol(self) -> httpx.Response:
        data = {"jwk": json.dumps(self.jwk), "name": "Test laptop", "proof": self.proof_for(self.jwk)}
        answer = self._world.send(self._client, "/sessions", "/devices", data, Accept="application/json")
        self.id = answer.json().get("device", "")
        return answer

    def decide(self, page: str, choice: str, **more: str) -> httpx.Response:
        """Choose `choice` on the first signed form of `page`; confirm it with the second factor that it takes."""
        return self._world.confirmed(self._client, lambda: self._decide(page, choice, **more))

    def _decide(self, page: str, choice: str, **more: str) -> httpx.Response:
        text = self._client.get(page).text
        form = re.search(
            r'<form method="post" action="([^"]+)" [^>]*data-choice="(\w+)"[^>]*data-statement="([^"]+)"', text
        )
        assert form, text
        statement: dict[str, Any] = json.loads(html.unescape(form.group(3)))
        statement |= {form.group(2): choice, "device": self.id}
        data = {
            "csrf": field(text, "csrf"),
            "digest": field(text, "digest"),
            "at": field(text, "at"),
            form.group(2): choice,
            "device": self.id,
            "signature": self._signature(encode(statement)),
            **more,
        }
        return self._client.post(form.group(1), data=data, headers={"Origin": self._world.origin})

    def _signature(self, data: bytes) -> str:
        left, right = decode_dss_signature(self._key.sign(data, ec.ECDSA(SHA256())))
        return base64.urlsafe_b64encode(left.to_bytes(32, "big") + right.to_bytes(32, "big")).decode().rstrip("=")


def _coordinate(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode().rstrip("=")
