"""`weighthouse serve`: start the server of a state folder, and stop it cleanly."""

from __future__ import annotations

from pathlib import Path

import click

from weighthouse.cli.ending import asked_to_end


@click.command("serve")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State folder; ./state if not given.")
@click.option("--address", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@click.option(
    "--passphrase-file", type=click.Path(exists=True, dir_okay=False), help="File (mode 0600) with the passphrase."
)
def command(state: Path | None, address: str | None, port: int | None, passphrase_file: str | None) -> None:
    """Start the server; Ctrl-C or SIGTERM stops it cleanly."""
    from weighthouse.app import initialise, redteam
    from weighthouse.app.house import House
    from weighthouse.app.origin import listening, with_port
    from weighthouse.app.server import refuse_taken
    from weighthouse.core import journal
    from weighthouse.core.memory import keep_private

    keep_private()
    journal.begin()
    flags = {"server.address": address, "server.port": port, "keys.passphrase_file": passphrase_file}
    settings, home = initialise.load_settings(flags, state=state)
    initialise.hold(home, "serve")
    settings = with_port(settings)
    refuse_taken(str(listening(settings)), settings.integer("server.port"))  # before anything is migrated
    system = initialise.serveable(settings, home)
    ended = asked_to_end()
    house = House(system, home).start()
    redteam.offer(house)
    click.echo(f"Weighthouse serves {house.url} from {home.root} in mode {settings.text('mode')}. Ctrl-C stops it.")
    for fault in house.unheld():
        click.echo(f"warning: the weights of {fault.model} do not hold: {fault.why}. {fault.remedy}", err=True)
    ended.wait()
    click.echo("Stopping ...")
    house.stop()
