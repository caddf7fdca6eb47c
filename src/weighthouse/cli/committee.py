"""`weighthouse committee`: seats, motions, signed ballots and release holds. Guards the vote from being decoration.

A ballot is a signature by the member's device over the digest of the motion that was shown; nothing here counts, the
server counts the signed ballots again from the log when a motion is closed.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import click

from weighthouse.cli.connection import Connection, connect, fresh
from weighthouse.cli.review import own_device
from weighthouse.cli.show import Column, card, clean_lines, form, heading, listing, many, output, say
from weighthouse.cli.words import clean
from weighthouse.core import written
from weighthouse.core.errors import Conflict

_SEATS = (
    Column("person", "person"),
    Column("seat", "kind"),
    Column("votes", "voting", "yes"),
    Column("independent", "independent", "yes"),
    Column("until", "until", "day"),
    Column("state", "state", "state"),
)
_MOTIONS = (
    Column("id", "motion.id"),
    Column("class", "motion.class"),
    Column("about", "motion.subject"),
    Column("state", lambda m: m["outcome"] or ("broken" if m["fault"] else "open"), "state"),
    Column("for", "tally.votes_for"),
    Column("against", "tally.votes_against"),
    Column("quorum", "tally.quorate", "yes"),
    Column("can close", lambda m: None if m["outcome"] else m["closable"], "yes"),
    Column("opened", "motion.opened_at", "time"),
    Column("by", "motion.opened_by"),
)
_MOTION = (
    *_MOTIONS,
    Column("rule", "tally.rule"),
    Column("voted", "voted"),
    Column("recused", "tally.recused"),
    Column("still to answer", "waiting"),
    Column("fell with a device", "void"),
    Column("answer by", lambda m: None if m["outcome"] else m["answer_by"], "time"),
    Column("closed", "closed_at", "time"),
    Column("fault", "fault"),
    Column("unproven", "unproven"),
    Column("digest", "digest"),
)
_STATUS = (
    Column("model", "model"),
    Column("release", lambda s: "held" if s["held"] else "not held", "state"),
    Column("hold", "hold"),
    Column("since", "since", "time"),
    Column("reason", "reason"),
    Column("called by", "called_by"),
    Column("ratified", lambda s: s["ratified"] if s["held"] else None, "yes"),
    Column("ratify by", "ratify_by", "time"),
    Column("what to do", "remedy"),
)


@click.group("committee")
def command() -> None:
    """Seats, motions, votes and release holds."""


@command.command("seats")
@output
@click.pass_context
def seats(ctx: click.Context, fmt: str | None) -> None:
    """List the seats of the charter in force."""
    charter = connect(ctx).get("/committee")
    empty = set(charter["vacant"])
    rows = [{**seat, "state": "vacant" if seat["person"] in empty else "seated"} for seat in charter["seats"]]
    listing(rows, _SEATS, fmt, empty="The charter has no seats.", answer=charter)
    for lack in charter["vacancies"]:
        say(f"Mind: {lack}.")


@command.command("motions")
@click.option("--subject", help="Only motions about this model or hold.")
@many(50)
@output
@click.pass_context
def motions(ctx: click.Context, subject: str | None, limit: int, fmt: str | None) -> None:
    """List motions with their live count, newest first."""
    items = list(connect(ctx).items("/motions", limit or None, subject=subject))
    listing(
        items, _MOTIONS, fmt, empty="No motion yet; `weighthouse committee open SUBJECT --text QUESTION` puts one."
    )


@command.command("show")
@click.argument("motion")
@output
@click.pass_context
def show(ctx: click.Context, motion: str, fmt: str | None) -> None:
    """Show MOTION: its text, the live count and the rule it is counted under."""
    _show(connect(ctx).get(f"/motions/{motion}"), fmt)


def _show(motion: dict[str, Any], fmt: str | None) -> None:
    if form(fmt) == "plain":
        card(motion, (*_MOTION, Column("text", "motion.text")), fmt)
        return
    card(motion, _MOTION, fmt)
    if form(fmt) == "table":
        heading("Text")
        click.echo(clean(motion["motion"]["text"], lines=True))
        if motion["motion"]["changes"]:
            heading("What the policy text changes")
            clean_lines(motion["motion"]["changes"])


@command.command("open")
@click.argument("subject", required=False)
@click.option(
    "--class",
    "cls",
    type=click.Choice(["ordinary", "release_clear", "hold", "lift_hold", "charter_change"]),
    help="What kind of decision; the charter has a rule for each.  [default: ordinary]",
)
@click.option("--text", required=True, help="The question, in words; every ballot signs its digest.")
@click.option(
    "--policy",
    "lab",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A policy text that changes who decides: the motion is then a charter_change about exactly this text.",
)
@output
@click.pass_context
def open_(
    ctx: click.Context, subject: str | None, cls: str | None, text: str, lab: Path | None, fmt: str | None
) -> None:
    """Put a question about SUBJECT (a model, or a hold), or about a policy text, to the committee."""
    if (lab is None) == (subject is None):
        raise click.UsageError("Name a SUBJECT, or a policy text with --policy.")
    if lab is None:
        _open(ctx, str(subject), cls or "ordinary", text, fmt)
        return
    if cls not in (None, "charter_change"):
        raise click.UsageError("A motion about a policy text is of the class charter_change.")
    said = written.read_text(lab)
    _open(ctx, "sha256:" + hashlib.sha256(said.encode()).hexdigest(), "charter_change", text, fmt, said)


def _open(ctx: click.Context, subject: str, cls: str, text: str, fmt: str | None, lab: str | None = None) -> None:
    connection = connect(ctx)
    body = {"class": cls, "subject": subject, "text": text, **({"policy": lab} if lab is not None else {})}
    motion = fresh(connection, lambda: connection.post("/motions", body))
    _show(motion, fmt)


@command.command("vote")
@click.argument("motion")
@click.argument("ballot", type=click.Choice(["for", "against", "abstain", "recuse"]))
@click.option("--digest", help="The digest of the motion you have read; without a terminal this is required.")
@click.pass_context
def vote(ctx: click.Context, motion: str, ballot: str, digest: str | None) -> None:
    """Cast your BALLOT on MOTION, signed with this machine's key."""
    connection = connect(ctx)
    if digest is None:
        if not sys.stdin.isatty():
            raise click.UsageError("Without a terminal, give --digest: the digest of the motion you have read.")
        shown = connection.get(f"/motions/{motion}")
        _show(shown, "table")
        if not click.confirm(f"\nVote '{ballot}' on exactly this?", default=False):
            raise click.Abort
        digest = str(shown["digest"])
    read = digest
    fresh(connection, lambda: _cast(connection, motion, ballot, read))
    say(f"Your ballot on {motion} is recorded: {ballot}.")


