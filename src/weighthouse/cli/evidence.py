"""`weighthouse evidence`: controls whose evidence is computed from the log, never typed; a stale one is none."""

from __future__ import annotations

import click

from weighthouse.cli import exits
from weighthouse.cli.connection import connect
from weighthouse.cli.show import Column, listing, output, say

_COLUMNS = (
    Column("id", "id"),
    Column("result", "result", "state"),
    Column("title", "title"),
    Column("controls", "controls"),
    Column("looked at", "population"),
    Column("failing", "failing"),
    Column("query", "query_version"),
    Column("log entry", "log_index"),
    Column("computed", "at", "time"),
    Column("fresh until", "fresh_until", "time"),
    Column("detail", "detail"),
)


@click.command("evidence")
@click.option("--compute", is_flag=True, help="Compute every check now and put the findings into the log.")
@output
@click.pass_context
def command(ctx: click.Context, compute: bool, fmt: str | None) -> None:
    """Controls with computed evidence.

    Exits with 6 if any check is not satisfied or not tested, so that a pipeline can rest on it.
    """
    connection = connect(ctx)
    if compute:
        say("Computing every check from the log …")
    items = connection.post("/evidence/compute")["items"] if compute else list(connection.items("/evidence"))
    listing(items, _COLUMNS, fmt, empty="No check has been computed yet; `weighthouse evidence --compute` does.")
    if not items or any(item["result"] != "satisfied" for item in items):
        ctx.exit(exits.CHECK_FAILED)
