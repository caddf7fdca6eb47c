"""`audit accept-fork`, `audit witness`, `sessions mend`, `devices confirm-first`: acts on a state folder, offline.

Guards against a ceremony by accident: it shows what would be lost and has both sizes typed. No server is asked, for
none is trusted yet, or nobody who may ask it can sign in; so whatever changes the folder holds its lock meanwhile.
"""

from __future__ import annotations

import contextlib
import getpass
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weighthouse.cli.ending import asked_to_end
from weighthouse.cli.show import say

if TYPE_CHECKING:
    from weighthouse.core.work import System, Unit


@click.command("accept-fork")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State folder; ./state if not given.")
@click.option("--reason", help="What happened, for the log; asked for if not given.")
@click.option(
    "--passphrase-file", type=click.Path(exists=True, dir_okay=False), help="File (mode 0600) with the passphrase."
)
def accept_fork(state: Path | None, reason: str | None, passphrase_file: str | None) -> None:
    """Go on with a restored, shortened or moved log, offline; what was lost stays on record in it."""
    from weighthouse.app import ceremony, initialise
    from weighthouse.core.memory import keep_private

    keep_private()
    settings, home = initialise.load_settings({"keys.passphrase_file": passphrase_file}, state=state)
    with initialise.alone(home, "audit accept-fork"):
        system = ceremony.open_forked(settings, home, initialise.passphrase_of(settings, home))
        try:
            size = _accepted(system, reason)
        finally:
            system.database.close()
    click.echo(f"Accepted. The log has {size} entries; entry {size - 1} records it and your reason.")


def _accepted(system: System, reason: str | None) -> int:
    """Show what would be lost, have both sizes typed, and accept it; return the size of the log that goes on."""
    from weighthouse.app import ceremony

    fork = ceremony.examine(system)
    say(fork.why)
    for what in fork.also:
        say(f"As well: {what}")
    say(f"Signed so far: {fork.signed} entries; in the database: {fork.found}.")
    if fork.whole:
        say("Nothing that was signed is missing. The log goes on in this database, counted anew.")
    else:
        say("What is missing is lost for good. Witnesses keep refusing until their own operators decide.")
    reason = reason or click.prompt("Reason, for the log", err=True)
    typed = click.prompt(f"To accept this for good, type '{fork.phrase}'", err=True)
    return ceremony.accept(system, fork, str(reason), str(typed))


@click.command("mend")
@click.argument("person")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State folder; ./state if not given.")
@click.option("--reason", required=True, help="What happened, for the log.")
@click.option(
    "--passphrase-file", type=click.Path(exists=True, dir_okay=False), help="File (mode 0600) with the passphrase."
)
def mend(person: str, state: Path | None, reason: str, passphrase_file: str | None) -> None:
    """Thaw PERSON offline, when a restored backup has locked out everybody who may thaw."""
    from weighthouse.core.caller import SYSTEM
    from weighthouse.identity import api as identity

    with _alone(passphrase_file, state, "sessions mend") as unit:
        identity.thaw(unit, identity.person(unit, person).id, reason, SYSTEM)
    say(f"Thawed {person}; the log says who and why. They sign in again and enrol their devices anew.")


@contextlib.contextmanager
def _alone(passphrase_file: str | None, state: Path | None, what: str) -> Iterator[Unit]:
    """Open a kept system as the command `what`, alone with its folder, and a unit of work in it."""
    from weighthouse.app import initialise
    from weighthouse.core.caller import SYSTEM
    from weighthouse.core.memory import keep_private
    from weighthouse.core.work import begin

    keep_private()
    settings, home = initialise.load_settings({"keys.passphrase_file": passphrase_file}, state=state)
    with initialise.alone(home, what):
        system = initialise.reopen(settings, home)
        try:
            with begin(system, SYSTEM) as unit:
                yield unit
        finally:
            system.database.close()


@click.command("confirm-first")
@click.argument("person")
@click.argument("device")
@click.option("--key", "mark", required=True, metavar="KEY", help="The key as PERSON reads it to you.")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State folder; ./state if not given.")
@click.option("--reason", required=True, help="How you know that it is theirs, for the log.")
@click.option(
    "--passphrase-file", type=click.Path(exists=True, dir_okay=False), help="File (mode 0600) with the passphrase."
)
def confirm_first(
    person: str, device: str, mark: str, state: Path | None, reason: str, passphrase_file: str | None
) -> None:
    """Confirm DEVICE of PERSON offline, while nobody has a key that counts and could confirm it."""
    from weighthouse.identity import api as identity

    with _alone(passphrase_file, state, "devices confirm-first") as unit:
        identity.confirm_first_key(unit, person, device, mark=mark, reason=reason)
    say(f"Confirmed {device} of {person}; the log says so. They confirm the keys of the others.")


@click.command("confirm-clock")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State folder; ./state if not given.")
@click.option("--reason", required=True, help="Why the clock is right, for the log.")
def confirm_clock(state: Path | None, reason: str) -> None:
    """Say that a clock which leapt is right now, while the server runs; it grants again within seconds."""
    from weighthouse.app import initialise
    from weighthouse.audit import api as audit
    from weighthouse.core.clock import SystemClock

    _, home = initialise.load_settings({}, state=state)
    initialise.check_exists(home)
    audit.confirm_clock(home.root, SystemClock(), getpass.getuser(), reason)
    say("Left for the server of this folder: it believes its clock as it stands now, and the log says so.")
    say("A clock that moves again before that, or that is behind the latest sound time, is not believed.")


@click.command("forget-server")
@click.argument("server")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State folder; ./state if not given.")
@click.option("--reason", required=True, help="What happened to its machine, for the log.")
@click.option(
    "--passphrase-file", type=click.Path(exists=True, dir_okay=False), help="File (mode 0600) with the passphrase."
)
def forget_server(server: str, state: Path | None, reason: str, passphrase_file: str | None) -> None:
    """Wait no more for SERVER, whose machine and state folder are gone for good (PostgreSQL), offline.

    A server that lives and is cut off may have refused what only it knows: end it first, and start it again over its
    folder if there still is one, which needs no word of yours.
    """
    from weighthouse.audit import api as audit

    with _alone(passphrase_file, state, "audit forget-server") as unit:
        audit.forget_server(unit, server, by=getpass.getuser(), reason=reason)
    say(f"Nobody waits for {server} any more; the log says who said so and why.")


@click.command("witness")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The witness's own folder: its key and the last checkpoint it cosigned for each log.",
)
@click.option("--log", "logs", multiple=True, required=True, help="A log's verifier key, or a file such as log.vkey.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8044, show_default=True, help="Port; 0: a free one.")
@click.option("--name", default="witness.local", show_default=True, help="Name in its key; never change it later.")
def witness(state: Path, logs: tuple[str, ...], address: str, port: int, name: str) -> None:
    """Run a witness that cosigns logs which only grow; prints its verifier key. Ctrl-C stops it."""
    from weighthouse.app.witness import Witness

    ended = asked_to_end()
    running = Witness(state, name, logs, (address, port))
    serving = threading.Thread(target=running.serve, name="witness", daemon=True)
    serving.start()
    click.echo(running.key)
    say(f"Listening on http://{address}:{running.port}/. A policy file (log.witnesses) names it in one line:")
    say(f"witness {name} {running.key} http://{address}:{running.port}/")
    ended.wait()
    say("Stopping ...")
    running.stop()
    serving.join()
