"""`weighthouse sessions`: live sessions, how to end one, and how a responder stops a person in one step."""

from __future__ import annotations

import click

from weighthouse.cli import operate
from weighthouse.cli.connection import connect, fresh
from weighthouse.cli.show import Column, listing, output, say

_COLUMNS = (
    Column("id", "id"),
    Column("this one", "current", "yes"),
    Column("bound to", "binding"),
    Column("address", "address"),
    Column("client", "user_agent"),
    Column("began", "created", "time"),
    Column("last seen", "seen", "time"),
    Column("ends", "ends", "time"),
    Column("lately", lambda one: "; ".join(said["what"] for said in one.get("lately", [])[:2])),
)
_ENDED = (
    Column("id", "id"),
    Column("client", "user_agent"),
    Column("began", "created", "time"),
    Column("ended", lambda one: one["ended"] or one["seen"], "time"),
    Column("why", lambda one: (one.get("ended_why") or one.get("ended_reason")) if one["ended"] else "out of use"),
    Column("lately", lambda one: "; ".join(said["what"] for said in one.get("lately", [])[:2])),
)
_PEOPLE = (
    Column("person", "id"),
    Column("name", "name"),
    Column("teams", "teams"),
    Column("active", "active", "yes"),
    Column("frozen", lambda person: "frozen" if person["frozen"] else "", "state"),
)
_KEYS = (
    Column("id", "id"),
    Column("name", "name"),
    Column("key", "thumbprint"),
    Column("enrolled", "at", "time"),
)
_FROZEN = (Column("person", "id"), Column("name", "name"), Column("why", "frozen_reason"))


@click.group("sessions", invoke_without_command=True)
@click.option("--person", help="Whose sessions; the default is your own. Needs session.end.")
@click.option("--ended", is_flag=True, help="Those that are over lately, which can be taken back still.")
@output
@click.pass_context
def command(ctx: click.Context, person: str | None, ended: bool, fmt: str | None) -> None:
    """List and end sessions; freeze and thaw people."""
    if ctx.invoked_subcommand is None:
        path = f"/people/{person}/sessions" if person else "/sessions"
        if ended:
            listing(list(connect(ctx).items(f"{path}/ended")), _ENDED, fmt, empty="No session that ended lately.")
        else:
            listing(list(connect(ctx).items(path)), _COLUMNS, fmt, empty="No live session.")


@command.command("end")
@click.argument("session")
@click.option("--person", help="Whose session it is, when it is not your own. Needs session.end.")
@click.option("--reason", default="ended by its owner", show_default=True)
@click.pass_context
def end(ctx: click.Context, session: str, person: str | None, reason: str) -> None:
    """End SESSION; nothing works for it any more, its runs stop, and what was asked for in it is taken back."""
    connection = connect(ctx)
    path = f"/people/{person}/sessions/{session}/end" if person else f"/sessions/{session}/end"
    fresh(connection, lambda: connection.post(path, {"reason": reason}))
    say(f"Ended {session}.")


@command.command("not-me")
@click.confirmation_option(
    prompt="End every session of yours, set your keys aside, and take back your grants and requests?"
)
@click.pass_context
def not_me(ctx: click.Context) -> None:
    """Stop everything that is done in your name: somebody else is you. Needs no second factor; security undoes it."""
    connection = connect(ctx)
    done = connection.post("/sessions/not-me")
    connection.forget()
    say(f"Ended {done['sessions']} sessions and set {done['devices']} keys aside. Now speak with security.")


@command.command("keys-aside")
@click.argument("person")
@output
@click.pass_context
def keys_aside(ctx: click.Context, person: str, fmt: str | None) -> None:
    """List the keys of PERSON that were set aside and may count again; needs person.freeze."""
    listing(list(connect(ctx).items(f"/people/{person}/devices/aside")), _KEYS, fmt, empty="No key is set aside.")


@command.command("restore-key")
@click.argument("person")
@click.argument("device")
@click.option("--key", "mark", metavar="KEY", required=True, help="The key as PERSON reads it to you.")
@click.pass_context
def restore_key(ctx: click.Context, person: str, device: str, mark: str) -> None:
    """Let DEVICE of PERSON count again, which was set aside; needs person.freeze, and this machine's key must count.

    Ask PERSON first, in person or by telephone: they see device and key on their machine with `weighthouse devices
    aside`, or on their page of sessions.
    """
    connection = connect(ctx)
    path, subject = f"/people/{person}/devices/{device}/restore", f"{person}/{mark}"
    fresh(connection, lambda: connection.post(path, connection.client.opening("person.key", subject)))
    say(f"{device} of {person} counts again.")


@command.command("people")
@output
@click.pass_context
def people(ctx: click.Context, fmt: str | None) -> None:
    """List everybody in the lab, and who is frozen."""
    listing(list(connect(ctx).items("/people")), _PEOPLE, fmt, empty="The lab's policy names nobody.")


@command.command("frozen")
@output
@click.pass_context
def frozen(ctx: click.Context, fmt: str | None) -> None:
    """List who is frozen, and why; needs person.freeze or audit.read."""
    listing(list(connect(ctx).items("/people/frozen")), _FROZEN, fmt, empty="Nobody is frozen.")


@command.command("freeze")
@click.argument("person")
@click.option("--reason", required=True, help="Why; it goes into the log.")
@click.pass_context
def freeze(ctx: click.Context, person: str, reason: str) -> None:
    """End every session of PERSON and let nobody sign in as them; needs person.freeze."""
    connection = connect(ctx)
    fresh(connection, lambda: connection.post(f"/people/{person}/freeze", {"reason": reason}))
    say(f"Froze {person}; their sessions have ended and their grants release nothing.")


@command.command("thaw")
@click.argument("person")
@click.option("--reason", required=True, help="Why; it goes into the log.")
@click.pass_context
def thaw(ctx: click.Context, person: str, reason: str) -> None:
    """Let PERSON sign in again; needs person.freeze, this machine's key must count, and nobody thaws themselves."""
    connection = connect(ctx)
    sign, body = connection.client.opening, {"reason": reason}
    fresh(connection, lambda: connection.post(f"/people/{person}/thaw", {**body, **sign("person.thaw", person)}))
    say(f"Thawed {person}; they must sign in again.")


command.add_command(operate.mend)
