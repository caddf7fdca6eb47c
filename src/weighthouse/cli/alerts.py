"""`weighthouse alerts`: what detection concluded, on which log entries, and what it did at once."""

from __future__ import annotations

import click

from weighthouse.cli.connection import connect, fresh
from weighthouse.cli.show import Column, card, listing, many, output, say

_COLUMNS = (
    Column("id", "id"),
    Column("at", "at", "time"),
    Column("severity", "severity", "state"),
    Column("rule", "rule"),
    Column("person", "principal"),
    Column("done", "response"),
    Column("seen by", "acknowledged_by"),
    Column("text", "text"),
)
_DETAIL = (
    *_COLUMNS[:5],
    Column("title", "title"),
    Column("text", "text"),
    Column("session", "session"),
    Column("log entries", "evidence"),
    Column("done at once", "response"),
    Column("seen by", "acknowledged_by"),
    Column("seen at", "acknowledged_at", "time"),
    Column("note", "note"),
)


@click.group("alerts", invoke_without_command=True)
@many(50)
@output
@click.pass_context
def command(ctx: click.Context, limit: int, fmt: str | None) -> None:
    """What detection saw and did."""
    if ctx.invoked_subcommand is None:
        items = list(connect(ctx).items("/alerts", limit or None))
        listing(
            items, _COLUMNS, fmt, empty="No alert stands. That shows what the rules looked for, not that all is well."
        )


@command.command("show")
@click.argument("alert")
@output
@click.pass_context
def show(ctx: click.Context, alert: str, fmt: str | None) -> None:
    """Show ALERT with the log entries it rests on."""
    card(connect(ctx).get(f"/alerts/{alert}"), _DETAIL, fmt)


@command.command("acknowledge")
@click.argument("alert")
@click.option("--note", default="", help="What you found or will do.")
@click.pass_context
def acknowledge(ctx: click.Context, alert: str, note: str) -> None:
    """Put on record that you have seen ALERT and take it from here."""
    connection = connect(ctx)
    fresh(connection, lambda: connection.post(f"/alerts/{alert}/acknowledge", {"note": note}))
    say(f"Acknowledged {alert}.")
