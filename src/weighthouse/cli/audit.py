"""`weighthouse audit`: read, prove, export and verify the log. Guards the reader from having to trust the server.

What is exported and proved is checked by `weighthouse-verify`, which shares no code with the server; `verify` runs
that program here, and anybody may run it elsewhere.
"""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import click

from weighthouse.cli import exits, operate
from weighthouse.cli.connection import connect
from weighthouse.cli.show import Column, card, emit_json, form, heading, listing, many, output, say
from weighthouse.core.errors import Conflict, Invalid, Unavailable

# Absolute, climbing, or with anything that no file of a tlog-tiles log has in its name.
_ABROAD = re.compile(r"^/|(^|/)\.\.(/|$)|[^A-Za-z0-9._/-]")
_COLUMNS = (
    Column("index", "index"),
    Column("at", "at", "time"),
    Column("kind", "kind"),
    Column("actor", "actor"),
    Column("about", "subject"),
    Column("data", "data"),
)
_HEAD = (
    Column("entries", "size"),
    Column("root", "root_hex"),
    Column("at", "at", "time"),
    Column("in doubt", lambda head: "; ".join(head["doubts"]) or "no"),
    Column("signed checkpoint", "checkpoint"),
)


@click.group("audit")
def command() -> None:
    """Read, prove, export and verify the log."""


@command.command("log")
@click.option("--kind", help="Only entries of this kind, such as access.GrantStarted.")
@click.option("--about", help="Only entries about this id.")
@click.option(
    "--start", type=click.IntRange(0), help="Begin at this index, oldest first; the default is newest first."
)
@many(50)
@output
@click.pass_context
def log(
    ctx: click.Context, kind: str | None, about: str | None, start: int | None, limit: int, fmt: str | None
) -> None:
    """Read entries; needs audit.read."""
    params: dict[str, str | int | None] = {"kind": kind, "subject": about, "start": start}
    if start is None:
        params["newest_first"] = "true"
    items = list(connect(ctx).items("/audit/entries", limit or None, **params))
    listing(items, _COLUMNS, fmt, empty="No entry fits.")


@command.command("show")
@click.argument("index", type=click.IntRange(0))
@output
@click.pass_context
def show(ctx: click.Context, index: int, fmt: str | None) -> None:
    """Show entry INDEX, with personal values where they are still kept."""
    entry = connect(ctx).get(f"/audit/entries/{index}")
    card(entry, _COLUMNS[:-1], fmt)
    if form(fmt) != "json":
        heading("Data")
        card(entry["clear"], [Column(name, name) for name in entry["clear"]], fmt)


@command.command("head")
@output
@click.pass_context
def head(ctx: click.Context, fmt: str | None) -> None:
    """Show the size, root and signed checkpoint of the log; keep it, and no earlier log can be passed off later."""
    answer = connect(ctx).get("/audit/head")
    if form(fmt) == "json":
        emit_json(answer)
    elif form(fmt) == "plain":
        click.echo(answer["checkpoint"] or "", nl=False)  # as it was signed, for a file that others check
        for doubt in answer["doubts"]:
            say(f"In doubt: {doubt}")
    else:
        card(answer, _HEAD[:-1], fmt)
        heading("Signed checkpoint")
        click.echo(answer["checkpoint"] or "None yet.")


@command.command("status")
@output
@click.pass_context
def status(ctx: click.Context, fmt: str | None) -> None:
    """Say how the log is: what waits, what is lost, and how far the running check of all entries has come."""
    answer = connect(ctx).get("/audit/status")
    if form(fmt) == "json":
        emit_json(answer)
        return
    scan = answer["scan"]
    for line in _told(answer["size"], answer["waiting"], scan):
        click.echo(line)
    for problem in answer["problems"] or ["Nothing is wrong."]:
        click.echo(problem)


