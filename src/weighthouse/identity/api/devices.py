"""Devices: keys that sign votes. Guards approvals from keys that nobody proved to be a person's own.

A device counts only with a certificate by a key outside the database, while its person's sealed state lists it. A row
that somebody inserted, or one that was ended, signs nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NoReturn

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import encode
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound, Unauthenticated, WeighthouseError
from weighthouse.core.ids import DeviceId, new_id
from weighthouse.core.signing import Signers, verify_ed25519
from weighthouse.core.work import Unit
from weighthouse.identity.api import owing
from weighthouse.identity.api.accounts import account_holds, vouched
from weighthouse.identity.api.acts import require_act
from weighthouse.identity.api.addressed import audience, outdated
from weighthouse.identity.api.ends import ACCOUNT_GONE, FOREIGN, KEY_ENDED, KEY_FELL, KEY_RETIRED, OWN, key_name
from weighthouse.identity.api.key_sessions import EnrolledKey, key_told, sessions_with, was_enrolled
from weighthouse.identity.api.new_keys import (
    at_once,
    check_grown,
    counts_from,
    without_guardian,
)
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.api.sessions import (
    end_mark,
    end_session,
    end_sessions_of,
    end_sessions_of_key,
    name_of,
    over_for_good,
)
from weighthouse.identity.api.states import STANDS, change_state, state_of, version_now
from weighthouse.identity.api.then import check_counted_then
from weighthouse.identity.api.under_way import used_key
from weighthouse.identity.api.vouchers import rests_on, taken_back, with_voucher
from weighthouse.identity.events import DeviceEnded, DeviceEnrolled, RecordRefused
from weighthouse.identity.model import Act, Device, PrincipalState, Voucher
from weighthouse.identity.rules.jwks import device_key, thumbprint
from weighthouse.identity.rules.signature import verify_es256
from weighthouse.identity.store import devices as store

MAX_DEVICES = 20


def _statement(device: Device) -> bytes:
    """What the certificate is over. Forms 1 and 2, of before accounts, then sessions, were kept, still hold."""
    said: dict[str, str | int] = {
        "v": 3 if device.session else 2 if device.account else 1,
        "device": device.id,
        "person": device.person,
        "thumbprint": device.thumbprint,
        "at": device.at,
    }
    if device.session:
        said["session"] = device.session
    return encode({**said, "account": device.account} if device.account else said)


def thumbprint_of(jwk: dict[str, str]) -> str:
    """Return the RFC 7638 name of a P-256 public key; raises `identity.bad_key`."""
    return thumbprint(device_key(jwk).jwk)


def possession(person: str, jwk: dict[str, str], audience: str) -> bytes:
    """Return what a new device signs to show that it holds its key: server, person and thumbprint, canonically."""
    said = {"type": "weighthouse/enrol-key/2", "audience": audience, "person": person}
    return encode({**said, "thumbprint": thumbprint(device_key(jwk).jwk)})


def _check_possession(unit: Unit, person: str, jwk: dict[str, str], proof: bytes) -> None:
    if verify_es256(jwk, proof, possession(person, jwk, audience(unit.system))):
        return
    if verify_es256(jwk, proof, encode({"enrol": person, "thumbprint": thumbprint(jwk)})):
        raise outdated()
    raise Invalid("identity.bad_key", "The proof is not by the key to be enrolled, for here.", "Sign with that key.")


def _check_account(unit: Unit, caller: Caller) -> None:
    if not caller.account or not account_holds(unit, caller.principal, caller.account):
        raise Unauthenticated("identity.account_moved", "Your account is not yours any more.", "Sign in again.")


def enrol_device(unit: Unit, caller: Caller, jwk: dict[str, str], name: str, *, proof: bytes | None = None) -> Device:
    """Enrol a P-256 key for the caller, who has given a second factor for exactly that.

    `proof` is the key's signature over `possession`; the HTTP door always demands it. Raises `identity.bad_key`,
    `identity.device_taken`, `identity.statement_outdated`, `identity.act_unconfirmed`.
    """
    _check_account(unit, caller)
    if not 1 <= len(name) <= 80 or visible.line_problem(name):
        raise Invalid("identity.bad_name", "A device's name has 1 to 80 printable characters.", "Choose another.")
    key = device_key(jwk)
    if proof is not None:
        _check_possession(unit, caller.principal, key.jwk, proof)
    taken = store.device_of_key(unit.conn, thumbprint(key.jwk)) is not None
    if taken or was_enrolled(unit, thumbprint(key.jwk)):  # a row may be taken away, and the key be a stolen one
        raise Conflict("identity.device_taken", "This key is or was enrolled already.", "Make a fresh key.")
    require_act(unit, caller, Act(type="device.enrol", subject=thumbprint(key.jwk)))
    device = Device(
        id=DeviceId(new_id("dev")),
        person=caller.principal,
        name=name,
        jwk=key.jwk,
        thumbprint=thumbprint(key.jwk),
        at=unit.now,
        account=caller.account,
        session=str(caller.session or ""),
    )

    def listed(state: PrincipalState) -> PrincipalState:
        if len(state.devices) + len(state.suspended) >= MAX_DEVICES:
            raise Conflict("identity.too_many_devices", f"A person has at most {MAX_DEVICES} devices.", "End one.")
        watching = _watching(unit, state, device)
        first = state.first if watching else (*state.first, device.id)
        listed = msgspec.structs.replace(state, devices=(*state.devices, device.id), first=first)
        return with_voucher(listed, *watching)

    left = change_state(unit, caller.principal, listed)
    certificate = unit.part(Signers).signer("device").sign(_statement(device))
    store.insert_device(
        unit.conn,
        device=device.id,
        person=device.person,
        thumbprint=device.thumbprint,
        body=encode(msgspec.to_builtins(device)).decode(),
        certificate=certificate,
    )
    audit.append(unit, _enrolled(device, left))
    return device


def _watching(unit: Unit, state: PrincipalState, device: Device) -> list[Voucher]:
    """The keys that count while this one is enrolled: it grows up under their eyes, and waits with them if they fall
    with what they rest on."""
    found = list[Voucher]()
    for key in sorted(counting(unit, state)):
        rests = rests_on(unit, state, read_back(unit, key))
        told = Voucher(
            device=device.id,
            act="beside",
            by=device.person,
            session=device.session,
            at=device.at,
            key=key,
            rests=rests,
        )
        found.append(told)
    return found


def _enrolled(device: Device, state: PrincipalState) -> DeviceEnrolled:
    return DeviceEnrolled(
        device=device.id,
        principal=device.person,
        thumbprint=device.thumbprint,
        name=device.name,
        session=device.session,
        beside=tuple(one.key for one in state.vouchers if one.device == device.id),
    )


def _refuse(device: str, why: str) -> NoReturn:
    raise Denied(
        "identity.device_not_certified",
        "This device does not carry this server's certificate, so nothing it signs counts.",
        "Enrol the device again; tell security if you did not touch it.",
        record=[RecordRefused(table="device", row=device, why=why)],
    )


def device(unit: Unit, device_id: str) -> Device:
    """Return a live, certified device of an account that still is its person's.

    Raises `identity.device_unknown` or `identity.device_not_certified`.
    """
    found = read_back(unit, device_id)
    state = state_of(unit, found.person)
    if device_id not in living(unit, state):
        raise NotFound("identity.device_unknown", "This device has been ended.", "Pick one from your devices.")
    if not vouched(unit, found.person, found.account, state):
        raise NotFound(
            "identity.device_unknown",
            "The account that enrolled this device is no longer this person's, so nothing it signs counts.",
            "Enrol a device with the account that you have now.",
        )
    if taken_back(unit, state, found):
        raise NotFound(
            "identity.device_unknown",
            "This key was enrolled, or let count again, in a session that was somebody else's, so it counts no more.",
            "Enrol a fresh key; security lets an older one of yours count again.",
        )
    return found


def read_back(unit: Unit, device_id: str) -> Device:
    """Return a device, ended or not, if its row is what was certified."""
    row = store.read_device(unit.conn, device_id)
    if row is None:
        raise NotFound("identity.device_unknown", "There is no such device.", "Pick one from your devices.")
    try:
        found = msgspec.json.decode(row[0], type=Device)
        genuine = found.id == device_id and found.thumbprint == thumbprint(found.jwk)
    except (msgspec.DecodeError, KeyError):
        _refuse(device_id, "the row cannot be read")
    public = unit.part(Signers).signer("device").public
    if not genuine or not verify_ed25519(public, row[1], _statement(found)):
        _refuse(device_id, "the certificate does not hold")
    return found


def devices_of(unit: Unit, person: str) -> list[Device]:
    """Return a person's live devices."""
    state = state_of(unit, person)
    listed = living(unit, state)
    found = (read_back(unit, one) for one in store.devices_of(unit.conn, person) if one in listed)
    return [one for one in found if vouched(unit, person, one.account, state) and not taken_back(unit, state, one)]


