"""What an identity token must say, per issuer, before anybody is somebody. Guards sign-in from the wrong token.

A token of another tenant, another client, another kind, another moment or another attempt is refused; people are
named by the immutable claim only, never by a mail address (CVE-2023-3128). OpenID Connect Core 3.1.3.7, RFC 9068,
and the facts of Entra ID v2.0 tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from typing import Any

import msgspec

from weighthouse.core.clock import Millis
from weighthouse.identity.model import IssuerProfile, PublicKey
from weighthouse.identity.rules.compact import check_signature, open_token, refuse

LEEWAY = 60
OLDEST = 600
LONGEST = 24 * 3600
MAX_DATE = 2**40
CONSUMER_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified identity token established. `auth_time` is in seconds, 0 when the token does not say.

    A second factor counts only with its time: one of unknown age would pass for one of this minute. `own` says that
    it was given after this attempt had begun, so that the provider did not merely remember it.
    """

    issuer: str
    subject: str
    level: int
    auth_time: int
    own: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What this attempt asked for, which the token must answer; from level 2 on, with a factor given for it."""

    nonce: str
    now: Millis
    level: int = 1
    begun: Millis = 0
    access_token: str = ""
    code: str = ""


def verify_id_token(token: str, key: PublicKey, profile: IssuerProfile, asked: Asked) -> Claimed:
    """Check every claim of `token` and return what it establishes. Raises `identity.token_*`."""
    opened = open_token(token)
    if opened.kid and opened.kid != key.kid:  # one that names none was given the only key that its issuer shows
        refuse("identity.token_key", "The token does not name the key that it is checked with.")
    claims = check_signature(opened, key, profile.algorithms)
    _check_kind(opened.typ, claims)
    _check_parties(claims, profile)
    _check_times(claims, asked)
    if not hmac.compare_digest(_text(claims, "nonce").encode(), asked.nonce.encode()):
        refuse("identity.token_nonce", "The token answers another sign-in than this one.")
    _check_hashes(claims, asked)
    auth_time, own = _auth_time(claims, asked)
    level = 2 if auth_time and profile.step_up_value and profile.step_up_value in _contexts(claims) else 1
    if asked.level > level:
        refuse("identity.token_assurance", "The token does not show the second factor that was asked for.")
    subject = _text(claims, profile.subject_claim)
    if not subject or len(subject) > 255:
        refuse("identity.token_subject", f"The token has no usable '{profile.subject_claim}'.")
    return Claimed(issuer=profile.account_issuer, subject=subject, level=level, auth_time=auth_time, own=own)


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    return value if isinstance(value, str) else ""


def _check_kind(typ: str | None, claims: dict[str, Any]) -> None:
    # Media types know no case and may leave out "application/" (RFC 7515 4.1.9); at+jwt, secevent+jwt, logout+jwt and
    # dpop+jwt are other things.
    if typ is not None and typ.lower().removeprefix("application/") != "jwt":
        refuse("identity.token_type", "The token is not an identity token.")
    if "events" in claims or "scp" in claims or "htm" in claims:
        refuse("identity.token_type", "The token is an access, logout, event or proof token, not an identity token.")
    if claims.get("idtyp", "user") != "user":
        refuse("identity.token_type", "The token belongs to an application; applications open no human session.")


def _check_parties(claims: dict[str, Any], profile: IssuerProfile) -> None:
    if claims.get("iss") != profile.issuer:
        refuse("identity.token_issuer", "The token is by another issuer than the one that is configured.")
    if profile.tenant:
        if claims.get("tid") != profile.tenant or profile.tenant == CONSUMER_TENANT:
            refuse("identity.token_issuer", "The token is of another tenant.")
        if claims.get("ver", "2.0") != "2.0":
            refuse("identity.token_issuer", "The token is not of version 2.0.")
    audience = claims.get("aud")
    if audience != profile.client_id and audience != [profile.client_id]:
        refuse("identity.token_audience", "The token was made for another client.")
    if claims.get("azp", profile.client_id) != profile.client_id:
        refuse("identity.token_audience", "The token was given to another client.")


def _date(claims: dict[str, Any], name: str, *, required: bool = True) -> int | None:
    value = claims.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < MAX_DATE:
        refuse("identity.token_time", f"The token's '{name}' is not a time in seconds.")
    return math.floor(value)  # RFC 7519 2 allows fractions; rounded down, none ends later or was given later


def _check_times(claims: dict[str, Any], asked: Asked) -> None:
    now = asked.now // 1000
    expires, issued = _date(claims, "exp"), _date(claims, "iat")
    begins = _date(claims, "nbf", required=False)
    assert expires is not None and issued is not None
    if expires + LEEWAY <= now:
        refuse("identity.token_time", "The token has expired.")
    if issued > now + LEEWAY or (begins is not None and begins > now + LEEWAY):
        refuse("identity.token_time", "The token is from the future; compare the clocks.")
    if issued < now - OLDEST:
        refuse("identity.token_time", "The token is older than ten minutes.")
    if expires - issued > LONGEST:
        refuse("identity.token_time", "The token would live longer than a day.")


def _auth_time(claims: dict[str, Any], asked: Asked) -> tuple[int, bool]:
    """Return when the person was there, and whether that was after this attempt had begun."""
    auth_time = _date(claims, "auth_time", required=False) or 0
    if asked.level > 1 and not auth_time:
        refuse(
            "identity.no_auth_time",
            "The identity provider does not say when the second factor was given (no 'auth_time' in its token), so "
            "none can be told from one of this morning, and what needs one of its own is refused.",
        )
    if auth_time > asked.now // 1000 + LEEWAY:
        refuse("identity.token_time", "The token says that the person signed in in the future.")
    own = bool(auth_time) and auth_time >= asked.begun // 1000 + _skew(claims, asked)
    if asked.level > 1 and not own:
        refuse("identity.token_assurance", "The provider reused an old sign-in where a new one was asked for.")
    return auth_time, own


def _skew(claims: dict[str, Any], asked: Asked) -> int:
    """How far the provider's clock is ahead of ours, by the moment at which it issued this token; at most a minute.

    A leeway given to everybody would let a factor of half a minute before the attempt pass for the attempt's own.
    """
    issued = _date(claims, "iat")
    assert issued is not None
    return max(-LEEWAY, min(LEEWAY, issued - asked.now // 1000))


def _contexts(claims: dict[str, Any]) -> list[str]:
    acrs = claims.get("acrs", [])
    found = [item for item in acrs if isinstance(item, str)] if isinstance(acrs, list) else []
    return [*found, _text(claims, "acr")]


def half_hash(value: str) -> str:
    """Return at_hash or c_hash of `value` for a SHA-256 algorithm (OpenID Connect Core 3.1.3.6)."""
    return base64.urlsafe_b64encode(hashlib.sha256(value.encode()).digest()[:16]).rstrip(b"=").decode()


def _check_hashes(claims: dict[str, Any], asked: Asked) -> None:
    for name, value in (("at_hash", asked.access_token), ("c_hash", asked.code)):
        if (
            name in claims
            and value
            and not hmac.compare_digest(_text(claims, name).encode(), half_hash(value).encode())
        ):
            refuse("identity.token_hash", f"The token's '{name}' belongs to another answer.")
