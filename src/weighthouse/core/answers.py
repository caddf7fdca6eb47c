"""A change is made once for a caller's idempotency key. Guards repeated requests from doing a thing twice, and the
table of kept answers from ever holding a secret.

An answer is kept only if it is of the type that its caller names (`keeps`); a house test reads those types, and none
has a field for a secret. Whoever hands out a secret keeps that it was done, and asks access anew for each repeat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from weighthouse.core import store
from weighthouse.core.errors import Conflict, Invalid, Unavailable
from weighthouse.core.signing import Signers, equal
from weighthouse.core.work import Unit

T = TypeVar("T")
K = TypeVar("K")


class Done(msgspec.Struct, frozen=True):
    """That a change was made; nothing of what it answered."""


def once(
    unit: Unit, key: str | None, fingerprint: str, run: Callable[[], T], *, keeps: type[T], stops: bool = False
) -> Any:
    """Run a change at most once for the caller's idempotency `key`, and keep its answer in the same transaction.

    The same key with the same `fingerprint` returns the kept answer; with another one raises
    `core.idempotency_mismatch`; one that somebody else wrote raises `core.answer_seal`. Without a key, `run` simply
    runs. Returns JSON-ready values.

    What `stops` something runs before its key is claimed: a lock on that table must not keep a no from being said.
    Sent twice at the same instant, it may be said twice.
    """
    if key is None:
        return msgspec.to_builtins(_of(keeps, run()))
    _check_key(key)
    principal = unit.actor.principal if unit.actor else ""
    kept = store.find_answer(unit.conn, principal, key)
    if kept is None and stops:
        run = _done(run())
    if kept is None and not store.claim_answer(unit.conn, principal, key, fingerprint, unit.now):
        kept = store.find_answer(unit.conn, principal, key)  # a twin of this request was first, and has ended
    if kept is None or kept == (fingerprint, ""):
        answer = msgspec.to_builtins(_of(keeps, run()))
        text = msgspec.json.encode(answer).decode()
        sealed = f"{_seal(unit, principal, key, fingerprint, text)} {text}"
        store.keep_answer(unit.conn, principal, key, sealed)
        return answer
    return _kept(unit, principal, key, fingerprint, kept)


def once_told(
    unit: Unit,
    key: str | None,
    fingerprint: str,
    run: Callable[[], T],
    again: Callable[[K], T],
    *,
    done: Callable[[T], K],
    keeps: type[K],
) -> Any:
    """Run a change at most once whose answer is nobody's to keep: what is kept is `done(answer)` and no more.

    A repeat is answered by `again`, which gets what was kept, asks access as of now and leaves its own line. Attack:
    repeat an export after a hold, and be handed the keys that yesterday's answer still held.
    """
    told: list[T] = []

    def first() -> K:
        told.append(run())
        return done(told[0])

    kept = once(unit, key, fingerprint, first, keeps=keeps)
    return msgspec.to_builtins(told[0] if told else again(msgspec.convert(kept, keeps)))


def _of(keeps: type[T], answer: T) -> T:
    """Refuse to keep what nobody has looked at: a mistake of the caller, never of a request."""
    if not isinstance(answer, keeps):
        raise TypeError(f"an answer of type {type(answer).__name__} is not kept where {keeps.__name__} is named")
    return answer


def _check_key(key: str) -> None:
    if not 8 <= len(key) <= 128 or not key.isascii() or not key.isprintable():
        raise Invalid(
            "core.bad_idempotency_key",
            "An idempotency key has 8 to 128 printable ASCII characters.",
            "Send a fresh UUID for each change and repeat it only with the same body.",
        )


def _kept(unit: Unit, principal: str, key: str, fingerprint: str, kept: tuple[str, str]) -> Any:
    """The answer that is kept, if it is to this request and from this server."""
    if kept[0] != fingerprint:
        raise Conflict(
            "core.idempotency_mismatch",
            "This idempotency key was used before with another body.",
            "Use a fresh key for a new change.",
        )
    seal, _, text = kept[1].partition(" ")
    if not equal(seal.encode(), _seal(unit, principal, key, fingerprint, text).encode()):
        raise Unavailable(
            "core.answer_seal",
            "The answer kept for this idempotency key is not the one that this server kept.",
            "Look at what was changed and use a fresh key; tell security that somebody writes the database.",
        )
    return msgspec.json.decode(text)


def _done(answer: T) -> Callable[[], T]:
    return lambda: answer


def _seal(unit: Unit, principal: str, key: str, fingerprint: str, text: str) -> str:
    """The code over a kept answer: a database row must not tell a client of a change that never was."""
    said = msgspec.json.encode(["weighthouse/answer/1", principal, key, fingerprint, text])
    return unit.part(Signers).mac("answer", said).hex()
