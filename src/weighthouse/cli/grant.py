"""`weighthouse grant`: the access you have, how to give it back, and how a responder takes it away."""

from __future__ import annotations

import click

from weighthouse.cli.connection import connect, fresh
from weighthouse.cli.show import Column, listing, output, say

COLUMNS = (
    Column("id", "id"),
    Column("state", "state", "state"),
    Column("role", "request.entitlement"),
    Column("resource", "request.resource"),
    Column("person", "request.person"),
    Column("actions", "request.actions"),
    Column("from", "not_before", "time"),
    Column("until", "end", "time"),
    Column("ended", "ended_why"),
)


@click.group("grant", invoke_without_command=True)
@output
@click.pass_context
def command(ctx: click.Context, fmt: str | None) -> None:
    """See, give back or revoke access."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, fmt=fmt)


@command.command("list")
@click.option("--person", help="Whose grants; the default is your own.")
@output
@click.pass_context
def list_(ctx: click.Context, person: str | None = None, fmt: str | None = None) -> None:
    """List grants, newest first."""
    items = list(connect(ctx).items("/grants", principal=person))
    listing(items, COLUMNS, fmt, empty="No grants. `weighthouse request` asks for one.")


@command.command("give-back")
@click.argument("grant")
@click.pass_context
def give_back(ctx: click.Context, grant: str) -> None:
    """End your own GRANT now; nothing more is released under it."""
    connect(ctx).post(f"/grants/{grant}/give-back")
    say(f"Gave back {grant}.")


@command.command("revoke")
@click.argument("grant")
@click.option("--reason", required=True, help="Why; it goes into the log.")
@click.pass_context
def revoke(ctx: click.Context, grant: str, reason: str) -> None:
    """End somebody's GRANT now; needs the permission grant.revoke."""
    connection = connect(ctx)
    fresh(connection, lambda: connection.post(f"/grants/{grant}/revoke", {"reason": reason}))
    say(f"Revoked {grant}.")
