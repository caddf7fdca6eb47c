"""`weighthouse why` and `who`: explain a yes or a no, and list who can reach a thing. Guards against guessing."""

from __future__ import annotations

import click

from weighthouse.cli.connection import connect
from weighthouse.cli.show import Column, card, form, heading, listing, output

_DECISION = (
    Column("answer", lambda d: "allowed" if d["allowed"] else "denied", "state"),
    Column("person", "principal"),
    Column("action", "action"),
    Column("resource", "resource"),
    Column("grant", "grant"),
    Column("until", "until", "time"),
    Column("still missing", "missing"),
    Column("what to do", "remedy"),
    Column("policy", "policy_digest"),
)
_REASONS = (Column("code", "code"), Column("rule", "rule"), Column("reason", "text"), Column("grant", "grant"))
_ACCESS = (
    Column("person", "principal"),
    Column("name", "name"),
    Column("through", "via"),
    Column("actions", "actions"),
    Column("grant", "grant"),
    Column("until", "until", "time"),
    Column("why", "why"),
)


@click.command("why")
@click.argument("action")
@click.argument("resource")
@click.option("--person", help="Whose access; the default is your own.")
@output
@click.pass_context
def command(ctx: click.Context, action: str, resource: str, person: str | None, fmt: str | None) -> None:
    """Explain a yes or a no.

    Says whether ACTION on RESOURCE is allowed now, by which rules, and what would have to change. Asking leaves no
    line in the log and grants nothing. Exits with 0 for yes and for no.
    """
    decision = connect(ctx).get("/explain", action=action, resource=resource, principal=person)
    card(decision, _DECISION, fmt)
    if form(fmt) != "json":
        heading("Reasons, the deciding one first")
        listing(decision["reasons"], _REASONS, fmt, empty="No rule spoke for it; without one the answer is no.")


@click.command("who")
@click.argument("resource")
@output
@click.pass_context
def who(ctx: click.Context, resource: str, fmt: str | None) -> None:
    """List who can reach a resource, and why."""
    items = list(connect(ctx).items("/who", resource=resource))
    listing(items, _ACCESS, fmt, empty=f"Nobody can reach {resource} now.")
