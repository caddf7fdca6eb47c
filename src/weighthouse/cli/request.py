"""`weighthouse request`: ask for access. Guards the person from asking for more, or for longer, than the work needs.

Without arguments it asks its way through: what, which role (narrowest first), how long, why. Nothing is sent before
the last question is answered.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from weighthouse.cli.connection import Connection, connect
from weighthouse.cli.search import FOUND, ROLES, find, roles
from weighthouse.cli.show import Column, card, clean_lines, heading, listing, many, output, say
from weighthouse.cli.words import Duration, milliseconds, span

COLUMNS = (
    Column("id", "id"),
    Column("state", "state", "state"),
    Column("role", "entitlement"),
    Column("resource", "resource"),
    Column("person", "person"),
    Column("for", "duration", "span"),
    Column("asked", "created", "time"),
    Column("lapses", "lapses", "time"),
    Column("reason", "reason"),
)


@click.group("request", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Ask for access; without arguments, step by step."""
    if ctx.invoked_subcommand is None:
        if not sys.stdin.isatty():
            raise click.UsageError(
                "Step by step needs a terminal; `weighthouse request new --help` says how a script asks.", ctx
            )
        _step_by_step(connect(ctx))


def _step_by_step(connection: Connection) -> None:
    found = find(connection, click.prompt("What do you want to work on?"))
    if not found:
        say("Nothing that you may know of fits. Try `weighthouse search WORDS` with others.")
        return
    listing([{"#": n, **item} for n, item in enumerate(found, 1)], (Column("#", "#"), *FOUND), "table", empty="")
    resource = found[_choice("Which one?", len(found))]["resource"]
    ranked = roles(connection, resource)
    if not ranked:
        say(f"No role that you may ask for opens {resource}; ask the team that owns it.")
        return
    heading("Roles that open it, narrowest first")
    listing([{"#": n, **item} for n, item in enumerate(ranked, 1)], (Column("#", "#"), *ROLES), "table", empty="")
    role = ranked[_choice("Which role?", len(ranked))]
    duration = click.prompt(
        f"For how long? At most {span(role['max'])}", default=_short(role["default"]), value_proc=_duration
    )
    reason = click.prompt("Why? Approvers will read this")
    say(f"\n{role['entitlement']} on {resource} for {span(duration)}: {reason}")
    if click.confirm("Send this request?", default=True):
        _tell(_submit(connection, role["entitlement"], resource, duration, reason, {}))


def _choice(question: str, count: int) -> int:
    return int(click.prompt(question, type=click.IntRange(1, count), default=1)) - 1


def _duration(text: object) -> int:
    try:
        return text if isinstance(text, int) else milliseconds(str(text))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _short(ms: int) -> str:
    return f"{ms // 3_600_000}h" if ms % 3_600_000 == 0 else f"{ms // 60_000}m"


def _submit(
    connection: Connection, entitlement: str, resource: str, duration: int, reason: str, operation: dict[str, Any]
) -> dict[str, Any]:
    body: dict[str, Any] = {"entitlement": entitlement, "resource": resource, "duration": duration, "reason": reason}
    if operation:
        body["operation"] = operation
    answer: dict[str, Any] = connection.post("/requests", body)
    return answer


def _tell(request: dict[str, Any]) -> None:
    if request["state"] == "approved":
        say(f"{request['id']} needed nobody else: the grant has started. `weighthouse grant list` shows it.")
    else:
        waits = ", ".join(f"{slot['count']} {slot['name']} ({slot['team']})" for slot in request["slots"])
        say(f"{request['id']} waits for: {waits}. `weighthouse request show {request['id']}` follows it.")


@command.command("new")
@click.argument("entitlement")
@click.argument("resource")
@click.option("--for", "duration", type=Duration(), required=True, help="How long: 90m, 2h, 1d.")
@click.option("--reason", required=True, help="Why; approvers read it.")
@click.option("--operation", help="JSON that pins the request to one operation, for example one version to export.")
@output
@click.pass_context
def new(
    ctx: click.Context,
    entitlement: str,
    resource: str,
    duration: int,
    reason: str,
    operation: str | None,
    fmt: str | None,
) -> None:
    """Ask for ENTITLEMENT on RESOURCE."""
    try:
        pinned = json.loads(operation) if operation else {}
    except ValueError:
        raise click.BadParameter("is not JSON", param_hint="--operation") from None
    request = _submit(connect(ctx), entitlement, resource, duration, reason, pinned)
    if fmt == "json":
        card(request, COLUMNS, fmt)
    else:
        click.echo(request["id"])
        _tell(request)


@command.command("list")
@many(50)
@output
@click.pass_context
def list_(ctx: click.Context, limit: int, fmt: str | None) -> None:
    """List your own requests, newest first."""
    items = list(connect(ctx).items("/requests", limit or None))
    listing(items, COLUMNS, fmt, empty="You have asked for nothing yet; `weighthouse request` begins.")


@command.command("show")
@click.argument("request")
@output
@click.pass_context
def show(ctx: click.Context, request: str, fmt: str | None) -> None:
    """Show REQUEST: what was asked, who has voted, what is missing."""
    answer = connect(ctx).get(f"/requests/{request}/card")
    show_card(answer, fmt)


def show_card(answer: dict[str, Any], fmt: str | None) -> None:
    """Show an approval card: the same words that the console shows and that a signature covers."""
    card(answer["request"], (*COLUMNS, Column("digest", lambda _: answer["digest"])), fmt, answer=answer)
    if fmt == "json":
        return
    for title, lines in (
        ("What is asked", answer["lines"]),
        ("Unusual", answer["unusual"]),
        ("Still missing", answer["missing"]),
    ):
        if lines:
            heading(title)
            clean_lines(lines)
    if answer["votes"]:
        heading("Votes")
        columns = (
            Column("who", "voter"),
            Column("vote", "verdict", "state"),
            Column("at", "at", "time"),
            Column("signed with", lambda vote: vote["device"] or "attested by the server"),
            Column("comment", "comment"),
        )
        listing(answer["votes"], columns, fmt, empty="")
    if answer["alternatives"]:
        heading("Narrower roles that might do")
        listing(answer["alternatives"], ROLES, fmt, empty="")


@command.command("withdraw")
@click.argument("request")
@click.pass_context
def withdraw(ctx: click.Context, request: str) -> None:
    """Withdraw REQUEST before it is decided."""
    connect(ctx).post(f"/requests/{request}/withdraw")
    say(f"Withdrew {request}.")
