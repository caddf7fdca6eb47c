"""Authentication of every single request. Guards from stolen cookies and tokens, replays, and edited rows.

A cookie counts only from the browser it was given to; a token only with a fresh proof by its key; a run's
token only through the socket that vouches for that run. What shows up anywhere else ends the session at once.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NoReturn

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.brief import briefly, within_a_moment
from weighthouse.core.caller import Assurance, Caller, Life
from weighthouse.core.clock import SECOND
from weighthouse.core.errors import Unauthenticated, Unavailable, WeighthouseError
from weighthouse.core.events import Event
from weighthouse.core.ids import DeviceId, PrincipalId
from weighthouse.core.work import Unit, begin
from weighthouse.identity.api import ends
from weighthouse.identity.api.accounts import vouched
from weighthouse.identity.api.devices import living
from weighthouse.identity.api.ends import End
from weighthouse.identity.api.freshness import answered, check_first_use, check_nonce, went_unanswered
from weighthouse.identity.api.roaming import settle
from weighthouse.identity.api.sealing import mark, mark_of_origin, memory, refused, unseal
from weighthouse.identity.api.sessions import (
    digest_of,
    drop,
    end_session,
    expired,
    is_over,
    keep_end,
    last_seen,
    replaced,
    rewrite,
    write_end,
)
from weighthouse.identity.api.stale import AGAIN, first_word, over, unknown
from weighthouse.identity.api.states import state_of
from weighthouse.identity.api.workloads import authenticate_workload
from weighthouse.identity.events import CredentialRefused, SessionUsedElsewhere
from weighthouse.identity.model import SESSION_TOUCH, Arrival, Credential, PrincipalState, Session
from weighthouse.identity.rules.arrival import family_of, origin_of
from weighthouse.identity.rules.proof import Proof, check_proof
from weighthouse.identity.store import devices as device_store
from weighthouse.identity.store import sessions as store
from weighthouse.policy import api as policy


def authenticate(unit: Unit, credential: Credential, *, use: bool = True) -> Caller:
    """Return who is asking, or raise `identity.*` (Unauthenticated). Call it first in a unit of its own.

    Without `use` it does not keep a session from ending idle: nobody sits before a page that asks by itself.
    A session that is presented without what it is bound to is ended: at once in the memory outside the database, and
    in the database by this call when `unit` only reads, else by the next run of the `identity-tidy` timer.
    """
    try:
        return _judge(unit, credential, use)
    except WeighthouseError as refusal:
        if unit.read_only and refusal.record:  # a unit that only reads would forget the line
            with begin(unit.system, request_id=unit.request_id) as own:
                for event in refusal.record:
                    audit.append(own, event)
            refusal.record = ()
        raise


def _judge(unit: Unit, credential: Credential, use: bool) -> Caller:
    if credential.kind == "workload":
        return authenticate_workload(unit, credential)
    session = _session(unit, credential)
    _check_life(unit, session, credential.address)
    state = state_of(unit, session.person)
    if session.id not in state.sessions or session.epoch != state.epoch or state.frozen_at is not None:
        raise over(unit, session.id, session.person, credential.address)
    entry = policy.current(unit).lab.people.get(session.person)
    if entry is None or not entry.active:
        raise Unauthenticated("identity.not_admitted", "This account is not admitted here.", "Ask your manager.")
    if not vouched(unit, session.person, session.account, state):
        raise _account_gone(unit, session, credential)
    if credential.kind == "dpop":
        _check_token(unit, session, credential)
    else:
        _check_browser(unit, session, credential)
    session = settle(unit, session, credential.address)
    if use:
        _touch(unit, session)
    return caller_of(unit, session, state, address=credential.address, user_agent=credential.user_agent)


def _account_gone(unit: Unit, session: Session, credential: Credential) -> Unauthenticated:
    """Policy took the account that proved this session from its person: the session is nobody, and is ended."""
    gone = End(session=session.id, by="system", reason=ends.ACCOUNT, foreign=True, at=unit.now)
    ends.remember(memory(unit.system), gone, session.ends)
    refusal = Unauthenticated(
        "identity.account_moved",
        "The account that this session was opened with is no longer this person's.",
        "Sign in with an account that the lab names as yours.",
    )
    return _refusal(unit, session, credential, refusal)


def _session(unit: Unit, credential: Credential) -> Session:
    secret = digest_of(credential.value)
    row = store.by_secret(unit.conn, secret)
    if row is None or memory(unit.system).condemned(replaced(secret)):
        raise unknown(unit, credential.value, credential.address)
    session = unseal(unit, "session", row.body, row.seal, Session)
    if session is None or session.id != row.id or session.secret != secret:
        raise refused("session", row.id, "the seal does not hold")
    return session


def _check_life(unit: Unit, session: Session, address: str) -> None:
    if session.ended is not None or is_over(unit, session):
        raise over(unit, session.id, session.person, address)
    if expired(unit, session):
        raise Unauthenticated("identity.session_expired", "This session has run out.", AGAIN)


def _refusal(unit: Unit, session: Session, credential: Credential, error: Unauthenticated) -> Unauthenticated:
    line = CredentialRefused(
        subject_id=session.id,
        principal=session.person,
        code=error.code,
        origin=mark_of_origin(unit, credential.address),
        address=credential.address,
    )
    return Unauthenticated(error.code, error.message, error.remedy, record=[line])


def _check_token(unit: Unit, session: Session, credential: Credential) -> None:
    if session.binding != "dpop":  # a stolen cookie does not turn into a token
        _used_elsewhere(unit, session, credential, "kind of credential")
    try:
        proof = check_proof(
            credential.proof,
            method=credential.method,
            url=credential.url,
            token=credential.value,
        )
        if proof.key == session.key:
            check_first_use(unit.system, proof)
    except Unauthenticated as error:
        raise _refusal(unit, session, credential, error) from error
    if proof.key != session.key:
        _used_elsewhere(unit, session, credential, "key")
    _check_fresh(unit, session, credential, proof)


def _check_fresh(unit: Unit, session: Session, credential: Credential, proof: Proof) -> None:
    """Ask for a proof with a newer nonce. That is no news, unless nothing but old proofs comes from there."""
    who = f"{session.id} {origin_of(credential.address)}"
    try:
        check_nonce(unit.system, proof.nonce)
    except Unauthenticated as error:
        if went_unanswered(unit.system, who):
            answered(unit.system, who)  # one line for each time that it went on for a while
            raise _refusal(unit, session, credential, error) from error
        raise
    answered(unit.system, who)


def _check_browser(unit: Unit, session: Session, credential: Credential) -> None:
    if session.binding != "browser":
        _used_elsewhere(unit, session, credential, "kind of credential")
    changed = _other_browser(unit, session, credential)
    if changed:
        _used_elsewhere(unit, session, credential, changed)


def _other_browser(unit: Unit, session: Session, credential: Credential) -> str:
    """What of the browser is another than the session's, empty if it is the same.

    Address and self-description are easily imitated, and change honestly; the mark is a secret of this one browser.
    """
    if session.device_mark != f"browser:{mark(unit, 'browser', credential.device_mark)}":
        return "browser mark"
    return "browser" if family_of(credential.user_agent) != family_of(session.user_agent) else ""


def end_former(unit: Unit, arrival: Arrival, *, by: str) -> None:
    """End the session whose cookie a browser still brings when it signs in anew as `by`; nobody else would.

    It is judged like any use: a cookie that another browser brings is a stolen one, and is told as that.
    """
    row = store.by_secret(unit.conn, digest_of(arrival.session_secret))
    former = unseal(unit, "session", row.body, row.seal, Session) if row else None
    if former is None or former.binding != "browser" or former.secret != digest_of(arrival.session_secret):
        return
    if former.ended is not None or is_over(unit, former):
        for line in over(unit, former.id, former.person, arrival.address).record:
            audit.append(unit, line)
        return
    presented = Credential(
        kind="cookie",
        value=arrival.session_secret,
        address=arrival.address,
        user_agent=arrival.user_agent,
        device_mark=arrival.device_mark,
    )
    changed = _other_browser(unit, former, presented)
    if changed:
        end_used_elsewhere(unit, former, changed)
        audit.append(unit, _elsewhere(unit, former, presented, changed))
        return
    with suppress(Unauthenticated):  # where policy ends what leaves its country, it has done so, with its line
        settle(unit, former, arrival.address)
    end_session(unit, former.id, ends.ANEW, by)


def _elsewhere(unit: Unit, session: Session, credential: Credential, changed: str) -> SessionUsedElsewhere:
    return SessionUsedElsewhere(
        session=session.id,
        principal=session.person,
        changed=changed,
        origin=mark_of_origin(unit, credential.address),
        address=credential.address,
        user_agent=credential.user_agent,
    )


def _used_elsewhere(unit: Unit, session: Session, credential: Credential, changed: str) -> NoReturn:
    line = _elsewhere(unit, session, credential, changed)
    record: list[Event] = [line]
    first_word(unit, session.id)  # knocking again adds nothing to this line for a while
    ends.remember(memory(unit.system), ends.elsewhere(session.id, changed, unit.now), session.ends)
    if unit.read_only:
        with begin(unit.system, request_id=unit.request_id) as own:
            end_used_elsewhere(own, session, changed)
            audit.append(own, line)
        record = []
    raise Unauthenticated(
        "identity.session_used_elsewhere",
        f"This session was presented with another {changed} than it belongs to, so it has been ended.",
        "Sign in again. If you did not move, tell security: somebody else holds your session.",
        record=record,
    )


def end_used_elsewhere(unit: Unit, session: Session, changed: str) -> None:
    """End a session that was presented without what it is bound to, in the memory at once."""
    end = ends.elsewhere(session.id, changed, unit.now)
    keep_end(unit, end, session.ends, session.person, session.device_mark)
    drop(unit, session.person, frozenset({session.id}))
    write_end(unit, session, end)


def _touch(unit: Unit, session: Session) -> None:
    """Note the last use, unless the row has changed since it was read: somebody may have ended or raised it.

    To read is enough to know who asks, so nothing of this refuses. Attack: lock the table of sessions, so that
    whoever would stop something is turned away here. What the row cannot take, this process remembers.
    """
    idle = unit.system.settings.integer("identity.idle_s") * SECOND
    if unit.now - last_seen(unit, session) < min(SESSION_TOUCH, idle // 10):
        return
    memory(unit.system).saw(session.id, unit.now)
    seen = msgspec.structs.replace(session, seen=unit.now)
    if not unit.read_only:
        briefly(unit, lambda: rewrite(unit, seen, was=session), lambda: None)
        return
    with suppress(Unavailable), begin(unit.system) as own:
        within_a_moment(own)
        rewrite(own, seen, was=session)


def caller_of(unit: Unit, session: Session, state: PrincipalState, *, address: str, user_agent: str) -> Caller:
    """Return the caller that a session stands for; a token's key is also their device if they have enrolled it."""
    device = None
    if session.key and state.devices:
        found = device_store.device_of_key(unit.conn, session.key)
        if found and found[1] == session.person and found[0] in living(unit, state):
            device = DeviceId(found[0])
    return Caller(
        principal=PrincipalId(session.person),
        kind="person",
        session=session.id,
        account=session.account or state.adopted,
        assurance=Assurance(session.assurance.level, session.assurance.at, session.assurance.method),
        binding=session.binding,
        device=device,
        address=address,
        user_agent=user_agent,
        life=Life(mark=session.device_mark, began=session.created, epoch=session.epoch),
    )