def _told(size: int, waiting: int, scan: dict[str, Any]) -> list[str]:
    if not size:
        return [f"The log is empty: it holds no entry yet, and {waiting} wait to join it."]
    return [
        f"{size} entries, {waiting} waiting to join them.",
        f"Checked again up to entry {scan['place']}, {scan['rounds']} times from end to end so far.",
    ]


@command.command("prove")
@click.argument("index", type=click.IntRange(0))
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), help="The new proof file; default: print it."
)
@click.pass_context
def prove(ctx: click.Context, index: int, target: Path | None) -> None:
    """Write a proof that entry INDEX is in the signed log (C2SP tlog-proof).

    Check it with `weighthouse-verify --proof FILE --leaf ENTRY --key KEY`, or against an exported folder.
    """
    answer = connect(ctx).get(f"/audit/entries/{index}/proof")
    proof = str(answer["proof"])
    if target is None:
        click.echo(proof, nl=False)
        return
    _write_new(target, proof.encode())
    say(f"Wrote the proof of entry {index} to {target}.")


def _write_new(target: Path, data: bytes) -> None:
    try:
        with target.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise Conflict("cli.file_exists", f"{target} exists already.", "Choose another name with -o.") from None


@command.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_context
def export(ctx: click.Context, folder: Path) -> None:
    """Fetch the whole log as plain files into the new FOLDER; needs audit.read."""
    connection = connect(ctx)
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("cli.file_exists", f"{folder} is not empty.", "Export into a new folder.")
    say("Fetching the log …")
    _unpack(connection.download("/audit/export"), folder)
    say(f"Wrote {sum(1 for p in folder.rglob('*') if p.is_file())} files to {folder}.")
    say(
        f"Check them with `weighthouse audit verify {folder}`, best on another machine and with a key from elsewhere."
    )


def _unpack(archive: bytes, folder: Path) -> None:
    """Unpack plain files into `folder`, or nothing: a link, a device or a name that leads out refuses the whole.

    Written out here because `tarfile` has the filter of PEP 706 only from Python 3.11.4 on.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = [member for member in tar.getmembers() if not member.isdir()]
            for member in members:
                if not member.isreg() or _ABROAD.search(member.name):
                    raise tarfile.TarError(f"{member.name[:100]!r} is no plain file of a log")
            for member in members:
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                assert source is not None, "a regular file"
                with source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except (tarfile.TarError, OSError) as error:
        raise Invalid("cli.bad_export", f"The export cannot be unpacked: {error}.", "Fetch it again.") from None


@command.command("verify")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--key", multiple=True, help="The log's public key or a file with it, from somewhere that is not here.")
@click.option(
    "--proof", type=click.Path(exists=True, path_type=Path), help="Check this one proof against the folder."
)
@click.option("--old-checkpoint", type=click.Path(exists=True, path_type=Path), help="One that you kept earlier.")
@click.option(
    "--witness-policy", type=click.Path(exists=True, path_type=Path), help="Whose cosignatures must be there."
)
@click.option("-o", "--output", "fmt", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def verify(
    ctx: click.Context,
    folder: Path,
    key: tuple[str, ...],
    proof: Path | None,
    old_checkpoint: Path | None,
    witness_policy: Path | None,
    fmt: str,
) -> None:
    """Check an exported log in FOLDER, offline; exits with 6 and names the first bad entry if there is one."""
    try:
        from weighthouse_verify.__main__ import main as check
    except ImportError:
        raise Unavailable("cli.no_verifier", "weighthouse-verify is not installed here.", "Install it.") from None
    arguments = [str(folder), "--output", fmt]
    arguments += [part for one in key for part in ("--key", one)]
    for name, value in (
        ("--proof", proof),
        ("--old-checkpoint", old_checkpoint),
        ("--witness-policy", witness_policy),
    ):
        arguments += [name, str(value)] if value else []
    ctx.exit({0: exits.OK, 1: exits.CHECK_FAILED}.get(check(arguments), exits.USAGE))


command.add_command(operate.accept_fork)
command.add_command(operate.confirm_clock)
command.add_command(operate.forget_server)
command.add_command(operate.witness)
