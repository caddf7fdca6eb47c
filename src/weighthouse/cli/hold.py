"""`weighthouse hold`: stop a thing, a person or the whole lab at once. A hold beats every grant.

One that the committee placed cannot be lifted here, whoever asks: it takes a vote (`weighthouse committee lift`).
"""

from __future__ import annotations

import sys

import click

from weighthouse.cli.connection import Connection, connect, fresh
from weighthouse.cli.show import Column, card, form, listing, many, output, say

_COLUMNS = (
    Column("id", "id"),
    Column("on", "subject"),
    Column("kind", "kind"),
    Column("stops", lambda hold: hold["actions"] or "everything"),
    Column("by", "placed_by"),
    Column("since", "at", "time"),
    Column("reason", "reason"),
)


@click.group("hold", invoke_without_command=True)
@output
@click.pass_context
def command(ctx: click.Context, fmt: str | None) -> None:
    """Stop a resource, a person or the whole lab; lift it again."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, fmt=fmt)


@command.command("list")
@click.option("--on", "subject", help="Only holds on exactly this subject.")
@output
@click.pass_context
def list_(ctx: click.Context, subject: str | None = None, fmt: str | None = None) -> None:
    """List the holds that stand now."""
    items = list(connect(ctx).items("/holds", subject=subject))
    listing(items, _COLUMNS, fmt, empty="No hold stands.")


_STOPS = (
    Column("what", "what"),
    Column("now", "count"),
    Column("which are", "means"),
    Column("first", lambda one: one["first"]),
)


@command.command("preview")
@click.argument("subject")
@click.option("--action", "actions", multiple=True, help="Only stop this action; may be given again.")
@output
@click.pass_context
def preview(ctx: click.Context, subject: str, actions: tuple[str, ...], fmt: str | None) -> None:
    """Show what a hold on SUBJECT would stop now, and place none."""
    _show_preview(connect(ctx), subject, actions, fmt)


def _show_preview(connection: Connection, subject: str, actions: tuple[str, ...], fmt: str | None) -> None:
    answer = connection.get("/holds/preview", subject=subject, actions=",".join(actions) or None)
    for line in answer["words"]:
        say(line)
    found = [one for one in answer["stops"] if one["count"]]
    listing(found, _STOPS, fmt, empty="Nothing of it is under way now; what begins later is stopped.", answer=answer)


_SHOWN = (
    *(
        Column(one.title, f"hold.{one.key}" if isinstance(one.key, str) else one.key, one.kind)
        for one in _COLUMNS[:3]
    ),
    Column("stops", lambda shown: shown["hold"]["actions"] or "everything"),
    Column("by", "hold.placed_by"),
    Column("since", "hold.at", "time"),
    Column("lifted", "hold.lifted", "time"),
    Column("reason", "hold.reason"),
    Column("has stopped", "stopped"),
)
_ACTS = (
    Column("index", "index"),
    Column("at", "at", "time"),
    Column("what", "what"),
    Column("by", "by"),
    Column("about", "about"),
)


@command.command("show")
@click.argument("hold")
@many(10)
@output
@click.pass_context
def show(ctx: click.Context, hold: str, limit: int, fmt: str | None) -> None:
    """Show HOLD, standing or lifted, and what it has stopped so far, the newest first."""
    connection = connect(ctx)
    shown = connection.get(f"/holds/{hold}")
    acts = list(connection.items(f"/holds/{hold}/stopped", most=limit or None))
    if form(fmt) != "json":
        card(shown, _SHOWN, fmt)
    listing(acts, _ACTS, fmt, empty="It has stopped nothing so far.", answer={**shown, "items": acts})


@command.command("place")
@click.argument("subject")
@click.option("--reason", required=True, help="Why; it goes into the log.")
@click.option("--action", "actions", multiple=True, help="Only stop this action; may be given again.")
@click.option("-y", "--yes", "at_once", is_flag=True, help="Place it at once, without showing what it would stop.")
@output
@click.pass_context
def place(
    ctx: click.Context, subject: str, reason: str, actions: tuple[str, ...], at_once: bool, fmt: str | None
) -> None:
    """Place a hold on SUBJECT; needs hold.place.

    SUBJECT is a resource (model/tern, dataset/stdlib), a version (ver_…), class:ID, environment:ID, a person, or lab.
    At a terminal you see first what it would stop, as `weighthouse hold preview` shows it, and are asked.
    """
    connection = connect(ctx)
    if not at_once and sys.stdin.isatty() and form(fmt) != "json":
        _show_preview(connection, subject, actions, "table")
        click.confirm("\nPlace this hold?", default=True, abort=True, err=True)
    body = {"subject": subject, "reason": reason, "actions": list(actions)}
    card(fresh(connection, lambda: connection.post("/holds", body)), _COLUMNS, fmt)


@command.command("lift")
@click.argument("hold")
@click.option("--reason", required=True, help="Why; it goes into the log.")
@click.pass_context
def lift(ctx: click.Context, hold: str, reason: str) -> None:
    """Lift HOLD; needs hold.place, and this machine's key must count. One of the kind log takes two people, each of
    whom lifts it."""
    connection = connect(ctx)
    sign, body = connection.client.opening, {"reason": reason}
    answer = fresh(connection, lambda: connection.post(f"/holds/{hold}/lift", {**body, **sign("hold.lift", hold)}))
    if answer["lifted"] is None:
        say(f"{hold} still stands: you have looked at it. It is lifted when a second person lifts it too.")
    else:
        say(f"Lifted {hold}.")
