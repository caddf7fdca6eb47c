"""`weighthouse config explain`: every setting, its value and where it came from. Guards operators from guessing.

Reads settings as the server would if it were started here and now; secret values are shown as dots.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighthouse.cli.show import Column, listing, output

if TYPE_CHECKING:
    from weighthouse.core.settings import Setting


def declared() -> Iterator[Setting]:
    """Yield the settings of core and of every room's model; models are pure, so importing them starts nothing."""
    import weighthouse
    from weighthouse.core.settings import DECLARED, Setting

    yield from DECLARED
    for room in pkgutil.iter_modules(weighthouse.__path__):
        name = f"weighthouse.{room.name}.model"
        if room.name in ("core", "cli", "app") or importlib.util.find_spec(name) is None:
            continue
        model = importlib.import_module(name)
        for setting in getattr(model, "SETTINGS", getattr(model, "settings", ())):
            assert isinstance(setting, Setting)
            yield setting


def user_file() -> Path:
    """Return the user's settings file, under XDG_CONFIG_HOME when that is set."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "weighthouse" / "config.toml"


@click.group("config")
def command() -> None:
    """Explain settings and where they come from."""


@command.command("explain")
@click.argument("name", required=False)
@output
def explain(name: str | None, fmt: str | None) -> None:
    """List every setting with its value and source; with NAME, only those that begin with it.

    Precedence: flag, environment WEIGHTHOUSE_*, ./weighthouse.toml, ~/.config/weighthouse/config.toml, default.
    """
    from weighthouse.core.settings import Settings

    settings = Settings(declared(), environ=os.environ, project=Path("weighthouse.toml"), user=user_file())
    rows = [
        {"name": row.name, "value": row.value, "source": row.source, "meaning": row.doc}
        for row in settings.explain()
        if name is None or row.name.startswith(name)
    ]
    columns = [
        Column("setting", "name"),
        Column("value", "value"),
        Column("source", "source"),
        Column("meaning", "meaning"),
    ]
    listing(rows, columns, fmt, empty=f"No setting begins with '{name}'; `weighthouse config explain` lists all.")
