"""`weighthouse search`: from a word to the narrowest role that opens the thing. It suggests and can grant nothing."""

from __future__ import annotations

from typing import Any

import click

from weighthouse.cli.connection import Connection, connect
from weighthouse.cli.show import Column, emit_json, form, heading, listing, many, output

FOUND = (
    Column("resource", "resource"),
    Column("name", "name"),
    Column("kind", "kind"),
    Column("class", "cls"),
    Column("environment", "environment"),
    Column("description", "description"),
)
ROLES = (
    Column("role", "entitlement"),
    Column("name", "name"),
    Column("excess", "excess"),
    Column("approvals", lambda role: [f"{s['count']} {s['name']} ({s['team']})" for s in role["slots"]] or "none"),
    Column("longest", "max", "span"),
    Column("why", "why"),
)


def find(connection: Connection, text: str, limit: int | None = 20) -> list[dict[str, Any]]:
    """Return the resources that fit `text`, best first."""
    return list(connection.items("/search", limit, q=text))


def roles(connection: Connection, resource: str, action: str | None = None) -> list[dict[str, Any]]:
    """Return the roles that would open `resource`, narrowest first."""
    return list(connection.items("/advise", resource=resource, action=action))


@click.command("search")
@click.argument("text", nargs=-1, required=True)
@click.option("--action", help="Only roles that allow this action, such as weights.load.")
@many(20)
@output
@click.pass_context
def command(ctx: click.Context, text: tuple[str, ...], action: str | None, limit: int, fmt: str | None) -> None:
    """Find a resource and the narrowest role that opens it.

    The roles shown are for the best match. `excess` counts what a role opens beyond what you looked for.
    """
    connection = connect(ctx)
    found = find(connection, " ".join(text), limit or None)
    ranked = roles(connection, found[0]["resource"], action) if found else []
    if form(fmt) == "json":
        emit_json({"items": found, "roles": ranked})
        return
    listing(found, FOUND, fmt, empty="Nothing that you may know of fits. Try fewer or other words.")
    if found and form(fmt) == "table":
        heading(f"Roles that open {found[0]['resource']}, narrowest first")
        listing(ranked, ROLES, fmt, empty="No role that you may ask for opens it; ask the team that owns it.")