def living(unit: Unit, state: PrincipalState) -> tuple[str, ...]:
    """The devices that live by a sealed state, and that no memory outside the database says were ended."""
    return tuple(one for one in state.devices if not over_for_good(unit, one))


def counting(unit: Unit, state: PrincipalState, *, before: bool = False) -> frozenset[str]:
    """Return the live keys of a state that sign what is sensitive now; none whose row was hidden or edited.

    With `before`, those that did until the stop that is being made: which disowns every session, and who vouched.
    """
    found = set[str]()
    for one in living(unit, state):
        with suppress(WeighthouseError):
            key = read_back(unit, one)
            begins = counts_from(unit, key, state, before=before)
            own = vouched(unit, state.principal, key.account, state)
            theirs = own and (before or not taken_back(unit, state, key))
            if begins is not None and unit.sure >= begins and theirs:
                found.add(one)
    return frozenset(found)


def drop_device(
    unit: Unit, person: str, device_id: str, reason: str, *, by: Caller | str, whose: str = "", since: Millis = 0
) -> None:
    """End a device of `person` for good, with its line; who may is the caller's to judge.

    It is remembered by what it is, device and key, before any row is locked or written; what only follows from a
    policy, when nothing but the commit can still refuse that.
    """
    known = key_as_known(unit, person, device_id)
    key = known.thumbprint if known is not None else ""
    line = DeviceEnded(
        device=device_id,
        principal=person,
        reason=reason,
        by=name_of(by),
        key=key,
        whose=whose,
        since=since,
    )

    def keep() -> None:
        end_mark(unit, device_id, line.by)
        end_mark(unit, key, line.by)
        if key:
            memory(unit.system).raise_version(key_name(key), unit.now)

    if reason == ACCOUNT_GONE:
        unit.last_before_commit(keep)
    else:
        keep()
        unit.stands = STANDS
        owing.owe(unit, line, of=person)
    _end(unit, line, by)


