"""The face of keys: new data keys, opened data keys, and the life of KEKs. Guards the moment of release.

Each release asks `access` again (the second lock), counts against the caller's rate, seals the keys to the caller's
ephemeral key and appends one entry, all in the caller's transaction: if the log cannot take the entry, no key leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import sha256_hex
from weighthouse.core.errors import Denied, NotFound, TooMany, Unavailable
from weighthouse.core.work import Unit
from weighthouse.keys import rules, store
from weighthouse.keys.events import (
    CountLowered,
    KekDestroyed,
    KekMinimumRaised,
    KekRotated,
    KeyRefused,
    KeyReleased,
    PassphraseChanged,
)
from weighthouse.keys.model import Health, KekInfo, ReleasedKey, Wrapped, setting, settings
from weighthouse.keys.ports import KeyService
from weighthouse.policy import api as policy
from weighthouse_sdk.checkpoint_binding import seal_key

__all__ = [
    "Context", "Health", "KekInfo", "KeyService", "ReleasedKey", "Wrapped", "changed_passphrase", "current",
    "destroy", "health", "is_destroyed", "keks", "new_data_keys", "owed", "retire", "rewrap", "rotate",
    "set_minimum", "settings", "tried", "unwrap", "version_of",
]  # fmt: skip

Context = Mapping[str, Any]
_DESTROYED = audit.Lines(KekDestroyed.KIND)
_ROTATED, _RAISED = audit.Lines(KekRotated.KIND), audit.Lines(KekMinimumRaised.KIND)
_GIVEN = audit.Lines(KeyReleased.KIND, by="kek")
_RELEASES = audit.Tally(
    KeyReleased.KIND,
    window=rules.WINDOW,
    keys=lambda entry: (entry.actor,),
    amount=lambda entry: int(entry.data["count"]),
)


def new_data_keys(
    unit: Unit, caller: Caller, *, resource: str, contexts: Sequence[Context], recipient: bytes
) -> list[ReleasedKey]:
    """Make a fresh data key for each context and return it wrapped, and sealed to `recipient` (raw X25519).

    Asks `weights.save` on `resource` again. Raises Denied, TooMany `keys.rate`, Invalid `keys.bad_*`.
    """
    encoded, version = rules.encode_contexts(resource, contexts)
    rules.check_recipient(recipient)
    decision = access.require(unit, caller, "weights.save", resource)
    _count(unit, caller, "new", resource, len(encoded))
    with _refusals("new", resource, len(encoded)):
        _not_destroyed(unit, resource)
        _not_behind(unit, resource)
        made = _service(unit).generate(resource, encoded)
    released = [
        ReleasedKey(key.wrapped.blob, key.wrapped.kek, key.wrapped.version, seal_key(key.plain, recipient, context))
        for key, context in zip(made, encoded, strict=True)
    ]
    _record(unit, "new", resource, version, released, decision.grant or "", recipient)
    return released


def unwrap(
    unit: Unit,
    caller: Caller,
    *,
    resource: str,
    items: Sequence[tuple[Wrapped, Context]],
    recipient: bytes,
    action: str = "weights.load",
    operation: Mapping[str, str] | None = None,
) -> list[ReleasedKey]:
    """Unwrap data keys and return each sealed to `recipient`, never plain.

    Asks `action` on `resource` again, with the same `operation` facts that the grant pinned down (an export's version
    and destination). A key moved from another place, an old version or a destroyed KEK is refused by one line in the
    log (`keys.KeyRefused`) and Denied `keys.wrong_context`, `keys.version_too_old` or `keys.destroyed`.
    """
    encoded, version = rules.encode_contexts(resource, [context for _, context in items])
    rules.check_recipient(recipient)
    decision = access.require(unit, caller, action, resource, **(operation or {}))
    _count(unit, caller, "open", resource, len(encoded))
    pairs = [(wrapped.blob, context) for (wrapped, _), context in zip(items, encoded, strict=True)]
    with _refusals("open", resource, len(encoded)):
        _not_destroyed(unit, resource)
        _not_behind(unit, resource)
        plain = _service(unit).unwrap(resource, pairs)
    released = [
        ReleasedKey(wrapped.blob, wrapped.kek, wrapped.version, seal_key(key, recipient, context))
        for key, (wrapped, _), context in zip(plain, items, encoded, strict=True)
    ]
    _record(unit, "open", resource, version, released, decision.grant or "", recipient)
    return released


def _service(unit: Unit) -> KeyService:
    return unit.part(KeyService)


def _count(unit: Unit, caller: Caller, purpose: str, resource: str, count: int) -> None:
    """Count data keys against the caller's last minute: by the log's own sum, for the row can be lowered by hand.

    What the clock's minute before gave counts until it lies a minute back: no stroke of the clock lets through twice.
    """
    limit, minute = setting(unit.system.settings, "keys.per_minute"), rules.window(unit.now)
    assert isinstance(limit, int)
    said = store.count_release(unit.conn, caller.principal, minute, count)
    given = max(said, _RELEASES.sum(unit, caller.principal) + count)
    earlier = _RELEASES.carried(unit, caller.principal, store.counted(unit.conn, caller.principal, minute - 1))
    # The row is lower than what the log proves: somebody with the database set it back to be given more.
    lowered = [CountLowered(principal=caller.principal, said=said - count, logged=given - count)]
    lowered = lowered if said < given else []
    if earlier + given > limit:
        raise TooMany(
            "keys.rate",
            f"More than {limit} data keys in one minute were asked for; none of these was given.",
            "Wait a minute. A run that needs more than this is asked about by security.",
            record=[*lowered, KeyRefused(purpose=purpose, model=resource, count=count, code="keys.rate")],
        )
    for line in lowered:
        store.correct_count(unit.conn, caller.principal, minute, given)
        audit.append(unit, line)
    _RELEASES.note(unit, caller.principal, given)


def _record(
    unit: Unit, purpose: str, model: str, version: str, released: list[ReleasedKey], grant: str, recipient: bytes
) -> None:
    audit.append(
        unit,
        KeyReleased(
            purpose=purpose,
            model=model,
            version=version,
            count=len(released),
            kek=model,
            kek_version=max(key.kek_version for key in released),
            grant=grant,
            recipient=sha256_hex(recipient),
        ),
    )


@contextmanager
def _refusals(purpose: str, model: str, count: int) -> Iterator[None]:
    """Whatever the key service refuses, or fails at, leaves one line in the log."""
    try:
        yield
    except (Denied, Unavailable) as error:
        error.record = (*error.record, KeyRefused(purpose=purpose, model=model, count=count, code=error.code))
        raise


def _not_destroyed(unit: Unit, kek: str) -> None:
    """A key file put back from a backup does not bring a destroyed KEK back: the log remembers its end."""
    if is_destroyed(unit, kek):
        raise Denied(
            "keys.destroyed", f"The keys of '{kek}' were destroyed on purpose.", "Nothing can bring them back."
        )


def _not_behind(unit: Unit, kek: str) -> None:
    """A key service that is behind the log was put back from yesterday: what was raised or given since, it forgot.

    Also after a restart, and whatever the service keeps its keys in: the log cannot be put back with it unseen.
    """
    proven, found = _proven(unit, kek), _service(unit).find(kek)
    known = (found.current, found.minimum) if found else (0, 0)
    if known[0] < proven[0] or known[1] < proven[1]:
        raise _rolled_back(kek, known, proven)


def _proven(unit: Unit, kek: str) -> tuple[int, int]:
    """The current version and the minimum of a KEK that the log proves; zeros for one that it does not know."""
    rotated, raised, given = (lines.newest(unit, kek) for lines in (_ROTATED, _RAISED, _GIVEN))
    minimum = int(raised.data["minimum"]) if raised else 0
    current = int(rotated.data["version"]) if rotated else 0
    return max(current, minimum, int(given.data["kek_version"]) if given else 0), minimum


def _rolled_back(kek: str, known: tuple[int, int], proven: tuple[int, int]) -> Unavailable:
    return Unavailable(
        "keys.rolled_back",
        f"The key service knows version {known[0]} of '{kek}' and minimum {known[1]}; the log proves version "
        f"{proven[0]} and minimum {proven[1]}. An older key file was put in its place.",
        "Put the newest key file back, and ask who replaced it; nothing was released. If it is lost for good: "
        f"`weighthouse keys rotate {kek} --past-log`.",
    )


def rewrap(unit: Unit, *, resource: str, items: Sequence[tuple[Wrapped, Context]]) -> list[Wrapped]:
    """Wrap data keys again under the current version of the KEK. Nothing leaves, so nobody is asked."""
    _not_destroyed(unit, resource)
    _not_behind(unit, resource)
    encoded, _ = rules.encode_contexts(resource, [context for _, context in items])
    pairs = [(wrapped.blob, context) for (wrapped, _), context in zip(items, encoded, strict=True)]
    return _service(unit).rewrap(resource, pairs)


def tried(unit: Unit, *, resource: str, items: Sequence[tuple[Wrapped, Context]]) -> None:
    """Unwrap data keys and forget them again: whether they would open. Raises what `unwrap` raises of each."""
    _not_destroyed(unit, resource)
    _not_behind(unit, resource)
    encoded, _ = rules.encode_contexts(resource, [context for _, context in items])
    _service(unit).unwrap(
        resource, [(wrapped.blob, context) for (wrapped, _), context in zip(items, encoded, strict=True)]
    )


def version_of(unit: Unit, wrapped: Wrapped) -> int:
    """The KEK version that a wrapped data key itself says it is under, whatever a row says beside it."""
    return _service(unit).version_of(wrapped.blob)


def current(unit: Unit, kek: str) -> int:
    """The current version of a KEK; NotFound `keys.no_kek`."""
    found = _service(unit).find(kek)
    if found is None:
        raise NotFound(
            "keys.no_kek",
            f"There is no key encryption key of '{kek}'.",
            "A model has one from its first save on; `weighthouse keys status` lists them.",
        )
    return found.current


def changed_passphrase(unit: Unit, caller: Caller) -> None:
    """Say that the key service's own secret was changed, which whoever opens it did."""
    _system_only(caller, "")
    audit.append(unit, PassphraseChanged(service=_service(unit).health().provider))


