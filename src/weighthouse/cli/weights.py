"""`weighthouse weights`: models, versions and lineage, and local ciphertext. Plain weights never pass the server.

Loading and saving from training code is the SDK's work (`weighthouse_sdk.checkpoint`); this noun is for people who
look, check and move files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from weighthouse.cli import exits
from weighthouse.cli.connection import connect, fresh
from weighthouse.cli.sealing import Step, check_shard, open_sealed, read_key, read_manifest, seal
from weighthouse.cli.show import Column, card, listing, many, output, say

_MODELS = (
    Column("model", "id"),
    Column("name", "name"),
    Column("class", "cls"),
    Column("environment", "environment"),
    Column("owner", "owner_team"),
    Column("versions", "versions"),
    Column("newest", "newest"),
    Column("saved", "newest_at", "time"),
    Column("state", "state", "state"),
)
_VERSIONS = (
    Column("id", "id"),
    Column("n", "counter"),
    Column("state", "state", "state"),
    Column("shards", "shards"),
    Column("size", "bytes", "size"),
    Column("parent", "parent.version"),
    Column("by", "person"),
    Column("run", "run"),
    Column("saved", "at", "time"),
    Column("manifest", "digest"),
)
_DESTRUCTION = (
    Column("version", "version"),
    Column("model", "model"),
    Column("state", "state", "state"),
    Column("ordered by", "person"),
    Column("approved by", "approvers"),
    Column("final", "final", "time"),
)
_ENDING = (
    Column("model", "model"),
    Column("newest", "newest"),
    Column("state", "state", "state"),
    Column("ordered by", "person"),
    Column("approved by", "approvers"),
    Column("final", "final", "time"),
)
_TENSORS = (
    Column("name", "name"),
    Column("type", "dtype"),
    Column("shape", "shape"),
    Column("size", "bytes", "size"),
)
_BUDGET = (
    Column("model", "model"),
    Column("person", "person"),
    Column("allowed a day", "limit", "size"),
    Column("read", "spent", "size"),
    Column("left", "left", "size"),
    Column("oldest counts until", "resets", "time"),
)


@click.group("weights", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Models, versions, lineage; seal and open files."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(models)


@command.command("models")
@output
@click.pass_context
def models(ctx: click.Context, fmt: str | None = None) -> None:
    """List models that you may know of."""
    items = list(connect(ctx).items("/weights/models"))
    listing(items, _MODELS, fmt, empty="No model that you may know of.")


@command.command("versions")
@click.argument("model")
@many(50)
@output
@click.pass_context
def versions(ctx: click.Context, model: str, limit: int, fmt: str | None) -> None:
    """List the versions of MODEL, newest first."""
    items = list(connect(ctx).items("/weights/versions", limit or None, model=model))
    listing(items, _VERSIONS, fmt, empty=f"{model} has no version yet; a run that saves one makes it.")


@command.command("show")
@click.argument("version")
@click.option("--tensors", is_flag=True, help="List its tensors; needs a grant to load, and is charged and logged.")
@output
@click.pass_context
def show(ctx: click.Context, version: str, tensors: bool, fmt: str | None) -> None:
    """Show VERSION; with --tensors the names, types and shapes inside."""
    connection = connect(ctx)
    if not tensors:
        found = connection.get(f"/weights/versions/{version}")
        ending = (Column("destroyed at", "destruction.final", "time"),) if found["destruction"] else ()
        card(found, (Column("model", "model"), *_VERSIONS, *ending), fmt)
        return
    answer = connection.post(f"/weights/versions/{version}/tensors", {})
    if fmt == "json":
        card(answer, (), fmt)
        return
    items = [{**each, "shape": " x ".join(map(str, each["shape"])) or "scalar"} for each in answer["items"]]
    listing(items, _TENSORS, fmt, empty="It holds no tensor.")
    said = [{"key": key, "value": value} for key, value in answer["metadata"].items()]
    if said:
        say("Its producer says, and nobody vouches for it:")
        listing(said, (Column("key", "key"), Column("value", "value")), fmt, empty="")


@command.command("lineage")
@click.argument("version")
@output
@click.pass_context
def lineage(ctx: click.Context, version: str, fmt: str | None) -> None:
    """List VERSION and its ancestors, newest first."""
    items = list(connect(ctx).items(f"/weights/versions/{version}/lineage"))
    listing(items, (Column("model", "model"), *_VERSIONS), fmt, empty="No such version.")


@command.command("budget")
@click.argument("model")
@output
@click.pass_context
def budget(ctx: click.Context, model: str, fmt: str | None) -> None:
    """Show how much of MODEL you may still read; what was opened counts for 24 hours."""
    card(connect(ctx).get("/weights/budget", model=model), _BUDGET, fmt)


@command.command("export")
@click.argument("version")
@click.argument("destination")
@output
@click.pass_context
def export(ctx: click.Context, version: str, destination: str, fmt: str | None) -> None:
    """Export VERSION to the DESTINATION that its approvers saw; a governance hold refuses it."""
    connection = connect(ctx)
    body = {"version": version, "destination": destination}
    answer = fresh(connection, lambda: connection.post("/weights/exports", body))
    rows = (
        Column("export", "id"),
        Column("version", "version"),
        Column("to", "destination"),
        Column("size", "bytes", "size"),
    )
    card(answer, rows, fmt)


@command.command("open-export")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True,
              help="The verifier key of the lab's log (lab.vkey), from elsewhere than the bundle.")  # fmt: skip
@click.option("--recipient", type=click.Path(path_type=Path), help="File of the private key that it was sealed to.")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="The new safetensors file.")
def open_export(bundle: Path, folder: Path | None, key: Path, recipient: Path | None, target: Path | None) -> None:
    """Check the export BUNDLE of a lab, all of it; then open its ciphertext in FOLDER/shards.

    The lab's key must have signed what was let out, and the head of the log that the version lies in. Without FOLDER
    nothing is opened. Needs no server.
    """
    from weighthouse.cli.opening import check_bundle, open_bundle

    found = check_bundle(bundle, key)
    say(f"{found.ticket.version} of {found.ticket.model}, {found.ticket.digest}")
    say(f"was let out as {found.export} to {found.destination}; line {found.entry} of the lab's log is its own.")
    if folder is None and recipient is None and target is None:
        return
    if folder is None or recipient is None or target is None:
        raise click.UsageError("To open it, give FOLDER, --recipient and -o.")
    open_bundle(found, folder, read_key(recipient), target)
    say(f"Opened into {target}.")


@command.command("destroy")
@click.argument("version")
@click.option("--reason", required=True, help="Why it goes; it stands in the log.")
@output
@click.pass_context
def destroy(ctx: click.Context, version: str, reason: str, fmt: str | None) -> None:
    """Order the destruction of VERSION, for which a request was approved; it is final only after a time.

    The request names it: `--operation '{"version": "VERSION"}'`. Any hold on the model or the lab refuses it, now and
    at the end. Nothing of it is opened meanwhile; `undestroy` undoes it.
    """
    connection = connect(ctx)
    answer = fresh(connection, lambda: connection.post(f"/weights/versions/{version}/destroy", {"reason": reason}))
    shown = answer if fmt == "json" else {**answer, "approvers": ", ".join(answer["approvers"])}
    card(shown, _DESTRUCTION, fmt)


@command.command("undestroy")
@click.argument("version")
@click.option("--reason", required=True, help="Why it stays; it stands in the log.")
@output
@click.pass_context
def undestroy(ctx: click.Context, version: str, reason: str, fmt: str | None) -> None:
    """Undo the order to destroy VERSION: for who gave it, who approved it, or who may destroy it.

    It takes a second factor for exactly this, which you are asked for.
    """
    connection = connect(ctx)
    answer = fresh(connection, lambda: connection.post(f"/weights/versions/{version}/undestroy", {"reason": reason}))
    card(answer, (Column("model", "model"), *_VERSIONS), fmt)


@command.command("destroy-model")
@click.argument("model")
@click.option("--reason", required=True, help="Why it goes; it stands in the log.")
@output
@click.pass_context
def destroy_model(ctx: click.Context, model: str, reason: str, fmt: str | None) -> None:
    """Order the destruction of the key of MODEL, with all its versions; it is final only after a time.

    The approved request names the newest version: `--operation '{"newest": "VERSION"}'`. Any hold on the lab, the
    model or what it was made from refuses it, now and at the end, and so does whoever uses it now. Nothing of it is
    opened, saved or run meanwhile; `undestroy-model` undoes it.
    """
    connection = connect(ctx)
    answer = fresh(connection, lambda: connection.post("/weights/models/destroy", {"model": model, "reason": reason}))
    shown = answer if fmt == "json" else {**answer, "approvers": ", ".join(answer["approvers"])}
    card(shown, _ENDING, fmt)


@command.command("undestroy-model")
@click.argument("model")
@click.option("--reason", required=True, help="Why it stays; it stands in the log.")
@output
@click.pass_context
def undestroy_model(ctx: click.Context, model: str, reason: str, fmt: str | None) -> None:
    """Undo the order to destroy the key of MODEL: for who gave it, who approved it, or who may destroy it.

    It takes a second factor for exactly this, which you are asked for.
    """
    connection = connect(ctx)
    answer = fresh(
        connection, lambda: connection.post("/weights/models/undestroy", {"model": model, "reason": reason})
    )
    card(answer, _ENDING[:1] + _ENDING[2:3], fmt)


@command.command("verify")
@click.argument("version")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--manifest", type=click.Path(path_type=Path), help="The signed manifest; else FOLDER/manifest.json.")
@output
@click.pass_context
def verify(ctx: click.Context, version: str, folder: Path, manifest: Path | None, fmt: str | None) -> None:
    """Check the ciphertext of VERSION in FOLDER/shards, byte by byte, without any key.

    The manifest must be the one that the control plane remembers, and every shard must have exactly the bytes that
    were signed. Exits with 6 and names each shard that does not.
    """
    answer = connect(ctx).get(f"/weights/versions/{version}")
    listed = read_manifest(manifest or folder / "manifest.json", str(answer["digest"]))
    found = []
    with progress("Hashing", listed.ciphertext()) as step:
        for shard in listed.shards:
            wrong = check_shard(folder / "shards", shard, step)
            found.append(
                {"shard": shard.id, "result": "broken" if wrong else "ok", "what": wrong, "bytes": shard.ciphertext}
            )
    columns = (
        Column("shard", "shard"),
        Column("result", "result", "state"),
        Column("size", "bytes", "size"),
        Column("what", "what"),
    )
    listing(found, columns, fmt, empty="The manifest lists no shard.")
    if any(item["what"] for item in found):
        ctx.exit(exits.CHECK_FAILED)
    say(f"{len(found)} objects are exactly those of {version}. That shows the bytes, not what they do.")


@command.command("seal")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--key", type=click.Path(path_type=Path), required=True, help="File of the key; made when it is missing."
)
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Where to; the default adds .floe.")
def seal_file(source: Path, key: Path, target: Path | None) -> None:
    """Encrypt the local file SOURCE with FLOE. Whoever has the key's file can open it; keep the two apart."""
    secret = read_key(key, make=True)
    to = target or source.with_name(source.name + ".floe")
    with progress("Sealing", source.stat().st_size) as step:
        seal(source, to, secret, step)
    say(f"Sealed {source} into {to}.")


@command.command("open")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), required=True, help="File of the key.")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), required=True, help="The new plain file.")
def open_file(source: Path, key: Path, target: Path) -> None:
    """Decrypt the local file SOURCE, which `seal` made. A file that was altered leaves nothing behind."""
    with progress("Opening", source.stat().st_size) as step:
        open_sealed(source, target, read_key(key), step)
    say(f"Opened {source} into {target}.")


@contextmanager
def progress(what: str, total: int) -> Iterator[Step]:
    """Show a bar on standard error while bytes go by; nothing when that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.disable = not bar.console.is_terminal
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
