"""`weighthouse egress`: what may leave, what has left, and how long a theft of the weights would take at the caps."""

from __future__ import annotations

from typing import Any

import click

from weighthouse.cli.connection import connect
from weighthouse.cli.show import Column, listing, output

_DAY = 86_400_000


def _spent(budget: dict[str, Any]) -> int:
    return next((int(window["spent"]) for window in budget["windows"] if window["span"] == _DAY), 0)


_BUDGETS = (
    Column("level", "level"),
    Column("name", "name"),
    Column("a day", "daily", "size"),
    Column("spent today", _spent, "size"),
    Column("weights", lambda b: b["artefact_bytes"] or None, "size"),
    Column("theft of 1 %", "theft_of_hundredth", "span"),
    Column("theft of all", "theft_of_whole", "span"),
    Column("held against", lambda b: b["respond"] or None, "span"),
    Column("holds", "holds", "yes"),
)
_PROFILES = (
    Column("profile", "profile"),
    Column("host", "host"),
    Column("port", "port"),
    Column("owner", "owner"),
    Column("a day", "budget_bytes", "size"),
    Column("kind", "kind"),
    Column("expires", "expires", "day"),
    Column("reason", "reason"),
)


@click.group("egress", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """What may leave, how fast, and how long a theft would take."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(budgets)


@command.command("budgets")
@output
@click.pass_context
def budgets(ctx: click.Context, fmt: str | None = None) -> None:
    """List byte budgets of the lab, of models, runs and destinations.

    The times assume a thief who fills the daily cap and shrinks the weights as far as the settings say.
    """
    items = list(connect(ctx).items("/egress/budgets"))
    listing(items, _BUDGETS, fmt, empty="No budget is set and nothing has left.")


@command.command("allowed")
@output
@click.pass_context
def allowed(ctx: click.Context, fmt: str | None) -> None:
    """List every destination that a run may reach, by profile; everything else is refused."""
    answer = {"items": list(connect(ctx).items("/egress/profiles"))}
    items = [{"profile": p["id"], **entry} for p in answer["items"] for entry in p["entries"]]
    listing(items, _PROFILES, fmt, empty="The allow-list is empty: no run can reach anything.", answer=answer)