def _cast(connection: Connection, motion: str, ballot: str, digest: str) -> None:
    """Sign the short-lived statement with this machine's key; the server refuses a digest that has moved on."""
    shown = connection.get(f"/motions/{motion}")
    _check_motion(shown, digest)
    device = own_device(connection)
    at = int(shown["statement"]["at"]) if shown["statement"] else 0
    statement = {
        "type": "weighthouse/ballot/2",
        "audience": connection.client.audience(),
        "motion_digest": digest,
        "ballot": ballot,
        "voter": connection.me(),
        "device": device,
        "at": at,
    }
    signature = connection.client.sign_vote(statement)
    body = {"ballot": ballot, "digest": digest, "device": device, "at": at, "signature": signature}
    connection.post(f"/motions/{motion}/ballots", body)


def _check_motion(shown: dict[str, Any], digest: str) -> None:
    """Refuse to sign unless the digest is that of the motion shown, computed here from its fields."""
    from weighthouse_sdk.client.http import canonical

    motion = dict(shown["motion"])
    motion["cls"] = motion.pop("class")
    if motion.get("base"):  # about a policy text, of which each member signs what it changes
        act = {"type": "weighthouse/motion/2", "act": "publish", "policy": motion["subject"]}
    else:
        # Only where they are empty: what is shown is signed, or nothing is.
        motion = {name: value for name, value in motion.items() if value or name not in ("base", "changes")}
        lifted = {"act": "lift", "hold": motion["subject"]} if motion["cls"] == "lift_hold" else {}
        act = {"type": "weighthouse/motion/1", **lifted}
    computed = canonical({**act, **motion})
    if shown["digest"] != digest or "sha256:" + hashlib.sha256(computed).hexdigest() != digest:
        raise Conflict(
            "cli.motion_changed",
            "The motion is not the one that you have read; nothing was signed.",
            f"Read it again with `weighthouse committee show {motion['id']}`; tell security if it happens again.",
        )


@command.command("close")
@click.argument("motion")
@output
@click.pass_context
def close(ctx: click.Context, motion: str, fmt: str | None) -> None:
    """Count and close MOTION.

    Refused below quorum, and while a member who has not answered could still change the outcome, until the charter's
    time to answer is over.
    """
    connection = connect(ctx)
    _show(fresh(connection, lambda: connection.post(f"/motions/{motion}/close")), fmt)


@command.command("hold")
@click.argument("model")
@click.option("--reason", required=True, help="Why; it goes into the log.")
@output
@click.pass_context
def hold(ctx: click.Context, model: str, reason: str, fmt: str | None) -> None:
    """Hold the release of MODEL: at once by the chair, else with a second member's call."""
    connection = connect(ctx)
    body = {"model": model, "reason": reason}
    card(fresh(connection, lambda: connection.post("/releases/hold", body)), _STATUS, fmt)


@command.command("lift")
@click.argument("model")
@click.option("--text", required=True, help="Why the hold may go; every ballot signs its digest.")
@output
@click.pass_context
def lift(ctx: click.Context, model: str, text: str, fmt: str | None) -> None:
    """Move that the hold on MODEL be lifted; only a quorate vote lifts it."""
    status = connect(ctx).get("/releases", model=model)
    if not status["hold"]:
        say(f"The release of {model} is not held; there is nothing to lift.")
        return
    _open(ctx, status["hold"], "lift_hold", text, fmt)


@command.command("status")
@click.argument("model")
@output
@click.pass_context
def status(ctx: click.Context, model: str, fmt: str | None) -> None:
    """Show whether the release of MODEL is held, and what would change that."""
    card(connect(ctx).get("/releases", model=model), _STATUS, fmt)
