"""The demo's voice: numbered steps, one line a fact, and a count of what did not hold."""

from __future__ import annotations

import sys
import time

import click

BANNER = """\
┌──────────────────────────────────────────────────────────────────────────────────┐
│  DEMO KEYS: everything here is thrown away at the end and protects nothing.      │
│  It listens on this machine only. To keep a system: weighthouse init, then serve │
└──────────────────────────────────────────────────────────────────────────────────┘"""


class Tell:
    """Prints what happened and remembers what did not hold."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.failures: list[str] = []

    def banner(self) -> None:
        click.secho(BANNER, fg="yellow", bold=True)

    def step(self, number: int | str, title: str) -> None:
        """Begin a step."""
        click.echo()
        click.secho(f"{number}  {title}", bold=True)

    def line(self, text: str) -> None:
        """Tell one fact."""
        click.echo(f"   {text}")
        sys.stdout.flush()

    def progress(self, text: str) -> None:
        """Show one line that the next one overwrites, on a terminal only; an empty text clears it."""
        if sys.stdout.isatty():
            click.echo(f"\r\033[K   {text}" if text else "\r\033[K", nl=False)

    def held(self, ok: bool, text: str) -> None:
        """Tell something that must be so; a failure is counted and makes the script exit 1."""
        mark = click.style("ok  ", fg="green") if ok else click.style("FAIL", fg="red", bold=True)
        self.line(f"{mark} {text}")
        if not ok:
            self.failures.append(text)

    def stopped(self, status: str, what: str, by: str) -> None:
        """Tell how a theft ended and which room and rule stopped it."""
        colour = {"BLOCKED": "green", "DETECTED": "green"}.get(status, "red")
        self.line(f"{click.style(f'{status:<9}', fg=colour, bold=True)} {what:<58} {click.style(by, dim=True)}")

    @property
    def seconds(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began