def _end(unit: Unit, line: DeviceEnded, by: Caller | str = "") -> None:
    person, device_id = line.principal, line.device

    def without(state: PrincipalState) -> PrincipalState:
        lists = {
            name: getattr(state, name) for name in ("devices", "first", "confirmed", "suspended", "grown", "fell")
        }
        kept = {name: tuple(one for one in ids if one != device_id) for name, ids in lists.items()}
        vouchers = tuple(one for one in state.vouchers if one.device != device_id)
        left = msgspec.structs.replace(state, **kept, vouchers=vouchers)
        return left if counting(unit, left) else without_guardian(left)

    change_state(unit, person, without)
    store.end_device(unit.conn, device_id, unit.now)
    if not line.key:  # nor does the log tell what it was: who knows which of the sessions are its
        end_sessions_of(unit, person, KEY_ENDED, line.by)
    elif line.whose != FOREIGN:
        end_sessions_of_key(unit, person, line.key, line.by, reason=KEY_RETIRED if line.whose == OWN else KEY_ENDED)
    if line.whose == FOREIGN:
        never_theirs(unit, person, device_id, line.since, by or line.by)
    audit.append(unit, msgspec.structs.replace(line, version=version_now(unit, person)))


def never_theirs(
    unit: Unit,
    person: str,
    device_id: str,
    since: Millis,
    by: Caller | str,
    *,
    reason: str = KEY_ENDED,
    over: bool = False,
) -> None:
    """THE end of what was done with a key that was not its person's, from `since` on: ended as stolen, enrolled in a
    session that was somebody else's, or fallen with who vouched for it. Its sessions end, and whatever somebody may
    have done who had it is disowned, in whatever session it was sent, signed out or not.

    The session of whoever says so goes on, for they hold it in their hands, unless it is bound to the key itself. If
    the key was ended before (`over`), so were the sessions that were bound to it then.
    """
    here = by.session if isinstance(by, Caller) else None
    key = key_as_known(unit, person, device_id)
    if key is None:
        return
    if not over:
        end_sessions_of_key(unit, person, key.thumbprint, name_of(by), reason=reason)
    if reason == KEY_FELL:  # what enrolled it is judged by itself (`taken_back`)
        key = msgspec.structs.replace(key, session="")
    for session in sorted(sessions_with(unit, key, since)):
        if session != here:
            end_session(unit, session, reason, by, of=person)


