"""`keys`: the keys that wrap data keys, seen and changed offline by the operator of the machine.

Guards against a leak that nobody can answer: rotate, wrap again, verify, raise the minimum. No server runs meanwhile,
so each command holds the folder's lock, and whoever has folder and passphrase has all that these commands could give.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighthouse.cli.exits import CHECK_FAILED
from weighthouse.cli.show import Column, listing, output, say

if TYPE_CHECKING:
    from weighthouse.core.work import System
    from weighthouse.weights.api import Looked

_STATE = click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path), help="State folder; ./state if not given."
)
_SECRET = click.option(
    "--passphrase-file", type=click.Path(exists=True, dir_okay=False), help="File (mode 0600) with the passphrase."
)
_COLUMNS = (
    Column("model", "model"),
    Column("current", "current"),
    Column("minimum", "minimum"),
    Column("made", "made", "time"),
    Column("destroyed", "destroyed", "yes"),
    Column("wrapped", lambda row: ", ".join(f"{count} under {under}" for under, count in row["wrapped"].items())),
)


@click.group("keys")
def command() -> None:
    """See and change the keys that wrap data keys, offline: with the server of the folder stopped."""


@contextlib.contextmanager
def _opened(passphrase_file: str | None, state: Path | None, what: str) -> Iterator[System]:
    """Open a kept system as the command `what`, alone with its folder."""
    from weighthouse.app import initialise
    from weighthouse.core.memory import keep_private

    keep_private()
    settings, home = initialise.load_settings({"keys.passphrase_file": passphrase_file}, state=state)
    with initialise.alone(home, what):
        system = initialise.reopen(settings, home)
        try:
            yield system
        finally:
            system.database.close()


@command.command("status")
@_STATE
@_SECRET
@output
def status(state: Path | None, passphrase_file: str | None, fmt: str | None) -> None:
    """List each key, its versions, and how many data keys lie wrapped under each of them."""
    from weighthouse.core.caller import SYSTEM
    from weighthouse.core.work import read
    from weighthouse.keys import api as keys
    from weighthouse.weights import api as weights

    with _opened(passphrase_file, state, "keys status") as system, read(system) as unit:
        told, owed = keys.health(unit), keys.owed(unit)
        rows = [
            {
                "model": kek.name,
                "current": kek.current,
                "minimum": kek.minimum,
                "made": kek.made,
                "destroyed": kek.destroyed,
                "wrapped": {str(under): count for under, count in sorted(weights.lying(unit, kek.name).items())},
            }
            for kek in keys.keks(unit, SYSTEM)
        ]
    listing(rows, _COLUMNS, fmt, empty="No model has a key yet: the first save makes one.")
    for name in owed:
        say(f"The key of {name} was destroyed, says the log; it lies in the key file still, and the server ends it.")
    say(told.detail)
    if not told.ok:
        click.get_current_context().exit(CHECK_FAILED)


@command.command("rotate")
@click.argument("model")
@click.option(
    "--past-log", is_flag=True, help="Also when the newest key file is lost: go past what the log proves of it."
)
@_STATE
@_SECRET
def rotate(model: str, past_log: bool, state: Path | None, passphrase_file: str | None) -> None:
    """Make a new version of MODEL's key; older ones still open what they wrapped."""
    from weighthouse.core.caller import SYSTEM
    from weighthouse.core.work import begin
    from weighthouse.keys import api as keys

    with _opened(passphrase_file, state, "keys rotate") as system, begin(system, SYSTEM) as unit:
        version = keys.rotate(unit, SYSTEM, model, past_log=past_log)
    say(f"The key of {model} has version {version} now. Next: weighthouse keys rewrap {model}")


@command.command("rewrap")
@click.argument("model")
@_STATE
@_SECRET
def rewrap(model: str, state: Path | None, passphrase_file: str | None) -> None:
    """Wrap all data keys of MODEL under its key's current version; a second call goes on after an interruption."""
    from weighthouse.weights import api as weights

    with _opened(passphrase_file, state, "keys rewrap") as system:
        _tell(model, weights.rewrap_all(system, model), "wrapped again")


@command.command("verify")
@click.argument("model")
@click.option("--stored", is_flag=True, help="Read what is stored under them too: is it what was signed?")
@_STATE
@_SECRET
def verify(model: str, stored: bool, state: Path | None, passphrase_file: str | None) -> None:
    """Try every wrapped data key of MODEL in its place; exit 6 if one does not open."""
    from weighthouse.weights import api as weights

    with _opened(passphrase_file, state, "keys verify") as system:
        _tell(model, weights.verify_keys(system, model, stored=stored), "")


@command.command("minimum")
@click.argument("model")
@click.argument("version", type=click.IntRange(1))
@_STATE
@_SECRET
def minimum(model: str, version: int, state: Path | None, passphrase_file: str | None) -> None:
    """Accept no data key of MODEL below VERSION any more; refused while one lies there."""
    from weighthouse.core.caller import SYSTEM
    from weighthouse.core.work import begin
    from weighthouse.weights import api as weights

    with _opened(passphrase_file, state, "keys minimum") as system, begin(system, SYSTEM) as unit:
        weights.raise_minimum(unit, SYSTEM, model, version)
    say(f"Below version {version}, nothing of {model} opens any more.")


@command.command("new-passphrase")
@click.option(
    "--new-passphrase-file", type=click.Path(exists=True, dir_okay=False), help="File (mode 0600) with the new one."
)
@_STATE
@_SECRET
def new_passphrase(new_passphrase_file: str | None, state: Path | None, passphrase_file: str | None) -> None:
    """Seal the key file by another passphrase; copies of the older file still open with the older one."""
    from weighthouse.app import passphrase

    with _opened(passphrase_file, state, "keys new-passphrase") as system:
        for line in passphrase.change(system, new_passphrase_file or "", _prompted):
            say(line)


def _prompted() -> str:
    return str(click.prompt("New passphrase for the keys", hide_input=True, confirmation_prompt=True, err=True))


def _tell(model: str, found: Iterable[Looked], moved: str) -> None:
    """Say what is wrong as it is found, then the sums."""
    saves = keys = again = wrong = 0
    for each in found:
        saves, keys, again = saves + 1, keys + each.keys, again + each.moved
        if each.problem:
            wrong += 1
            say(f"{each.save}: {each.problem}")
        elif each.moved:
            say(f"{each.version}: {each.moved} data keys {moved}")
    done = f"{again} {moved}, " if moved else ""
    say(f"{model}: {keys} data keys of {saves} saves; {done}{wrong} saves do not hold.")
    if wrong:
        click.get_current_context().exit(CHECK_FAILED)
