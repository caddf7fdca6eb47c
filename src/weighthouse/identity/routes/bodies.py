"""The bodies these endpoints accept: closed, typed and small, so that nothing unexpected reaches the room."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from weighthouse.identity.rules.acts import MOST_TOGETHER

Secret = Annotated[str, StringConstraints(min_length=16, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")]
Address = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Value = Annotated[str, StringConstraints(max_length=4096)]
Coordinate = Annotated[str, StringConstraints(min_length=43, max_length=43, pattern=r"^[A-Za-z0-9_-]+$")]


Part = Annotated[str, StringConstraints(max_length=200)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Jwk(Body):
    """A P-256 public key (RFC 7517)."""

    kty: Annotated[str, StringConstraints(pattern=r"^EC$")]
    crv: Annotated[str, StringConstraints(pattern=r"^P-256$")]
    x: Coordinate
    y: Coordinate


class Login(Body):
    """Begin a sign-in for a device with a key; the answer comes to `redirect_uri` on loopback."""

    redirect_uri: Address
    device_jwk: Jwk


class Token(Body):
    """Finish a sign-in: its secret, and the parameters that the provider sent to the loopback address."""

    transaction: Secret
    params: dict[Annotated[str, StringConstraints(max_length=64)], Value] = Field(max_length=16)


class ActNamed(Body):
    """One act that a second factor is to be given for, as the refusal `identity.act_unconfirmed` names it."""

    type: Annotated[str, StringConstraints(max_length=64)]
    subject: Annotated[str, StringConstraints(max_length=200)]
    parameters: dict[Annotated[str, StringConstraints(max_length=64)], Part] = Field(default={}, max_length=8)


class StepUp(Body):
    """Begin a step-up, for these acts if any are named; the answer comes to `redirect_uri` on loopback."""

    redirect_uri: Address
    acts: list[ActNamed] = Field(default=[], max_length=MOST_TOGETHER)


class Enrol(Body):
    """Enrol a key: `proof` is its base64url signature (ES256, r and s) over the canonical
    {"type": "weighthouse/enrol-key/2", "audience", "person", "thumbprint"}; `audience` is what `GET /me` says."""

    jwk: Jwk
    name: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    proof: Annotated[str, StringConstraints(min_length=86, max_length=86, pattern=r"^[A-Za-z0-9_-]+$")]


class Confirm(Body):
    """Confirm a new key: `signature` (ES256, r and s, base64url) of the older key `by` over the canonical
    {"type": "weighthouse/confirm-key/3", "audience", "person", "thumbprint", "device" of the new one, "by", "at"},
    not older than ten minutes, and good once."""

    by: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    at: Annotated[int, Field(ge=0, le=2**53)]
    signature: Annotated[str, StringConstraints(min_length=86, max_length=86, pattern=r"^[A-Za-z0-9_-]+$")]


class End(Body):
    """End something of one's own, and why."""

    reason: Annotated[str, StringConstraints(min_length=3, max_length=200)] = "ended by its owner"


class EndKey(End):
    """End a key of one's own. What was done with it from `since` on (milliseconds; a week, where it is not named) is
    taken back, unless it is `retired`: then nobody else has had it, and nothing is said against what it did."""

    retired: bool = False
    since: Annotated[int, Field(ge=0, le=2**53)] | None = None
