"""`weighthouse policy`: check, compare and publish the lab's policy. Guards the lab from a file nobody has read.

Checking and comparing change nothing. Where no server is named and nobody is signed in, a file is checked by itself,
by the same rules, and what could not be compared is said aloud. Publishing is signed by the control plane, versioned
and logged with its difference in plain words.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import click
import msgspec

from weighthouse.cli.connection import connect, fresh, has_server
from weighthouse.cli.show import Column, card, clean_lines, emit_json, form, heading, output, say
from weighthouse.core import written

_BUNDLE = (Column("version", "version"), Column("digest", "digest"), Column("lab", "lab"))
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
NOT_COMPARED = (
    "what it would change in the policy in force, and which requests and grants end with that",
    "whether the committee in force may be followed by this one",
    "the budgets that the server is set to: models were judged by the defaults of egress.*",
)


@click.group("policy")
def command() -> None:
    """Check, compare and publish the lab's policy."""


@command.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output
@click.pass_context
def check(ctx: click.Context, file: Path, fmt: str | None) -> None:
    """Check FILE and say what it would change; changes nothing. A mistake is named with its line.

    Without a server (none named with --server, nobody signed in) FILE is checked by itself.
    """
    if not has_server(ctx):
        _alone(file, fmt)
        return
    connection, body = connect(ctx), _body(file)
    answer = connection.post("/policy/check", body)
    _difference({**answer, "unheld": connection.post("/egress/check", body)["items"]}, fmt)


def _alone(file: Path, fmt: str | None) -> None:
    """Check a file by the rules alone, and say what those cannot know."""
    from weighthouse.core.clock import SystemClock
    from weighthouse.core.settings import Settings
    from weighthouse.egress import api as egress
    from weighthouse.policy import api as policy

    text = written.read_text(file)
    lab = policy.parse(text, file.name, now=SystemClock().now())
    unheld = [msgspec.to_builtins(one) for one in egress.unheld(Settings(egress.settings), lab)]
    answer: dict[str, Any] = {
        "lab": lab.id,
        "digest": policy.digest_of(text),
        "notes": policy.notes(lab),
        "unheld": unheld,
        "not_compared": list(NOT_COMPARED),
    }
    if form(fmt) == "json":
        emit_json(answer)
    else:
        card(answer, _BUNDLE[1:], fmt)
        _notes(answer["notes"])
        _unheld(unheld)
    say("The file is in order by itself. Not compared, since no server was asked:")
    for what in NOT_COMPARED:
        say(f"  {what}")
    say("`weighthouse login`, then the same again, compares them.")


def _body(file: Path) -> dict[str, Any]:
    return {"name": file.name, "text": written.read_text(file)}


def _difference(answer: dict[str, Any], fmt: str | None) -> None:
    if form(fmt) == "json":
        emit_json(answer)
        return
    card(answer, _BUNDLE, fmt)
    heading("What it changes")
    clean_lines(answer.get("difference") or ["Nothing."])
    _notes(answer.get("notes", []))
    _unheld(answer["unheld"])


def _notes(notes: list[str]) -> None:
    if notes:
        heading("Worth knowing")
        clean_lines(notes)


def _unheld(faults: list[dict[str, Any]]) -> None:
    if faults:
        heading("What does not hold")
        clean_lines([f"{one['model']}: {one['why']}. {one['remedy']}" for one in faults])


@command.command("show")
@output
@click.pass_context
def show(ctx: click.Context, fmt: str | None) -> None:
    """Show the policy in force: its version and digest."""
    card(connect(ctx).get("/policy"), _BUNDLE, fmt)


@command.command("text")
@click.argument("digest")
@click.pass_context
def text(ctx: click.Context, digest: str) -> None:
    """Write the text that DIGEST names, in force or once in force, as it was published: to compare or to put back.

    To put it back takes what any publication takes: a request that names the digest, its approvals, and `publish`.
    """
    if not _DIGEST.fullmatch(digest):
        raise click.BadParameter("is not sha256: and 64 figures", param_hint="DIGEST")
    found = str(connect(ctx).get(f"/policy/texts/{digest}")["text"])
    if f"sha256:{hashlib.sha256(found.encode()).hexdigest()}" != digest:
        raise click.ClickException("What the server answered is not the text that this digest names.")
    click.echo(found, nl=False)


@command.command("publish")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask; for pipelines that have checked the file before.")
@output
@click.pass_context
def publish(ctx: click.Context, file: Path, yes: bool, fmt: str | None) -> None:
    """Put FILE in force; needs policy.publish and a fresh second factor."""
    connection = connect(ctx)
    body = _body(file)
    if not yes:
        answer = connection.post("/policy/check", body)
        _difference({**answer, "unheld": connection.post("/egress/check", body)["items"]}, "table")
        click.confirm("\nPut this in force?", abort=True)
    bundle = fresh(connection, lambda: connection.post("/policy", body))
    card(bundle, _BUNDLE, fmt)
    say("The new policy is in force. Open requests and motions that it changes must be asked again.")
