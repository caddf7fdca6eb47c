"""Beginning a sign-in or a step-up: what is kept on the server until the provider's answer comes back.

Guards the answer from being anybody else's: state, nonce, PKCE verifier, expected provider, way back and device key
are fixed before the person leaves, sealed, and tied to one browser or command line by a secret of its own.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

import msgspec

from weighthouse.core.caller import Caller
from weighthouse.core.errors import Unauthenticated, WeighthouseError
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.identity.api.pacing import check_pace
from weighthouse.identity.api.sealing import memory, seal, unseal
from weighthouse.identity.api.sessions import digest_of, expired, fresh_secret
from weighthouse.identity.api.states import state_of
from weighthouse.identity.model import (
    START_LIFE,
    Act,
    Session,
    SignInStart,
    Start,
)
from weighthouse.identity.ports import Provider, Site, Wish
from weighthouse.identity.rules.acts import challenge_of, check_acts, digest_of_act, words_of
from weighthouse.identity.rules.jwks import device_key, thumbprint
from weighthouse.identity.rules.return_path import check_redirect, check_return_path
from weighthouse.identity.store import sessions as session_store
from weighthouse.identity.store import sign_ins as store

AGAIN = "Start the sign-in again from the console or the command line."


def refuse(code: str, message: str) -> NoReturn:
    """Refuse a sign-in where no unit is open; the caller writes the line."""
    raise Unauthenticated(code, message, AGAIN)


def callback_of(system: System) -> str:
    """Return our own callback address, built from the settings and never from a Host header."""
    return system.part(Site).origin + "/callback"


def begin_sign_in(
    system: System,
    return_to: str = "/",
    *,
    redirect_uri: str,
    device_jwk: Mapping[str, str] | None = None,
    address: str = "",
    device_mark: str = "",
) -> SignInStart:
    """Begin a sign-in; return where to send the person, and the secret of this attempt.

    A CLI gives its device's public key and a loopback address; a browser gives neither, but its mark if it has one.
    Raises `identity.bad_return_path`, `identity.bad_redirect`, `identity.bad_key`, `identity.too_many_begun`,
    `identity.provider_unavailable`.
    """
    key = thumbprint(device_key(device_jwk).jwk) if device_jwk is not None else ""
    check_return_path(return_to)
    check_redirect(redirect_uri, own=callback_of(system), loopback=bool(key))
    check_pace(system, address, device_mark=device_mark, key=key)
    profile = provider_of(system).profile()
    draft = draft_of(
        purpose="sign_in", issuer=profile.issuer, redirect_uri=redirect_uri, return_to=return_to, key=key
    )
    return _keep(system, draft)


def begin_step_up(
    system: System, caller: Caller, return_to: str = "/", *, redirect_uri: str, acts: Sequence[Act] = ()
) -> SignInStart:
    """Begin raising the caller's own session to a fresh second factor, given for `acts` if there are any.

    Raises as `begin_sign_in` does, and `identity.bad_act`.
    """
    check_return_path(return_to)
    check_acts(acts)
    profile = provider_of(system).profile()
    with read(system, caller) as unit:
        session = live_session(unit, caller.session or "")
    if session is None:
        refuse("identity.session_ended", "The session that was to be raised has ended.")
    check_redirect(redirect_uri, own=callback_of(system), loopback=bool(session.key))
    draft = draft_of(
        purpose="step_up", issuer=profile.issuer, redirect_uri=redirect_uri, return_to=return_to, key=session.key
    )
    return _keep(
        system,
        msgspec.structs.replace(
            draft,
            level=2,
            person=str(caller.principal),
            session=str(session.id),
            account=caller.account,
            acts=tuple(acts),
        ),
    )


def sign_out_address(system: System) -> str:
    """Where a browser that signed out here signs out at the provider too; empty where that is not offered, or it does
    not answer: nobody is kept from leaving."""
    try:
        return provider_of(system).sign_out_url(system.part(Site).origin + "/sign-in")
    except WeighthouseError:
        return ""


def provider_of(system: System) -> Provider:
    return system.part(Provider)


def draft_of(*, purpose: str, issuer: str, redirect_uri: str, return_to: str, key: str) -> Start:
    return Start(
        secret="",
        purpose="step_up" if purpose == "step_up" else "sign_in",
        issuer=issuer,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        redirect_uri=redirect_uri,
        return_to=return_to,
        key=key,
        level=1,
        person="",
        session="",
        created=0,
        expires=0,
    )


class Kept(NamedTuple):
    """An attempt that is kept, and not sent to the provider yet."""

    start: Start
    transaction: str
    reasons: tuple[str, ...]


def _keep(system: System, draft: Start) -> SignInStart:
    with begin(system) as unit:
        kept = keep_in(unit, draft)
    return sent(system, kept)


def keep_in(unit: Unit, draft: Start, reasons: tuple[str, ...] = ()) -> Kept:
    """Keep a begun attempt; `sent` it is afterwards, since no lock is held while a provider is told of it."""
    transaction = fresh_secret("whx_")
    start = msgspec.structs.replace(
        draft, secret=digest_of(transaction), created=unit.now, expires=unit.now + START_LIFE
    )
    body, code = seal(unit, "start", start)
    store.forget_starts(unit.conn, unit.now)
    store.insert_start(unit.conn, secret=start.secret, expires=start.expires, body=body, seal=code)
    return Kept(start, transaction, reasons)


def sent(system: System, kept: Kept) -> SignInStart:
    """Say where to send the person; the provider is told of the attempt first where it takes that."""
    start, transaction, reasons = kept
    challenge = base64.urlsafe_b64encode(hashlib.sha256(start.verifier.encode()).digest()).rstrip(b"=").decode()
    wish = Wish(
        redirect_uri=start.redirect_uri,
        state=start.state,
        nonce=nonce_of(start),
        challenge=challenge,
        step_up=start.level > 1,
    )
    there = provider_of(system).authorize_url(wish)
    told = tuple(words_of(act) for act in start.acts)
    return SignInStart(url=there.url, transaction=transaction, reasons=reasons, acts=told, good_s=there.good_s)


def nonce_of(start: Start) -> str:
    """What the provider's token must carry: for acts the challenge over their digests, so that a token for others
    is a token for nothing."""
    if not start.acts:
        return start.nonce
    bound = {"person": start.person, "account": start.account, "session": start.session}
    return challenge_of([digest_of_act(act, **bound) for act in start.acts], start.nonce)


def live_session(unit: Unit, session_id: str) -> Session | None:
    rows = session_store.by_ids(unit.conn, [session_id])
    session = unseal(unit, "session", rows[0].body, rows[0].seal, Session) if rows else None
    if session is None or session.ended is not None or expired(unit, session):
        return None
    listed = session.id in state_of(unit, session.person).sessions
    return session if listed and not memory(unit.system).condemned(session.id) else None
