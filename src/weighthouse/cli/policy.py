"""`weighthouse policy`: check, compare and publish the lab's policy. Guards the lab from a file nobody has read.

Checking and comparing change nothing. Publishing is signed by the control plane, versioned and logged with its
difference in plain words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from weighthouse.cli.connection import connect, fresh
from weighthouse.cli.show import Column, card, clean_lines, emit_json, form, heading, output, say
from weighthouse.core import written

_BUNDLE = (Column("version", "version"), Column("digest", "digest"), Column("lab", "lab"))


@click.group("policy")
def command() -> None:
    """Check, compare and publish the lab's policy."""


@command.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output
@click.pass_context
def check(ctx: click.Context, file: Path, fmt: str | None) -> None:
    """Check FILE and say what it would change; changes nothing. A mistake is named with its line."""
    connection, body = connect(ctx), _body(file)
    answer = connection.post("/policy/check", body)
    _difference({**answer, "unheld": connection.post("/egress/check", body)["items"]}, fmt)


def _body(file: Path) -> dict[str, Any]:
    return {"name": file.name, "text": written.read_text(file)}


def _difference(answer: dict[str, Any], fmt: str | None) -> None:
    if form(fmt) == "json":
        emit_json(answer)
        return
    card(answer, _BUNDLE, fmt)
    heading("What it changes")
    clean_lines(answer.get("difference") or ["Nothing."])
    if answer["unheld"]:
        heading("What does not hold")
        clean_lines([f"{one['model']}: {one['why']}. {one['remedy']}" for one in answer["unheld"]])


@command.command("show")
@output
@click.pass_context
def show(ctx: click.Context, fmt: str | None) -> None:
    """Show the policy in force: its version and digest."""
    card(connect(ctx).get("/policy"), _BUNDLE, fmt)


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
