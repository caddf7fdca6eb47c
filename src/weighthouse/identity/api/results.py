"""What came of sign-ins: history for the risk check, failures for the spray rule. Guards both from being edited.

Only sign-ins that led to a session are learnt from, and only rows with our seal; a row put in by hand makes nobody's
device familiar. Addresses and accounts are kept as keyed marks.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.clock import Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import Unit
from weighthouse.identity.api.key_sessions import enrolled_as
from weighthouse.identity.api.moments import covers, everything, stopped
from weighthouse.identity.api.sealing import mark, mark_of_origin, memory, seal, unseal
from weighthouse.identity.api.sessions import distrusted, stopped_name
from weighthouse.identity.api.states import state_of
from weighthouse.identity.events import SignInFailed
from weighthouse.identity.model import HISTORY, SPRAY_WINDOW, Place, SignInResult
from weighthouse.identity.ports import Places
from weighthouse.identity.rules.risk import LAB_IS_KNOWN, Around, Attempt, Success, Verdict, judge
from weighthouse.identity.store import sign_ins as store
from weighthouse.identity.store.devices import device_of_key
from weighthouse.policy import api as policy

log = logging.getLogger("weighthouse.identity")


class Learnt(msgspec.Struct, frozen=True):
    """A success as its sealed row keeps it; person and account are inside the seal, so that no history changes its
    owner. One without an account is from before accounts were kept."""

    person: str
    success: Success
    account: str = ""


def record_sign_in(unit: Unit, result: SignInResult) -> bool:
    """Record a result that a provider reports; False if this very report has been recorded before.

    A success at the provider is not a session here, so it is kept for counting only and never learnt from.
    """
    name = f"{result.issuer} {result.event_id}"
    report = mark(unit, "report", name)
    if store.known_result(unit.conn, report):
        return False
    account = mark_of_account(unit, result.issuer, result.subject)
    origin = mark_of_origin(unit, result.address)
    entry = policy.current(unit).lab.person_of_account(result.issuer, result.subject)
    person = entry.id if entry else ""
    outcome = "vouched" if result.outcome == "success" else "failure"
    store.insert_result(
        unit.conn, result=report, at=unit.now, outcome=outcome, person=person, account=account, origin=origin
    )
    if outcome == "failure":
        audit.append(unit, failed(unit, person, result, source="provider"))
    return True


def mark_of_account(unit: Unit, issuer: str, subject: str) -> str:
    """Return the keyed mark that all spellings of an account share, so that nobody is five people by their typing.

    For counting only: who an account belongs to is decided by its exact bytes.
    """
    spelt = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", subject).casefold()).strip()
    return mark(unit, "account", f"{issuer} {spelt}")


def failed(unit: Unit, person: str, result: SignInResult, *, source: str) -> SignInFailed:
    """Return the fact of a failed sign-in. Texts from outside are cut and stripped of control characters."""
    return SignInFailed(
        principal=person,
        account_mark=mark_of_account(unit, result.issuer, result.subject) if result.subject else "",
        reason=clean(result.reason, 80),
        source=source,
        origin=mark_of_origin(unit, result.address),
        account=clean(result.subject, 255),
        address=clean(result.address, 64),
        user_agent=clean(result.user_agent, 512),
    )


def clean(text: str, longest: int) -> str:
    """Return a text from outside as one printable line, so that nobody writes their own line into a log."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:longest])


def learn(unit: Unit, *, person: str, account: str, ref: str, address: str, place: Place | None, device: str) -> None:
    """Keep a sign-in that led to a session, under a seal."""
    success = Success(
        at=unit.now,
        device=device,
        network=place.network if place else "",
        country=place.country if place else "",
        spot=place.spot if place else None,
    )
    body, code = seal(unit, "result", Learnt(person, success, ref))
    store.insert_result(
        unit.conn,
        result=new_id("sgn"),
        at=unit.now,
        outcome="success",
        person=person,
        account=mark(unit, "account", account),
        origin=mark_of_origin(unit, address),
        country=success.country,
        body=body,
        seal=code,
    )


def place_of(unit: Unit, address: str) -> Place | None:
    """Return where an address is, None when the facts could not be had (which asks for a second factor)."""
    try:
        return unit.part(Places).place(address)
    except (WeighthouseError, OSError, ValueError, LookupError) as error:
        log.warning("address facts failed: %s", type(error).__name__)
        return None


def _learnt(unit: Unit, person: str) -> Iterator[Learnt]:
    """Yield what a person's sign-ins have taught, as far as their rows are believed."""
    for body, code in store.successes(unit.conn, person, since=unit.now - HISTORY):
        learnt = unseal(unit, "result", body, code, Learnt)
        if learnt is not None and learnt.person == person:
            yield learnt


def stopped_since(unit: Unit, person: str, device: str, begun: Millis) -> bool:
    """Whether everything of a person, or this key or browser, was stopped after something had begun."""
    if covers(unit, everything(person), state_of(unit, person).stopped, begun):
        return True
    return stopped(unit, stopped_name(person), begun) or (bool(device) and stopped(unit, distrusted(device), begun))


def distrusts(unit: Unit, person: str, device: str) -> bool:
    """Whether a browser's mark was in hands that were ended, or in use before its person's everything was stopped."""
    if memory(unit.system).version(distrusted(device)):
        return True
    until = state_of(unit, person).stopped
    known = (one.success for one in _learnt(unit, person)) if until else ()
    return any(one.device == device and covers(unit, everything(person), until, one.at) for one in known)


def assess(
    unit: Unit, *, person: str, account: str, address: str, place: Place | None, device: str, level: int
) -> Verdict:
    """Judge a sign-in by the risk rules over this account's history and what happens around it.

    What another account of the same id has made familiar says nothing: it may have been another human being's.
    """
    since = unit.now - HISTORY
    state = state_of(unit, person)
    adopted = state.adopted
    row = device_of_key(unit.conn, device)
    enrolled = {row[0]} if row is not None else enrolled_as(unit, device)
    if enrolled - {*state.devices}:
        device = ""  # a key that was ended or set aside is nobody's known device, however often it has signed in
    history = []
    for learnt in _learnt(unit, person):
        until = state.stopped
        if (learnt.account or adopted) != account or covers(unit, everything(person), until, learnt.success.at):
            continue  # who had signed out when everything was stopped is no more familiar than who had not
        if not stopped(unit, distrusted(learnt.success.device), learnt.success.at):
            history.append(learnt.success)  # what a key or browser made familiar before it was distrusted is not
    country = place.country if place else ""
    total, seen = store.lab_has_seen(unit.conn, country, since=since, enough=LAB_IS_KNOWN)
    failing = store.failing_accounts(unit.conn, mark_of_origin(unit, address), since=unit.now - SPRAY_WINDOW)
    around = Around(failing_people=failing, lab_sign_ins=total, country_seen=seen)
    return judge(Attempt(at=unit.now, device=device, place=place, level=level), history, around)
