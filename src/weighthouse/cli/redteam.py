"""`weighthouse redteam`: the attack catalogue against this installation. Guards the score from being flattering.

An attack that did not really happen is NOT RUN, never BLOCKED, and the exit code is 6 unless every attack met what
was promised for it beforehand.
"""

from __future__ import annotations

from typing import Any

import click

from weighthouse.cli import exits
from weighthouse.cli.connection import Connection, connect, fresh
from weighthouse.cli.show import Column, listing, output, say

ATTACK_S = 300.0
"""How long one attack may take: real runs start, and are waited for, on machines that do other things as well."""

_CATALOGUE = (
    Column("id", "id"),
    Column("attack", "title"),
    Column("expected", "expected.status", "state"),
    Column("by", "expected.room"),
    Column("rule", "expected.code"),
    Column("techniques", "techniques"),
    Column("on", "on"),
    Column("newest", "newest.status", "state"),
    Column("proves", "proves.result", "state"),
)
_OUTCOMES = (
    Column("id", "id"),
    Column("outcome", "status", "state"),
    Column("expected", "expected"),
    Column("attack", "title"),
    Column("by", "room"),
    Column("rule", "rule"),
    Column("log entry", "log_index"),
    Column("at", "at", "time"),
    Column("reason", "reason"),
)
_PROVEN = (
    *_OUTCOMES[:3],
    Column("proves", "proves.result", "state"),
    Column("not tested because", "proves.why"),
    *_OUTCOMES[3:],
)


@click.group("redteam")
def command() -> None:
    """Run the attack catalogue and read its score."""


@command.command("list")
@output
@click.pass_context
def list_(ctx: click.Context, fmt: str | None) -> None:
    """List the attacks, what is promised for each, and its newest outcome."""
    items = list(connect(ctx).items("/attacks"))
    listing(items, _CATALOGUE, fmt, empty="The catalogue is empty.")


@command.command("run")
@click.argument("attack", nargs=-1)
@output
@click.pass_context
def run(ctx: click.Context, attack: tuple[str, ...], fmt: str | None) -> None:
    """Run each ATTACK, or all of them (`all`, or none named); needs redteam.run.

    The attacks are played against the server itself, which must be one for development: with accounts that a thief
    can play. Exits with 6 unless every one met what was promised for it.
    """
    connection = connect(ctx, patience_s=ATTACK_S)
    wanted = attack
    if attack in ((), ("all",)):
        wanted = tuple(str(item["id"]) for item in connection.items("/attacks"))
    outcomes = []
    for number, one in enumerate(wanted, 1):  # one request each: none outlasts a client's patience
        say(f"{number} of {len(wanted)}: {one} ...")
        outcomes += _run(connection, one)
    _score(ctx, outcomes, fmt, _OUTCOMES)


def _run(connection: Connection, attack: str) -> list[dict[str, Any]]:
    answer = fresh(connection, lambda: connection.post("/attacks/run", {"scenarios": [attack]}))
    items: list[dict[str, Any]] = answer["items"]
    return items


@command.command("results")
@output
@click.pass_context
def results(ctx: click.Context, fmt: str | None) -> None:
    """Show the newest outcome of each attack of the catalogue, and what all its outcomes prove of this system now.

    One that was missed counts as missed until it is held, whatever could not be run since. One that was never run,
    not lately, or on another version of program, catalogue or policy, counts against the score.
    """
    items = list(connect(ctx).items("/attacks"))
    never = {"status": "NOT RUN", "reason": "Never run on this system."}
    _score(
        ctx, [{**(item["newest"] or {**never, **_promised(item)}), **_proven(item)} for item in items], fmt, _PROVEN
    )


def _promised(item: dict[str, Any]) -> dict[str, Any]:
    promised = item["expected"]
    return {"id": item["id"], "title": item["title"], "expected": promised["status"], "room": promised["room"]}


def _proven(item: dict[str, Any]) -> dict[str, Any]:
    return {"proves": item["proves"], "held": item["proves"]["result"] == "held"}


def _score(ctx: click.Context, outcomes: list[dict[str, Any]], fmt: str | None, columns: tuple[Column, ...]) -> None:
    listing(outcomes, columns, fmt, empty="No attack was run yet; `weighthouse redteam run` runs all.")
    held = sum(1 for outcome in outcomes if outcome["held"])
    say(f"{held} of {len(outcomes)} met what was promised for them.")
    if held < len(outcomes) or not outcomes:
        ctx.exit(exits.CHECK_FAILED)
