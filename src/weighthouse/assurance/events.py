"""The facts that assurance publishes: an attack was run, a check was computed. Never a typed statement."""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.events import Event


class AttackRun(Event, frozen=True, kw_only=True):
    """One scenario was run. `status` is what happened, `expected` what should have; `evidence` is the log index of
    the line that shows it, where there is one. `on` says whether it ran on the live system or on a copy; `program`,
    `catalogue` and `policy` are digests of what was attacked, for of another one it proves nothing."""

    KIND: ClassVar[str] = "assurance.AttackRun"
    VERSION: ClassVar[int] = 2
    SUBJECT: ClassVar[str] = "scenario"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})

    scenario: str
    title: str
    techniques: tuple[str, ...]
    status: str
    expected: str
    room: str
    rule: str
    reason: str
    evidence: int | None
    on: str
    program: str = ""
    catalogue: str = ""
    policy: str = ""


class EvidenceComputed(Event, frozen=True, kw_only=True):
    """One check was computed over the log and the live state. `samples` are digests of the leaves it looked at;
    `program`, `catalogue` and `policy` are digests of what it was computed on."""

    KIND: ClassVar[str] = "assurance.EvidenceComputed"
    VERSION: ClassVar[int] = 2
    SUBJECT: ClassVar[str] = "check"

    check: str
    query_version: int
    result: str
    detail: str
    period_from: int
    period_to: int
    log_size: int
    population: int
    failing: tuple[int, ...]
    samples: tuple[str, ...]
    program: str = ""
    catalogue: str = ""
    policy: str = ""
