"""Seals over rows. Guards sessions, states and history from whoever can write the database.

A row counts only if an HMAC over its body, made with a key outside the database, holds. The body names its table, so
that no row passes for one of another table.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from weighthouse.core.canonical import encode
from weighthouse.core.errors import Unauthenticated, Unavailable
from weighthouse.core.signing import Signers, equal
from weighthouse.core.work import System, Unit
from weighthouse.identity.events import RecordRefused
from weighthouse.identity.ports import Memory
from weighthouse.identity.rules.arrival import origin_of
from weighthouse.identity.store.memory import ProcessMemory

T = TypeVar("T", bound=msgspec.Struct)


def _code(unit: Unit, table: str, body: str) -> bytes:
    purpose = "workload" if table == "workload" else "session"
    signers = unit.part(Signers)
    return signers.mac(purpose, f"identity.{table}\x00{body}".encode())


def seal(unit: Unit, table: str, value: msgspec.Struct) -> tuple[str, bytes]:
    """Return the canonical body of `value` and the seal over it."""
    body = encode(msgspec.to_builtins(value)).decode()
    return body, _code(unit, table, body)


def unseal(unit: Unit, table: str, body: str, code: bytes, kind: type[T]) -> T | None:
    """Return the value if the seal holds, None if the row was edited or made by somebody else."""
    if not equal(_code(unit, table, body), code):
        return None
    return msgspec.json.decode(body, type=kind)


def refused(table: str, row: str, why: str) -> Unauthenticated:
    """The refusal of a row, with its line for the log."""
    return Unauthenticated(
        "identity.record_refused",
        "What the database says about this does not carry this server's seal, so it counts as absent.",
        "Ask security to read the log for identity.RecordRefused; sign in again after that.",
        record=[RecordRefused(table=table, row=row, why=why)],
    )


def mark(unit: Unit, kind: str, text: str) -> str:
    """Return a keyed mark of a personal text: equal texts have equal marks, nobody can read the text from it."""
    signers = unit.part(Signers)
    return signers.mac("session", f"identity.mark.{kind}\x00{text}".encode()).hex()[:32]


def mark_of_origin(unit: Unit, address: str) -> str:
    """Return the keyed mark that attempts from one place share, however they rotate addresses within their /64."""
    return mark(unit, "address", origin_of(address))


def memory(system: System) -> Memory:
    """Return the memory outside the database that the app bound; otherwise this process's own, once."""
    try:
        return system.part(Memory)
    except Unavailable:
        system.bind(Memory, ProcessMemory())
        return system.part(Memory)