def key_as_known(unit: Unit, person: str, device_id: str) -> Device | EnrolledKey | None:
    """A key by its row, or by the log alone where that is hidden or edited; None if nobody can tell what it was."""
    with suppress(WeighthouseError):
        found = read_back(unit, device_id)
        if found.person == person:
            return found
    return key_told(unit, person, device_id)


owing.again(DeviceEnded, _end, unsure=("version",))


def verify_device_signature(
    unit: Unit,
    device_id: str,
    person: str,
    data: bytes,
    signature: bytes,
    *,
    before: bytes = b"",
    at: Millis | None = None,
) -> None:
    """Check that `signature` (ES256, raw r and s, 64 bytes) over `data` is by `person`'s live device.

    `before` is what programs signed that did not name the server yet: refused with what to do. A key that is new and
    not confirmed signs nothing yet. Of what lasts, `at` is the moment that it names: the key must have counted then,
    too, or what fell would stand again once its key has grown. Raises `identity.device_not_certified`,
    `identity.device_unknown`, `identity.statement_outdated`, `identity.bad_signature` or `identity.key_young`.
    """
    found = device(unit, device_id)
    if found.person != person or not verify_es256(found.jwk, signature, data):
        if before and found.person == person and verify_es256(found.jwk, signature, before):
            raise outdated()
        raise Denied(
            "identity.bad_signature",
            "The signature is not by this person's device over this text.",
            "Open the card again and sign exactly what it shows with your own enrolled device, for this very server.",
        )
    state = state_of(unit, person)
    check_grown(unit, found, state)
    used_key(unit, person, found.id)
    if at is not None:
        check_counted_then(unit, found, state, at)


def check_key(unit: Unit, caller: Caller) -> None:
    """Check that a person calls by a device key that counts; by a session alone, whoever has its cookie could.

    Where new keys count at once nothing is asked: any session may then have one. Raises Denied
    `identity.key_missing`, `identity.key_young`, and as `device` does.
    """
    if at_once(unit.system):
        return
    if caller.device is None:
        raise Denied(
            "identity.key_missing",
            "This takes a device key that counts; a browser's session, or one whose key is not enrolled, has none.",
            "Do it with the `weighthouse` command on a machine whose key is enrolled, and counts.",
        )
    found = device(unit, caller.device)
    if found.person != caller.principal:
        _refuse(found.id, "the key is of another person than the session")
    check_grown(unit, found, state_of(unit, caller.principal))
    used_key(unit, caller.principal, found.id)


def waiting_keys(unit: Unit, person: str) -> list[tuple[Device, Millis | None]]:
    """A person's live keys that do not count yet, each with when it will by itself (None: after a second person)."""
    state = state_of(unit, person)
    found = ((one, counts_from(unit, one, state)) for one in devices_of(unit, person))
    return [(one, begins) for one, begins in found if begins is None or unit.sure < begins]
