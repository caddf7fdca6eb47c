"""`weighthouse doctor`: what this machine has and lacks, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import click

from weighthouse.cli.exits import CHECK_FAILED
from weighthouse.cli.show import Column, listing, output


@click.command("doctor")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State folder; ./state if not given.")
@output
def command(state: Path | None, fmt: str | None) -> None:
    """Say what this machine has and lacks, and how the log of its server is; exit 6 if something is missing."""
    from weighthouse.app import doctor, initialise

    settings, home = initialise.load_settings({}, state=state)
    found = doctor.examine(settings, home)
    rows = [{"name": f.name, "state": f.state, "detail": f.detail, "remedy": f.remedy} for f in found]
    columns = [
        Column("what", "name"),
        Column("state", "state"),
        Column("detail", "detail"),
        Column("remedy", "remedy"),
    ]
    listing(rows, columns, fmt, empty="Nothing was looked at.")
    if any(f.state == "missing" for f in found):
        click.get_current_context().exit(CHECK_FAILED)
