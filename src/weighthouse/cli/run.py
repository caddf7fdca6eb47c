"""`weighthouse run`: submit, watch and stop training runs. A run's way out and its keys are its own, never yours."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from weighthouse.cli import exits
from weighthouse.cli.connection import Connection, connect, fresh
from weighthouse.cli.show import Column, card, emit_json, form, listing, many, output, say
from weighthouse.cli.words import Duration, clean
from weighthouse.core.errors import Invalid

OPEN = frozenset({"queued", "preparing", "running"})
OURS = "weighthouse: "  # before each line of the control plane in a run's output
POLL_S = 0.5
MAX_CODE = 1 << 20
_COLUMNS = (
    Column("id", "id"),
    Column("state", "state", "state"),
    Column("model", "model"),
    Column("owner", "owner"),
    Column("progress", lambda run: f"{run['progress'] / 10:.1f} %"),
    Column("loss", lambda run: None if run["loss_micro"] is None else f"{run['loss_micro'] / 1e6:.4f}"),
    Column("submitted", "submitted", "time"),
    Column("ended", "ended", "time"),
    Column("reason", "reason"),
)
_DETAIL = (
    *_COLUMNS[:6],
    Column("note", "note"),
    Column("command", "order.command"),
    Column("environment", "order.environment"),
    Column("data", "order.dataset"),
    Column("parent", "order.parent"),
    Column("risk", "order.risk"),
    Column("egress profile", "order.egress_profile"),
    Column("order", "order_digest"),
    Column("grant", "grant"),
    Column("sandbox", "facts.tier"),
    Column("runtime", "facts.runtime"),
    Column("sent", "sent_bytes", "size"),
    Column("submitted", "submitted", "time"),
    Column("started", "started", "time"),
    Column("ended", "ended", "time"),
    Column("must end", "must_end", "time"),
    Column("exit status", "exit_status"),
    Column("reason", "reason"),
)


@click.group("run", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Submit, watch and stop training runs."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.command("submit")
@click.argument("program", nargs=-1, required=True)
@click.option("--model", required=True, help="The model to work on, such as model/tern.")
@click.option(
    "--code", type=click.Path(exists=True, path_type=Path), multiple=True, help="A file, or a folder of .py."
)
@click.option("--dataset", required=True, help="The data to read, such as dataset/stdlib.")
@click.option("--environment", default="", help="Digest of interpreter and packages; see `run environments`.")
@click.option("--parent", help="The version to continue from.")
@click.option("--risk", type=click.Choice(["low", "high"]), default="high", show_default=True)
@click.option("--egress", "profile", default="none", show_default=True, help="The profile of what it may reach.")
@click.option(
    "--for", "wall_clock", type=Duration(), default="10m", show_default=True, help="The longest it may take."
)
@click.option("-f", "--follow", is_flag=True, help="Stay and print its output.")
@output
@click.pass_context
def submit(ctx: click.Context, /, fmt: str | None, follow: bool, code: tuple[Path, ...], **order: Any) -> None:
    """Submit PROGRAM with its arguments, to run in a sandbox as a workload of its own.

    Put -- before PROGRAM when it has options:
    weighthouse run submit --model … --dataset … --code train.py -- python train.py -v
    """
    connection = connect(ctx)
    body = {
        "model": order["model"],
        "environment": order["environment"] or _environment(connection),
        "command": list(order["program"]),
        "code": _code(code),
        "dataset": order["dataset"],
        "parent": order["parent"],
        "risk": order["risk"],
        "egress_profile": order["profile"],
        "wall_clock_s": max(1, order["wall_clock"] // 1000),
    }
    run = fresh(connection, lambda: connection.post("/runs", body))
    if form(fmt) == "json" and not follow:
        emit_json(run)
        return
    click.echo(run["id"])
    if follow:
        _follow(ctx, connection, run["id"])


def _environment(connection: Connection) -> str:
    """Return the one environment there is; with several, the choice is the person's."""
    found = [str(item["digest"]) for item in connection.items("/runs/environments")]
    if len(found) != 1:
        raise click.UsageError("Choose an environment with --environment; `weighthouse run environments` lists them.")
    return found[0]


