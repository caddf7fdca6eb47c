"""The walk from "who are you" to a session, and from a session to a fresh second factor.

Guards from forged callbacks, mixed-up providers, replayed codes, fixed sessions and stolen passwords. The provider is
asked outside of any unit of work: a slow provider holds no lock. A begun attempt is taken by exactly one callback,
before the provider is asked; the session and its log entry commit together, after every check.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import NoReturn

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import Assurance
from weighthouse.core.errors import Denied, Unauthenticated, WeighthouseError
from weighthouse.core.work import System, Unit, begin
from weighthouse.identity.api.acts import factor_given
from weighthouse.identity.api.authentication import caller_of, end_former
from weighthouse.identity.api.directory import person_for
from weighthouse.identity.api.freshness import check_first_use, check_nonce, check_nonce_first
from weighthouse.identity.api.marks import fresh_mark
from weighthouse.identity.api.once import first_spent
from weighthouse.identity.api.results import assess, clean, distrusts, failed, learn, place_of, stopped_since
from weighthouse.identity.api.sealing import mark, mark_of_origin, memory, refused, unseal
from weighthouse.identity.api.sessions import digest_of, fresh_secret, open_session, replaced, rewrite, rotated_out
from weighthouse.identity.api.stale import first_word
from weighthouse.identity.api.starting import (
    AGAIN,
    Kept,
    draft_of,
    keep_in,
    live_session,
    nonce_of,
    provider_of,
    refuse,
    sent,
)
from weighthouse.identity.api.states import lock, state_of
from weighthouse.identity.events import SignInDenied, SignInFailed, StepUpDemanded, StepUpDone
from weighthouse.identity.model import (
    START_LIFE,
    Arrival,
    Place,
    Session,
    SignedIn,
    SignInResult,
    SignInStart,
    Start,
)
from weighthouse.identity.ports import Redeemed
from weighthouse.identity.rules.arrival import family_of
from weighthouse.identity.rules.compact import open_token
from weighthouse.identity.rules.id_token import Asked, Claimed, verify_id_token
from weighthouse.identity.rules.proof import check_proof
from weighthouse.identity.rules.risk import Verdict
from weighthouse.identity.store import sign_ins as store
from weighthouse.policy import api as policy

SEVERAL = "."
"""Stands between the secrets of the attempts that one browser has begun in several tabs."""
MOST_BEGUN = 4
METHOD = "step-up at the provider"


def finish_sign_in(
    system: System, transaction: str, params: Mapping[str, str], arrival: Arrival
) -> SignedIn | SignInStart:
    """Finish a sign-in or step-up with what the provider sent back.

    Returns the session with its secret, or where to go for the second factor that the risk check demands. Raises
    `identity.*`, and the attempt is used up. Every refusal of somebody whom the provider vouched for is in the log
    once; those that anybody can bring about are told once a minute for an origin.
    """
    if arrival.proof:  # before the attempt is used up: a client that is asked for a newer proof comes again
        check_nonce_first(system, arrival.proof)
    with begin(system) as unit:
        start = _take(unit, transaction, params, arrival)
    vouched = False
    try:
        redeemed = _redeem(system, start, params, arrival)
        vouched = True
        claimed = _claimed(system, start, redeemed, params["code"])
    except WeighthouseError as error:
        with begin(system) as unit:  # nobody needs a name to get as far as a token: a flood writes one line a minute
            if vouched or first_word(unit, f"{error.code} {mark_of_origin(unit, arrival.address)}"):
                audit.append(unit, _failure(unit, error.code, arrival))
        raise
    with begin(system) as unit:  # of its own: what is refused below has spent the factor all the same
        new = claimed.level > 1 and claimed.own and first_spent(unit, _account_of(claimed), claimed.auth_time)
    with begin(system) as unit:
        done = _admit(unit, start, claimed, arrival, new)
    return sent(system, done) if isinstance(done, Kept) else done


def _failure(unit: Unit, code: str, arrival: Arrival) -> SignInFailed:
    result = SignInResult(
        issuer="",
        subject="",
        address=arrival.address,
        user_agent=arrival.user_agent,
        outcome="failure",
        reason=code,
        event_id="",
    )
    return failed(unit, "", result, source="callback")


def _turn_away(unit: Unit, arrival: Arrival, code: str, message: str) -> NoReturn:
    """Refuse inside a unit; the line for the log is committed though the unit rolls back."""
    line = _failure(unit, code, arrival)
    raise Unauthenticated(code, message, AGAIN, record=[line])


def _strange(unit: Unit, arrival: Arrival, code: str, message: str) -> NoReturn:
    """Refuse an answer to no attempt that is under way: one line a minute for an origin, for a flood."""
    if first_word(unit, f"{code} {mark_of_origin(unit, arrival.address)}"):
        _turn_away(unit, arrival, code, message)
    raise Unauthenticated(code, message, AGAIN)


def _take(unit: Unit, transaction: str, params: Mapping[str, str], arrival: Arrival) -> Start:
    """Take the begun attempt out of the database: by its secret AND its state, and for one callback only."""
    begun = [start for one in transaction.split(SEVERAL)[-MOST_BEGUN:] if (start := _begun(unit, one))]
    if not begun:
        _strange(unit, arrival, "identity.start_unknown", "This sign-in was not begun here, or has been used.")
    state = params.get("state", "").encode("utf-8", "replace")
    start = next((one for one in begun if hmac.compare_digest(state, one.state.encode())), None)
    if start is None:
        _strange(unit, arrival, "identity.state_mismatch", "The answer belongs to another sign-in than this.")
    if not store.take_start(unit.conn, start.secret):
        _strange(unit, arrival, "identity.start_unknown", "This sign-in has been used.")
    if unit.now >= start.expires:
        _strange(unit, arrival, "identity.start_expired", "This sign-in took longer than ten minutes.")
    return start


def _begun(unit: Unit, transaction: str) -> Start | None:
    row = store.read_start(unit.conn, digest_of(transaction)) if transaction else None
    if row is None:
        return None
    start = unseal(unit, "start", row[0], row[1], Start)
    if start is None or start.secret != digest_of(transaction):
        raise refused("start", "", "the seal does not hold")
    return start


def _redeem(system: System, start: Start, params: Mapping[str, str], arrival: Arrival) -> Redeemed:
    """Have the provider give its tokens for what came back in this attempt."""
    provider = provider_of(system)
    profile = provider.profile()
    if start.issuer != profile.issuer:
        refuse("identity.issuer_mixed_up", "The identity provider was changed while this sign-in was under way.")
    if params.get("iss", profile.issuer) != profile.issuer or (profile.announces_iss and "iss" not in params):
        refuse("identity.issuer_mixed_up", "The answer came from another identity provider (RFC 9207).")
    if "error" in params:
        refuse("identity.provider_refused", f"The identity provider said no: {clean(params['error'], 60)}.")
    if start.key:
        proof = check_proof(arrival.proof, method=arrival.method, url=arrival.url, token=None)
        if proof.key != start.key:
            refuse("identity.proof_refused", "The proof is not by the key that began this.")
        check_first_use(system, proof)
        check_nonce(system, proof.nonce)
    code, tick = params.get("code", ""), system.clock.monotonic()
    used = memory(system).first_use(f"code {digest_of(code)}", keep_until=tick + START_LIFE, now=tick)
    if not code or len(code) > 4096 or not used:
        refuse("identity.code_refused", "The answer holds no fresh code.")
    return provider.redeem(code=code, verifier=start.verifier, redirect_uri=start.redirect_uri)


def _claimed(system: System, start: Start, redeemed: Redeemed, code: str) -> Claimed:
    """Read what the provider vouches for; its token is believed in nothing that is not checked."""
    provider = provider_of(system)
    asked = Asked(
        nonce=nonce_of(start),
        now=system.clock.now(),  # after the answer: the provider's clock is measured against it
        level=start.level,
        begun=start.created,
        access_token=redeemed.access_token,
        code=code,
    )
    key = provider.key(open_token(redeemed.id_token).kid)
    return verify_id_token(redeemed.id_token, key, provider.profile(), asked)


def _account_of(claimed: Claimed) -> str:
    return policy.account_ref(claimed.issuer, claimed.subject)


def _admit(unit: Unit, start: Start, claimed: Claimed, arrival: Arrival, new: bool) -> SignedIn | Kept:
    person = person_for(unit, claimed.issuer, claimed.subject)
    if person is None or not person.active or person.frozen:
        why = "unknown" if person is None else ("frozen" if person.frozen else "inactive")
        _deny(unit, person.id if person else "", (why,), claimed, arrival)
    if start.person and start.person != person.id:
        _deny(unit, person.id, ("second factor by another person",), claimed, arrival)
    account = _account_of(claimed)
    if start.account and start.account != account:
        _deny(unit, person.id, ("second factor by another account",), claimed, arrival)
    _check_not_stopped(unit, start, arrival, person.id)
    claimed = _counted_once(unit, start, claimed, new, arrival)
    if start.purpose == "step_up":
        return _raise_session(unit, start, claimed, arrival)
    place = place_of(unit, arrival.address)
    device = start.key or _browser(unit, arrival, person.id)
    verdict = assess(
        unit,
        person=person.id,
        account=account,
        address=arrival.address,
        place=place,
        device=device,
        level=claimed.level,
    )
    if verdict.outcome == "deny":
        _deny(unit, person.id, verdict.codes(), claimed, arrival)
    if verdict.outcome == "step_up":
        return _demand(unit, msgspec.structs.replace(start, person=person.id, account=account), verdict, arrival)
    return _open(unit, start, claimed, arrival, person.id, place, device, verdict)


def _check_not_stopped(unit: Unit, start: Start, arrival: Arrival, person: str) -> None:
    if stopped_since(unit, person, start.key or _mark_of(unit, arrival), start.created):
        _turn_away(
            unit, arrival, "identity.start_stopped", "This sign-in was begun before a stop, so it is over too."
        )


def _lock_unstopped(unit: Unit, start: Start, arrival: Arrival, person: str) -> None:
    """Lock the state of whose session is opened or raised, and judge it again: a stop may have committed since the
    first look, and nobody is signed in under the epoch that the stop began.
    """
    lock(unit, person)
    _check_not_stopped(unit, start, arrival, person)
    if state_of(unit, person).frozen_at is not None:
        _turn_away(unit, arrival, "identity.start_stopped", "This sign-in was under way as a stop came.")


def _mark_of(unit: Unit, arrival: Arrival) -> str:
    return f"browser:{mark(unit, 'browser', arrival.device_mark)}" if arrival.device_mark else ""


def _browser(unit: Unit, arrival: Arrival, person: str) -> str:
    """The browser that this is; none if it has no mark, or one that was in hands that were ended: it gets another."""
    device = _mark_of(unit, arrival)
    return "" if distrusts(unit, person, device) else device


def _counted_once(unit: Unit, start: Start, claimed: Claimed, new: bool, arrival: Arrival) -> Claimed:
    """Return what the token is good for here: a second factor counts in an attempt that asked for one, and once.

    A plain attempt is worth a plain sign-in, whatever its token says: whoever holds somebody's session at the
    provider can begin one, wait until a factor is given to another application, and come back with that one. What an
    attempt asks for is sealed with it here. A factor that was used, or shown to a plain attempt, is no `new` one
    (`once.first_spent`); only a later one counts after it.
    """
    if claimed.level < 2:
        return claimed
    if start.level < 2:
        return msgspec.structs.replace(claimed, level=1)
    if not new:
        _turn_away(unit, arrival, "identity.factor_spent", "This second factor has been used for something already.")
    return claimed


def _deny(unit: Unit, person: str, reasons: tuple[str, ...], claimed: Claimed, arrival: Arrival) -> NoReturn:
    """One answer for unknown, inactive, frozen and too risky: the difference is for the log, not for the thief."""
    line = SignInDenied(
        principal=person,
        reasons=reasons,
        origin=mark_of_origin(unit, arrival.address),
        account=clean(claimed.subject, 255),
        address=clean(arrival.address, 64),
        user_agent=clean(arrival.user_agent, 512),
    )
    raise Denied(
        "identity.not_admitted",
        "This sign-in is not admitted.",
        "Ask your manager or security; they can read the reason in the log.",
        record=[line],
    )


def _demand(unit: Unit, start: Start, verdict: Verdict, arrival: Arrival) -> Kept:
    audit.append(
        unit,
        StepUpDemanded(principal=start.person, reasons=verdict.codes(), origin=mark_of_origin(unit, arrival.address)),
    )
    draft = draft_of(
        purpose="sign_in",
        issuer=start.issuer,
        redirect_uri=start.redirect_uri,
        return_to=start.return_to,
        key=start.key,
    )
    reasons = tuple(reason.text for reason in verdict.reasons)
    return keep_in(unit, msgspec.structs.replace(draft, level=2, person=start.person, account=start.account), reasons)


def _open(
    unit: Unit,
    start: Start,
    claimed: Claimed,
    arrival: Arrival,
    person: str,
    place: Place | None,
    device: str,
    verdict: Verdict,
) -> SignedIn:
    device_mark = "" if start.key else arrival.device_mark  # shown again, so that it does not run out under a session
    if not device:
        device_mark = fresh_mark(unit.system)
        device = f"browser:{mark(unit, 'browser', device_mark)}"
    if arrival.session_secret:
        end_former(unit, arrival, by=person)
    learn(
        unit,
        person=person,
        account=f"{claimed.issuer} {claimed.subject}",
        ref=_account_of(claimed),
        address=arrival.address,
        place=place,
        device=device,
    )
    _lock_unstopped(unit, start, arrival, person)
    session, secret = open_session(
        unit,
        person=person,
        binding="dpop" if start.key else "browser",
        key=start.key,
        address=arrival.address,
        network=place.network if place else "",
        country=place.country if place else "",
        user_agent=arrival.user_agent,
        device_mark=device,
        assurance=_assurance(unit, claimed),
        account=_account_of(claimed),
        reasons=verdict.codes(),
    )
    return _signed_in(unit, session, secret, start, arrival, device_mark)


def _assurance(unit: Unit, claimed: Claimed) -> Assurance:
    at = min(unit.now, claimed.auth_time * 1000) if claimed.auth_time else unit.now
    return Assurance(claimed.level, at, "provider, second factor" if claimed.level > 1 else "provider")


def _signed_in(
    unit: Unit, session: Session, secret: str, start: Start, arrival: Arrival, device_mark: str = ""
) -> SignedIn:
    state = state_of(unit, session.person)
    return SignedIn(
        session=session,
        secret=secret,
        caller=caller_of(unit, session, state, address=arrival.address, user_agent=arrival.user_agent),
        return_to=start.return_to,
        device_mark=device_mark,
    )


def _raise_session(unit: Unit, start: Start, claimed: Claimed, arrival: Arrival) -> SignedIn:
    _lock_unstopped(unit, start, arrival, start.person)
    session = live_session(unit, start.session)
    if session is None:
        _turn_away(unit, arrival, "identity.session_ended", "The session that was to be raised has ended.")
    came = f"browser:{mark(unit, 'browser', arrival.device_mark)}"
    here = (came, family_of(arrival.user_agent), digest_of(arrival.session_secret))
    bound = (session.device_mark, family_of(session.user_agent), session.secret)
    if session.person != start.person or (session.binding == "browser" and here != bound):
        _turn_away(unit, arrival, "identity.step_up_other_session", "Another session asked for the second factor.")
    secret = fresh_secret("wht_" if session.binding == "dpop" else "whs_")
    raised = msgspec.structs.replace(
        session, assurance=_assurance(unit, claimed), secret=digest_of(secret), seen=unit.now
    )
    rewrite(unit, raised)
    kept, rotated = memory(unit.system), rotated_out(session, unit.now)
    unit.before_commit(lambda: kept.condemn(rotated, session.ends))
    unit.last_before_commit(lambda: kept.condemn(replaced(session.secret), session.ends))
    audit.append(
        unit,
        StepUpDone(
            session=session.id,
            principal=session.person,
            level=raised.assurance.level,
            method=raised.assurance.method,
        ),
    )
    done = _signed_in(unit, raised, secret, start, arrival)
    if start.acts:
        factor_given(unit, done.caller, start.acts, method=METHOD, at=raised.assurance.at)
    return done
