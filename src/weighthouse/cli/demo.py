"""`weighthouse demo`: the main job and the thefts on this machine, with throw-away keys."""

from __future__ import annotations

import signal

import click

from weighthouse.cli.exits import INTERRUPTED


class Interrupt:
    """Ends the demo at the first signal and lets nothing disturb the clearing up: people press Ctrl-C twice."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, *_: object) -> None:
        if self.asked:
            click.echo("Still clearing up ...", err=True)
            return
        self.asked = True
        raise KeyboardInterrupt


@click.command("demo")
@click.option("--script", is_flag=True, help="End by itself; exit 0 only if every theft failed and every proof held.")
@click.option("--all", "every", is_flag=True, help="Play every theft of the catalogue, not only the chosen ones.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of the console on loopback; a free one if not given."
)
def command(script: bool, every: bool, port: int | None) -> None:
    """Play the main job and the thefts; Ctrl-C leaves nothing behind.

    \b
    weighthouse demo             play it, then keep the console open until Ctrl-C
    weighthouse demo --script    play it and exit: 0 only if everything held
    weighthouse demo --all       play every theft of the catalogue
    """
    from weighthouse.app.demo.play import play

    interrupt = Interrupt()
    for wanted in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT also where a shell had it ignored
        signal.signal(wanted, interrupt)
    try:
        status = play(script=script, every=every, port=port or 0)
    except KeyboardInterrupt:
        click.echo("\nStopped. Nothing is left behind.", err=True)
        status = INTERRUPTED
    click.get_current_context().exit(status)