def _code(paths: tuple[Path, ...]) -> dict[str, str]:
    """Return the texts to send, by name; the digest of the order covers every one of them."""
    found: dict[str, str] = {}
    for path in paths:
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            if name in found:
                raise Invalid("cli.code_twice", f"Two files would be called {name}.", "Send one folder instead.")
            found[name] = file.read_text("utf-8")
    if sum(map(len, found.values())) > MAX_CODE:
        raise Invalid("cli.code_too_large", "The code is larger than 1 MiB.", "Send code only; data is a dataset.")
    return found


@command.command("environments")
@output
@click.pass_context
def environments(ctx: click.Context, fmt: str | None) -> None:
    """List the environments that a run may name by digest."""
    items = list(connect(ctx).items("/runs/environments"))
    listing(items, (Column("digest", "digest"),), fmt, empty="This server executes no runs.")


@command.command("list")
@many(20)
@output
@click.pass_context
def list_(ctx: click.Context, limit: int = 20, fmt: str | None = None) -> None:
    """List runs, newest first."""
    items = list(connect(ctx).items("/runs", limit or None))
    listing(items, _COLUMNS, fmt, empty="No run yet; `weighthouse run submit --help` says how to begin one.")


@command.command("show")
@click.argument("run")
@output
@click.pass_context
def show(ctx: click.Context, run: str, fmt: str | None) -> None:
    """Show RUN: what was asked for, where it stands, and the sandbox it really ran in."""
    card(connect(ctx).get(f"/runs/{run}"), _DETAIL, fmt)


@command.command("logs")
@click.argument("run")
@click.option("-f", "--follow", is_flag=True, help="Stay until the run has ended; exits with 1 if it failed.")
@click.pass_context
def logs(ctx: click.Context, run: str, follow: bool) -> None:
    """Print the output of RUN."""
    connection = connect(ctx)
    if follow:
        _follow(ctx, connection, run)
    else:
        _print_from(connection, run, 0)


def _told(stream: str, text: str) -> str:
    """Return a line of output, those of the control plane marked, and none that the program made to look like them.

    What the program wrote is untrusted: its control characters could repaint the terminal.
    """
    own = stream == "lab"
    lines = clean(text, lines=True).rstrip("\n").split("\n")
    return "\n".join(f"{OURS}{line}" if own else f" {line}" if line.startswith(OURS) else line for line in lines)


def _print_from(connection: Connection, run: str, after: int) -> int:
    """Print the lines after number `after`; return the number of the last one."""
    while items := connection.get(f"/runs/{run}/logs", after=after)["items"]:
        for line in items:
            click.echo(_told(line["stream"], line["text"]), err=line["stream"] == "err")
            after = int(line["number"])
    return after


def _follow(ctx: click.Context, connection: Connection, run: str) -> None:
    after = 0
    while True:
        state = connection.get(f"/runs/{run}")
        after = _print_from(connection, run, after)
        if state["state"] not in OPEN:
            break
        sys.stdout.flush()
        time.sleep(POLL_S)
    say(f"{run} has {state['state']}. {clean(state['reason'])}")
    if state["state"] != "succeeded":
        ctx.exit(exits.REFUSED)


@command.command("stop")
@click.argument("run")
@click.option("--reason", required=True, help="Why; it goes into the log.")
@click.pass_context
def stop(ctx: click.Context, run: str, reason: str) -> None:
    """Stop RUN; its identity ends at once, and with it every key and every way out."""
    connection = connect(ctx)
    fresh(connection, lambda: connection.post(f"/runs/{run}/stop", {"reason": reason}))
    say(f"Asked {run} to stop.")
