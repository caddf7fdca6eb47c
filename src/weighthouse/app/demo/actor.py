"""A person of the demo: a real session over HTTP, bound to a key of their own, and an enrolled device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighthouse.app.provider import dev_secret, people
from weighthouse.assurance.api import not_here
from weighthouse.core.caller import Caller
from weighthouse.core.work import System, begin
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.dev_idp.people import DevSecret
from weighthouse_sdk.client import Client, DeviceKey, ProblemError, SignedIn
from weighthouse_sdk.client.http import canonical
from weighthouse_sdk.client.key import b64url

THIEF_ADDRESS = "203.0.113.66"  # of no site and no lab (RFC 5737); only written down, never sent to


class Cast:
    """The people of a lab, each signed in when first asked for."""

    def __init__(self, system: System, url: str, *, key_name: str = "demo device of") -> None:
        self._system = system
        self._url = url
        self._key_name = key_name
        self._actors: dict[str, Actor] = {}

    def actor(self, person: str) -> Actor:
        """Return a person with a live session, a second factor and an enrolled device; signed in again when spent."""
        known = self._actors.get(person)
        if known is None or not known.alive():
            known = self._actors[person] = self.fresh(person)
        return known

    def fresh(self, person: str, *, enrol: bool = True) -> Actor:
        """Sign a person in on a new device."""
        if person not in people(self._system):
            not_here(f"an account of {person}, whom this lab does not have")
        secret, name = dev_secret(self._system, person), f"{self._key_name} {person}"
        return Actor.sign_in(self._system, self._url, person, secret, enrol=enrol, name=name)

    def take(self) -> list[Actor]:
        """Return everybody who is signed in, and know them no more."""
        taken, self._actors = self._actors, {}
        return list(taken.values())

    def close(self) -> None:
        """Close every client."""
        for actor in self._actors.values():
            actor.client.close()


class Actor:
    """Assurance's `Actor`: what a person can do, and what a thief gets who copies their session's secret."""

    def __init__(self, system: System, client: Client, session: SignedIn, device: str) -> None:
        self._system = system
        self.client = client
        self.session = session
        self._device = device

    @classmethod
    def sign_in(
        cls, system: System, url: str, person: str, secret: DevSecret, *, enrol: bool, name: str = "a device"
    ) -> Actor:
        """Walk the whole sign-in over HTTP; the first one of a person demands a second factor."""
        client = Client(url, DeviceKey.generate())
        session = client.sign_in_headless(person, secret.password, secret.totp)
        device = str(client.enrol(name)["id"]) if enrol else ""
        return cls(system, client, session, device)

    @property
    def person(self) -> str:
        return self.session.person

    @property
    def device(self) -> str:
        return self._device

    @property
    def caller(self) -> Caller:
        """Authenticate this person's session as the server would for a request of theirs."""
        url = f"{self.client.url}/api/v1/me"
        with begin(self._system) as unit:
            return identity.authenticate(unit, self._credential("GET", url, self.client.key, "127.0.0.1"))

    def alive(self) -> bool:
        """Whether the server still takes this person's session."""
        try:
            self.client.get("me")
        except ProblemError:
            return False
        return True

    def sign(self, statement: Mapping[str, Any]) -> str:
        return b64url(self.client.key.sign(canonical(statement)))

    def stolen(self, method: str, url: str) -> identity.Credential:
        return self._credential(method, url, DeviceKey.generate(), THIEF_ADDRESS)

    def minted(self, method: str, url: str, nonce: str) -> identity.Credential:
        return self._credential(method, url, self.client.key, THIEF_ADDRESS, nonce)

    def _credential(
        self, method: str, url: str, key: DeviceKey, address: str, nonce: str | None = None
    ) -> identity.Credential:
        nonce = identity.fresh_nonce(self._system) if nonce is None else nonce
        return identity.Credential(
            kind="dpop",
            value=self.client.token,
            proof=key.proof(method, url, token=self.client.token, nonce=nonce),
            method=method,
            url=url,
            address=address,
            user_agent="weighthouse demo",
        )

    def approve(self, request: str) -> dict[str, Any]:
        """Approve a request as the CLI does: read the card, sign exactly what it shows, send the vote."""
        card = self.client.get(f"requests/{request}/card")
        statement = {**card["statement"], "verdict": "approve", "device": self._device}
        signature = {"kind": "device", "device": self._device, "value": self.sign(statement), "at": statement["at"]}
        body = {"verdict": "approve", "digest": card["digest"], "signature": signature}
        answer: dict[str, Any] = self.client.post(f"requests/{request}/votes", body)
        return answer
