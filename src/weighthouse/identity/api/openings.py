"""Acts that open what somebody closed. Guards stops from whoever runs the identity provider.

A session and a second factor both come from the provider, so its administrator can be anybody, factor and all. What
they cannot make is a signature by a key that counted before they came. So to thaw a person, to let keys count again
and to lift a hold takes one, over a statement that names what is opened, made now and good once.
"""

from __future__ import annotations

from weighthouse.core.caller import Caller
from weighthouse.core.canonical import encode
from weighthouse.core.clock import MINUTE, Millis
from weighthouse.core.errors import Conflict, Denied, WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.identity.api.acts import require_act
from weighthouse.identity.api.addressed import audience
from weighthouse.identity.api.devices import verify_device_signature
from weighthouse.identity.api.once import first_opening
from weighthouse.identity.api.signed_before import ended_since, signed_before_end
from weighthouse.identity.events import OpeningRefused
from weighthouse.identity.model import Act, KeySignature

SIGNED_LIFE: Millis = 10 * MINUTE


def opening(act: str, subject: str, *, audience: str, person: str, device: str, at: Millis) -> bytes:
    """What a grown key of the acting `person` signs to open `subject` at the server that `audience` names."""
    said = {"type": "weighthouse/open/2", "audience": audience, "act": act, "subject": subject, "person": person}
    return encode({**said, "device": device, "at": at})


def _before(act: Act, person: str, signed: KeySignature) -> bytes:
    """What was signed while no server was named."""
    said = {"type": "weighthouse/open/1", "act": act.type, "subject": act.subject, "person": person}
    return encode({**said, "device": signed.device, "at": signed.at})


def require_opening(unit: Unit, caller: Caller, act: Act, signed: KeySignature | None) -> None:
    """Use up a second factor and a signature by a grown key of `caller`, both given for exactly this act.

    Raises Denied `identity.opening_unsigned`, `identity.statement_outdated`, `identity.bad_signature`,
    `identity.key_young`, NotFound
    `identity.device_unknown`, Conflict `identity.signature_stale`, each with one line, and as `require_act` does.
    """
    try:
        checked = _check_signature(unit, caller, act, signed)
        require_act(unit, caller, act)
        if not first_opening(unit, checked, caller, act):
            raise stale("This signature, or a later one by the same key, has opened something already.")
    except WeighthouseError as error:
        if not error.record:  # the exception's own line, if it brings one, tells it already
            line = OpeningRefused(principal=caller.principal, act=act.type, about=act.subject, code=error.code)
            error.record = (line,)
        raise


def _check_signature(unit: Unit, caller: Caller, act: Act, signed: KeySignature | None) -> KeySignature:
    """Return the signature, which is by a grown key of the caller over exactly this, made now."""
    if signed is None:
        raise Denied(
            "identity.opening_unsigned",
            "This opens what somebody closed, so it takes a signature by a key of yours that counts already.",
            "Do it with the `weighthouse` command on a machine whose key is enrolled, and counts.",
        )
    check_made_now(unit, caller, signed)
    person, here = caller.principal, audience(unit.system)
    said = opening(act.type, act.subject, audience=here, person=person, device=signed.device, at=signed.at)
    before = _before(act, person, signed)
    verify_device_signature(unit, signed.device, person, said, signed.value, before=before)
    return signed


def check_made_now(unit: Unit, caller: Caller, signed: KeySignature) -> None:
    """Raise Conflict `identity.signature_stale` unless a signature names a moment of the last minutes, since which no
    session of its key was ended as somebody else's."""
    if not unit.now - SIGNED_LIFE <= signed.at <= unit.now:
        raise stale("What you signed is older than ten minutes, or not made yet.")
    if signed_before_end(unit, caller.principal, signed.device, signed.at):
        raise ended_since()


def stale(what: str) -> Conflict:
    """The refusal of a signature whose time is over, or that was used."""
    return Conflict("identity.signature_stale", what, "Sign it again, and send it at once.")
