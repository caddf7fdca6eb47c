"""`weighthouse demo`: the main job and the thefts on this machine, with throw-away keys."""

from __future__ import annotations

import signal

import click


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@click.command("demo")
@click.option("--script", is_flag=True, help="End by itself; exit 0 only if every theft failed and every proof held.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port of the console on loopback; a free one if not given."
)
def command(script: bool, port: int | None) -> None:
    """Play the main job and the thefts; Ctrl-C leaves nothing behind."""
    from weighthouse.app.demo.play import play

    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)  # also where a shell had it ignored
    click.get_current_context().exit(play(script=script, port=port or 0))
