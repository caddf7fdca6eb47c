"""How answers are shown: tables on a terminal, tab-separated when piped, JSON with -o json. Guards both readers.

People get colour, relative times and a helpful sentence when there is nothing; programs get one line an item, ISO
times and stable names, or the server's own JSON unchanged. Whatever others wrote is made safe for the terminal first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import click

from weighthouse.cli.words import clean, size, span, utc, when

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Kind = Literal["text", "time", "day", "size", "span", "state", "yes"]
Item = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])
SENTENCE, BETWEEN = 20, 3  # the narrowest column that a sentence is read in, and what lies between two columns

_GOOD = {
    "active",
    "allowed",
    "approved",
    "blocked",
    "succeeded",
    "finished",
    "sealed",
    "satisfied",
    "ok",
    "carried",
    "yes",
}
_BAD = {
    "denied",
    "missed",
    "failed",
    "revoked",
    "not-satisfied",
    "held",
    "broken",
    "critical",
    "high",
    "frozen",
    "no",
    "rejected",
}
_OPEN = {
    "pending",
    "open",
    "running",
    "detected",
    "not-tested",
    "not tested",
    "not run",
    "queued",
    "medium",
    "lapsed",
}


class Column(NamedTuple):
    """One column: its title, the key (dotted to reach inside) or a function of the item, and how to show it."""

    title: str
    key: str | Callable[[Item], Any]
    kind: Kind = "text"

    def value(self, item: Item) -> Any:
        if callable(self.key):
            return self.key(item)
        found: Any = item
        for part in self.key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found


def many(default: int) -> Callable[[F], F]:
    """Add `--limit` and `--all` to a command that lists; the number arrives as `limit`, None for all."""

    def add(function: F) -> F:
        everything = click.option("--all", "limit", flag_value=0, type=int, help="Every one, page by page.")
        number = click.option(
            "--limit", type=click.IntRange(0), default=default, show_default=True, help="At most so many; 0 is all."
        )
        return number(everything(function))

    return add


def output(function: F) -> F:
    """Add `-o/--output` to a command; the value arrives as `fmt`."""
    return click.option(
        "-o",
        "--output",
        "fmt",
        type=click.Choice(["table", "plain", "json"]),
        help="table (on a terminal), plain (tab-separated, when piped) or json.",
    )(function)


def form(fmt: str | None) -> str:
    """Return the form to use: what was asked, else a table for a terminal and plain text for a pipe."""
    return fmt or ("table" if sys.stdout.isatty() else "plain")


def emit_json(value: object) -> None:
    """Write JSON, in one document, with characters outside ASCII escaped so that nothing can repaint a terminal."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def word(value: Any, kind: Kind, *, exact: bool) -> str:
    """Return a value as text; `exact` is the form for programs."""
    if value is None or value == "":
        return "" if exact else "-"
    if kind == "time":
        return utc(int(value)).replace(" ", "T") if exact else when(int(value))
    if kind == "day":
        return utc(int(value))[:10] if exact else f"end of {utc(int(value))[:10]} UTC"
    if kind == "size":
        return str(value) if exact else size(int(value))
    if kind == "span":
        return str(value) if exact else span(int(value))
    if kind == "yes" or isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return clean(", ".join(word(part, "text", exact=exact) for part in value))
    if isinstance(value, dict):
        return clean(", ".join(f"{name}={word(part, 'text', exact=exact)}" for name, part in value.items()))
    return clean(str(value))


def console() -> Console:
    """Return Rich's console for standard output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def _painted(text: str, kind: Kind) -> Text:
    from rich.text import Text

    lowered = text.lower()
    colour = "green" if lowered in _GOOD else "red" if lowered in _BAD else "yellow" if lowered in _OPEN else ""
    return Text(text, style=colour if kind in ("state", "yes") else "")


def listing(
    items: Sequence[Item], columns: Sequence[Column], fmt: str | None, *, empty: str, answer: object = None
) -> None:
    """Show a list. `answer` is what -o json prints if it is more than {"items": …}; `empty` is what to do next."""
    chosen = form(fmt)
    if chosen == "json":
        emit_json({"items": list(items)} if answer is None else answer)
    elif chosen == "plain":
        click.echo("\t".join(column.title for column in columns))
        for item in items:
            click.echo("\t".join(word(column.value(item), column.kind, exact=True) for column in columns))
    elif not items:
        click.echo(empty)
    else:
        _table(items, columns)


def _table(items: Sequence[Item], columns: Sequence[Column]) -> None:
    """Print a table, or one block a thing where this terminal is too narrow for it to be read."""
    from rich import box
    from rich.table import Table

    shown = [[word(column.value(item), column.kind, exact=False) for column in columns] for item in items]
    if _least_width(columns, shown) > console().width:
        for number, item in enumerate(items):
            if number:
                click.echo()
            _grid(item, columns)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.title, no_wrap=not _wraps(column), overflow="fold")
    for texts in shown:
        table.add_row(*(_painted(text, column.kind) for text, column in zip(texts, columns, strict=True)))
    console().print(table)


def _wraps(column: Column) -> bool:
    return column.kind == "text" and column.title not in ("id", "index")


def _least_width(columns: Sequence[Column], shown: Sequence[Sequence[str]]) -> int:
    """Return how wide a terminal has to be for a table: no word is broken, and a sentence has room for a few."""
    width = 1
    for column, texts in zip(columns, zip(*shown, strict=True), strict=True):
        longest = max(map(len, texts))
        if _wraps(column):
            longest = min(longest, max(SENTENCE, *(len(part) for text in texts for part in text.split() or [""])))
        width += max(longest, len(column.title)) + BETWEEN
    return width


def _grid(item: Item, rows: Iterable[Column]) -> None:
    from rich.table import Table

    told = [(row, row.value(item)) for row in rows]
    grid = Table.grid(padding=(0, 2))
    for row, value in told:
        if value not in (None, "", [], {}, ()):
            grid.add_row(_bold(row.title), _painted(word(value, row.kind, exact=False), row.kind))
    console().print(grid)


def card(item: Item, rows: Iterable[Column], fmt: str | None, *, answer: object = None) -> None:
    """Show one thing: its fields line by line. Rows without a value are left out."""
    chosen = form(fmt)
    if chosen == "json":
        emit_json(item if answer is None else answer)
        return
    if chosen == "table":
        _grid(item, rows)
        return
    for row in rows:
        if (value := row.value(item)) not in (None, "", [], {}, ()):
            click.echo(f"{row.title}\t{word(value, row.kind, exact=True)}")


def _bold(text: str) -> Text:
    from rich.text import Text

    return Text(text, style="bold")


def say(text: str) -> None:
    """Tell a person what happened, on standard error, so that a pipe gets only the answer."""
    click.echo(text, err=True)


def clean_lines(lines: Iterable[str]) -> None:
    """Print sentences that others wrote, one a line."""
    for line in lines:
        click.echo("- " + clean(line))


def heading(text: str) -> None:
    """Print a heading on a terminal; a pipe gets none."""
    if sys.stdout.isatty():
        click.echo("\n" + click.style(text, bold=True))