def rotate(unit: Unit, caller: Caller, kek: str, *, past_log: bool = False) -> int:
    """Give a KEK a new current version. Data keys under older versions go on unwrapping until they are rewrapped.

    With `past_log` also one that is behind the log, for its newest file is lost: the new version and the minimum go
    past what the log proves, so that nothing is undone. What was wrapped under the lost versions stays lost.
    """
    _system_only(caller, kek)
    _not_destroyed(unit, kek)
    proven, minimum = _proven(unit, kek)
    if past_log and proven:
        version = _service(unit).rotate(kek, past=proven, minimum=minimum)
    else:
        _not_behind(unit, kek)
        current(unit, kek)
        version = _service(unit).rotate(kek)
    audit.append(unit, KekRotated(kek=kek, version=version))
    return version


def set_minimum(unit: Unit, caller: Caller, kek: str, version: int) -> None:
    """Refuse data keys wrapped under versions below `version` from now on."""
    _system_only(caller, kek)
    _not_destroyed(unit, kek)
    _not_behind(unit, kek)
    _service(unit).set_minimum(kek, version)
    audit.append(unit, KekMinimumRaised(kek=kek, minimum=version))


def destroy(unit: Unit, caller: Caller, kek: str, order: str = "") -> None:
    """Destroy a KEK, after the entry that says so is durable: everything it wrapped is lost for good.

    What a killed server did not come to, or a service that was away, is `owed`: a timer does it, and the log refuses.
    """
    _system_only(caller, kek)
    _not_destroyed(unit, kek)
    service = _service(unit)
    audit.append(unit, KekDestroyed(kek=kek, order=order))
    unit.after_commit(lambda: service.destroy(kek))


