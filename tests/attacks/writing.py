"""What a database administrator does, and what is noted of it: shared by the two lists of attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.access.support import Lab
from weighthouse.access import api
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin

ATTEMPTS: list[tuple[str, str, str]] = []


def print_attempts() -> None:
    """Print the table of attempts so far, each with what refused it and on which databases, and begin anew."""
    print("\n\nWith write access to the database only:")
    seen: dict[tuple[str, str], list[str]] = {}
    for number, (attempt, refusal, on) in enumerate(ATTEMPTS):
        key = attempt if not attempt.startswith("  …") else f"{attempt}\0{ATTEMPTS[number - 1][0]}"
        seen.setdefault((key, refusal), []).append(on)
    for (key, refusal), on in seen.items():
        print(f"  {key.partition(chr(0))[0]:<66} {refusal:<34} {', '.join(on)}")
    ATTEMPTS.clear()


def tried(lab: Lab, attempt: str, code: str, expected: str) -> None:
    """Note an attempt and what refused it."""
    ATTEMPTS.append((attempt, code, lab.system.database.dialect))
    assert code == expected, f"{attempt}: expected {expected}, got {code}"


def use(lab: Lab, person: str = "eve", action: str = "run.submit", resource: str = "model/tern") -> str:
    """What a use gives now: the code of its refusal, or access.allowed. A refusal must leave exactly one line."""
    before = len(lab.log("access.Denied")) if lab.system.database.dialect == "sqlite" else 0
    try:
        lab.require(person, action, resource)
    except WeighthouseError as refusal:
        if lab.system.database.dialect == "sqlite" and refusal.code.startswith("access."):
            assert len(lab.log("access.Denied")) == before + 1
        return refusal.code
    return "access.allowed"


def valid(lab: Lab, grant: str) -> str:
    """What a releasing point hears about a grant."""
    return code_of(lambda: begin_valid(lab, grant))


def begin_valid(lab: Lab, grant: str) -> object:
    with begin(lab.system) as unit:
        return api.valid_grant(unit, grant)


def code_of(act: Callable[[], object]) -> str:
    try:
        act()
    except WeighthouseError as refusal:
        return refusal.code
    return "access.allowed"


def insert(lab: Lab, table_: str, row: dict[str, Any]) -> None:
    names = ", ".join(f'"{name}"' if name == "row" else name for name in row)
    lab.sql(f"INSERT INTO {table_} ({names}) VALUES ({', '.join(':' + name for name in row)})", **row)


def row_of(lab: Lab, table_: str, id_: str) -> dict[str, Any]:
    return dict(lab.sql(f"SELECT * FROM {table_} WHERE id = :id", id=id_)[0])
