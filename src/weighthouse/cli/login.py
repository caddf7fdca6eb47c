"""`weighthouse login`, `whoami`, `logout`: a session bound to this machine's key. Guards it from being portable.

Passwords and codes are asked for in the browser, or (development provider only) at a hidden prompt or in the
environment: never as an argument, where other users of the machine could read them.
"""

from __future__ import annotations

import datetime
import socket
from typing import Any

import click

from weighthouse.cli import operate
from weighthouse.cli.connection import Connection, connect, fresh, server, sign_in
from weighthouse.cli.show import Column, card, listing, output, say
from weighthouse.cli.words import when

_ME = (
    Column("person", "principal"),
    Column("name", "person.name"),
    Column("teams", "person.teams"),
    Column("session", "session"),
    Column("bound to", "binding"),
    Column("device", "device"),
    Column("assurance", lambda me: {1: "one factor", 2: "second factor"}.get(me["assurance"]["level"], "none")),
    Column("proved", "assurance.at", "time"),
    Column("server", "server"),
    Column("its log", lambda me: str(me.get("audience", "")).rpartition("#")[2]),
)


@click.command("login")
@click.option("--headless", is_flag=True, help="Sign in in this terminal; for the development provider only.")
@click.option(
    "--account", help="Account for --headless; the password and code are prompted for or in the environment."
)
@click.option("--step-up", is_flag=True, help="Give a fresh second factor to the session you have.")
@click.option("--enrol", metavar="NAME", help="Also enrol this machine's key as a device that may sign your votes.")
@click.option(
    "--log",
    "mark",
    metavar="MARK",
    help="The mark of the server's log, as an operator or a colleague's whoami has it.",
)
@click.pass_context
def command(
    ctx: click.Context, headless: bool, account: str | None, step_up: bool, enrol: str | None, mark: str | None
) -> None:
    """Sign in, in the browser or in this terminal.

    With --headless, WEIGHTHOUSE_PASSWORD and WEIGHTHOUSE_TOTP_SECRET are used when set, and prompted for otherwise.

    Each server gets a key of its own, and the log that it has at the first sign-in is remembered. Another log at the
    same address is another server: give its MARK with --log only when somebody who knows has read it to you.
    """
    connection = connect(ctx, anonymous=not step_up)
    session = sign_in(connection, headless=headless, step_up=step_up, account=account or "", log=mark or "")
    say(f"Signed in to {server(ctx)} as {session.person} until {when(session.ends)}.")
    if enrol:
        device = fresh(connection, lambda: connection.client.enrol(enrol))
        say(f"Enrolled this machine's key as {device['id']} ({enrol}).")


@click.command("whoami")
@output
@click.pass_context
def whoami(ctx: click.Context, fmt: str | None) -> None:
    """Show who you are signed in as, and how surely."""
    answer = connect(ctx).get("/me")
    card({**answer, "server": server(ctx)}, _ME, fmt, answer=answer)


@click.command("logout")
@click.pass_context
def logout(ctx: click.Context) -> None:
    """End this session on the server and forget it here."""
    connection = connect(ctx)
    onward = ""
    try:
        onward = connection.client.sign_out()
    finally:
        connection.forget()
    say(f"Signed out of {server(ctx)}.")
    if onward:
        say(f"To sign out at the identity provider too, open {onward}")


_KEYS = (
    Column("id", "id"),
    Column("name", "name"),
    Column("key", "thumbprint"),
    Column("enrolled", "at", "time"),
)


@click.group("devices", invoke_without_command=True)
@output
@click.pass_context
def devices(ctx: click.Context, fmt: str | None) -> None:
    """List and enrol the keys that may sign your votes."""
    if ctx.invoked_subcommand is not None:
        return
    items = list(connect(ctx).items("/devices"))
    listing(
        items, _KEYS, fmt, empty="No device may sign your votes yet; `weighthouse devices enrol` enrols this one."
    )


@devices.command("enrol")
@click.option("--name", default=socket.gethostname, help="What to call this machine.", show_default="its host name")
@click.pass_context
def enrol_device(ctx: click.Context, name: str) -> None:
    """Enrol this machine's key; asks for a fresh second factor."""
    connection = connect(ctx)
    device = fresh(connection, lambda: connection.client.enrol(name[:80]))
    say(f"Enrolled this machine's key as {device['id']}.")


@devices.command("confirm")
@click.argument("device")
@click.option("--of", "person", metavar="PERSON", help="Confirm a key of PERSON as the second person; needs --key.")
@click.option("--key", "mark", metavar="KEY", help="The key as PERSON reads it to you from `weighthouse devices`.")
@click.pass_context
def confirm_device(ctx: click.Context, device: str, person: str | None, mark: str | None) -> None:
    """Confirm DEVICE, so that it may sign what is sensitive: your own, or another's with --of.

    This machine's key signs it and must count already. Ask the person first, in person or by telephone, for the
    device and the key that they see on their machine.
    """
    if bool(person) != bool(mark):
        raise click.UsageError("--of PERSON and --key KEY go together: the person reads you both.")
    connection = connect(ctx)
    path = f"/people/{person}/devices/{device}/confirm" if person else f"/devices/{device}/confirm"
    fresh(connection, lambda: connection.post(path, _confirmation(connection, device, person, mark)))
    say(f"Confirmed {device}.")


def _confirmation(connection: Connection, device: str, person: str | None, mark: str | None) -> dict[str, Any]:
    """This machine's key and its signature over whose key it is: as its owner reads it, or one's own list has it."""
    own = {str(one["id"]): str(one["thumbprint"]) for one in connection.items("/devices")} if mark is None else {}
    return connection.client.confirmation(device, mark or own.get(device, ""), of=person or "")


devices.add_command(operate.confirm_first)


@devices.command("aside")
@output
@click.pass_context
def keys_aside(ctx: click.Context, fmt: str | None) -> None:
    """List your keys that were set aside: security lets one count again once you have read its key to them."""
    listing(list(connect(ctx).items("/devices/aside")), _KEYS, fmt, empty="No key of yours is set aside.")


@devices.command("end")
@click.argument("device")
@click.option("--reason", default="ended by its owner", show_default=True)
@click.option("--retired", is_flag=True, help="It is yours, and nobody else has had it: leave what was done with it.")
@click.option(
    "--since",
    type=click.DateTime(("%Y-%m-%dT%H:%M", "%Y-%m-%d")),
    help="Take back what was done with it since this moment (UTC), when it was last in your hands.",
    show_default="a week ago",
)
@click.pass_context
def end_device(ctx: click.Context, device: str, reason: str, retired: bool, since: datetime.datetime | None) -> None:
    """End DEVICE, which was stolen or is not yours; no vote or ballot that it signed counts any more.

    What was asked for and given since in its sessions, signed out or not, and wherever it signed, is taken back too:
    keys that it confirmed wait again, a recusal falls. With --retired, for your own old machine, nothing of that is.
    """
    if retired and since:
        raise click.UsageError("--retired leaves what was done with the key; --since takes it back. Say one of them.")
    said: dict[str, Any] = {"reason": reason}
    if retired:
        said["retired"] = True
    if since:
        said["since"] = int(since.replace(tzinfo=datetime.UTC).timestamp() * 1000)
    connect(ctx).post(f"/devices/{device}/end", said)
    what = f"since {since:%Y-%m-%d %H:%M} UTC" if since else "in the week before it ended"
    left = (
        "Nothing is said against what was done with it."
        if retired
        else f"What was done with it {what} is taken back."
    )
    say(f"Ended {device}. {left}")