def is_destroyed(unit: Unit, kek: str, *, soon: bool = False) -> bool:
    """Whether the log says that a KEK was destroyed, whatever any key service holds; with `soon` also if it will once
    the sequencer of PostgreSQL has taken a line that was committed."""
    if _DESTROYED.any(unit, kek):
        return True
    return soon and any(one["kek"] == kek for one in audit.on_its_way(unit, KekDestroyed.KIND))


def owed(unit: Unit) -> list[str]:
    """The KEKs that were destroyed by the log and of which the key service has material still: a server was killed
    between the two, or an older key file was put back."""
    return [one.name for one in _service(unit).describe() if not one.destroyed and is_destroyed(unit, one.name)]


def retire(unit: Unit, *, resource: str, version: str) -> None:
    """Never release data keys of this version again, from the commit of the entry that says it is destroyed.

    Wrapped keys put back from a backup of the database then open nothing, whatever else was put back with them.
    """
    service = _service(unit)
    unit.after_commit(lambda: service.retire(resource, version))


def _system_only(caller: Caller, kek: str) -> None:
    if caller.kind != "system":
        line = KeyRefused(purpose="administer", model=kek, count=0, code="keys.system_only")
        raise Denied(
            "keys.system_only",
            "Only the control plane itself changes key encryption keys; no person and no run may.",
            "The operator of the machine does, with the server stopped: `weighthouse keys --help`.",
            record=[line],
        )


def keks(unit: Unit, caller: Caller) -> list[KekInfo]:
    """Names and versions of all KEKs, for whoever may read evidence, or has the folder itself; one that the log says
    is destroyed is."""
    if caller.kind != "system":
        access.require(unit, caller, "evidence.read", "lab")
    return [
        msgspec.structs.replace(one, destroyed=one.destroyed or is_destroyed(unit, one.name))
        for one in _service(unit).describe()
    ]


def health(unit: Unit) -> Health:
    """Whether keys can be wrapped and unwrapped now, by a service that the log has not outgrown."""
    told = _service(unit).health()
    if not told.ok:
        return told
    try:
        for name in {kek.name for kek in _service(unit).describe()} | set(policy.current(unit).lab.resources):
            if not is_destroyed(unit, name):
                _not_behind(unit, name)
    except Unavailable as error:
        return Health(False, told.provider, error.message)
    return told
