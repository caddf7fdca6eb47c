"""The demo's voice: numbered steps, one fact a line, and a count of what did not hold. Guards the reader from a wall.

On a terminal, lines are folded at its width with a hanging indent and long steps say how far they are; a pipe gets
each fact on one line, without colour.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
import time

import click

BANNER = """\
┌──────────────────────────────────────────────────────────────────────────────┐
│ DEMO KEYS: everything here is thrown away at the end and protects nothing.   │
│ It listens on this machine only. To keep a system: weighthouse init, serve   │
└──────────────────────────────────────────────────────────────────────────────┘"""
INDENT = "   "
MARK = "     "
NARROW = 116
"""Below this width the rule that stopped a theft stands on a line of its own."""


class Tell:
    """Prints what happened and remembers what did not hold."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._terminal = sys.stdout.isatty()
        self._width = max(40, shutil.get_terminal_size().columns) if self._terminal else 0
        self.failures: list[str] = []
        self.held_count = 0

    def banner(self) -> None:
        try:
            BANNER.encode(sys.stdout.encoding or "ascii")
            text = BANNER
        except UnicodeError:  # a terminal that knows only ASCII
            text = "\n".join(line.strip("│ ") for line in BANNER.splitlines()[1:-1])
        click.secho(text, fg="yellow", bold=True)

    def step(self, number: int | str, title: str) -> None:
        """Begin a step."""
        self.progress("")
        click.echo()
        self._fold(f"{number}  ", title, "", style="bold")

    def line(self, text: str) -> None:
        """Tell one fact."""
        self._fold(INDENT, text, "  ")

    def progress(self, text: str) -> None:
        """Show one line that the next one overwrites, on a terminal only; an empty text clears it."""
        if self._terminal:
            room = self._width - len(INDENT) - 1
            click.echo(f"\r\033[K{INDENT}{text[:room]}" if text else "\r\033[K", nl=False)
            sys.stdout.flush()

    def held(self, ok: bool, text: str) -> None:
        """Tell something that must be so; a failure is counted and makes the script exit 1."""
        self.progress("")
        mark = click.style("ok  ", fg="green") if ok else click.style("FAIL", fg="red", bold=True)
        self._fold(f"{INDENT}{mark} ", text, MARK)
        self.held_count += ok
        if not ok:
            self.failures.append(text)

    def stopped(self, status: str, what: str, by: str) -> None:
        """Tell how a theft ended, which room and rule stopped it, and where the log says so."""
        self.progress("")
        colour = {"BLOCKED": "green", "DETECTED": "green"}.get(status, "red")
        told = f"{INDENT}{click.style(f'{status:<9}', fg=colour, bold=True)} "
        rule = click.style(by, dim=True)
        click.echo(
            f"{told}{what}\n{INDENT}{'':<9} {rule}" if 0 < self._width < NARROW else f"{told}{what:<54} {rule}"
        )
        sys.stdout.flush()

    @property
    def seconds(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began

    def _fold(self, start: str, text: str, hang: str, *, style: str = "") -> None:
        """Print `text` after `start`, folded on a terminal; further lines stand under the text."""
        self.progress("")
        lines = [text]
        if self._terminal:
            shift = INDENT + hang
            lines = textwrap.wrap(
                text, self._width - len(click.unstyle(start)), break_long_words=False, break_on_hyphens=False
            ) or [""]
            lines = [lines[0], *textwrap.wrap(" ".join(lines[1:]), self._width - len(shift), break_on_hyphens=False)]
            lines = [lines[0], *(shift + one for one in lines[1:])]
        for number, one in enumerate(lines):
            click.echo((start if not number else "") + (click.style(one, bold=True) if style else one))
        sys.stdout.flush()
