"""`weighthouse config explain`: every setting, its value and where it came from. Guards operators from guessing.

A server that runs on the state folder is believed about itself; else the settings are resolved as that server would
resolve them, by the same code. Secret values are shown as dots.
"""

from __future__ import annotations

from pathlib import Path

import click

from weighthouse.cli.show import Column, listing, output, say

_COLUMNS = (
    Column("setting", "name"),
    Column("value", "value"),
    Column("source", "source"),
    Column("meaning", "meaning"),
)


@click.group("config")
def command() -> None:
    """Explain settings and where they come from."""


@command.command("explain")
@click.argument("name", required=False)
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State folder; ./state if not given.")
@output
def explain(name: str | None, state: Path | None, fmt: str | None) -> None:
    """List every setting with its value and source; with NAME, only those that begin with it.

    Of the server that runs on the state folder, or of one that would be started there now. Precedence: flag,
    environment WEIGHTHOUSE_*, weighthouse.toml in the state folder, ~/.config/weighthouse/config.toml, default.
    """
    from weighthouse.app import initialise, truth

    settings, home = initialise.load_settings({}, state=state)
    serving = truth.running(home)
    if serving:
        say(f"As process {serving.process} serves {home.root} now.")
    rows = [
        {"name": row.name, "value": row.value, "source": row.source, "meaning": row.doc}
        for row in (serving.settings if serving else settings.explain())
        if name is None or row.name.startswith(name)
    ]
    if name is not None and not rows:
        raise settings.unknown(name, "config explain")
    listing(rows, list(_COLUMNS), fmt, empty="There is no setting.")
