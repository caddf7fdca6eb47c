"""`weighthouse review`: decide what waits for you. Guards the approver from signing anything but what was shown.

The card is shown first, the question is asked second, and the signature by this machine's key covers the digest of
that card and of the policy it was made under. If either has moved on, the vote is refused and the card is read again.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import click

from weighthouse.cli.connection import Connection, connect, fresh
from weighthouse.cli.request import show_card
from weighthouse.cli.show import Column, listing, output, say
from weighthouse.core.errors import Conflict, Invalid

_NOT_SIGNED = frozenset({"state", "digest", "settled", "settled_why", "row"})
_INBOX = (
    Column("id", "request.id"),
    Column("person", "request.person"),
    Column("role", "request.entitlement"),
    Column("resource", "request.resource"),
    Column("class", "request.cls"),
    Column("for", "request.duration", "span"),
    Column("asked", "request.created", "time"),
    Column("unusual", lambda card: len(card["unusual"]) or ""),
    Column("reason", "request.reason"),
)


@click.group("review", invoke_without_command=True)
@output
@click.pass_context
def command(ctx: click.Context, fmt: str | None) -> None:
    """Decide requests that wait for you."""
    if ctx.invoked_subcommand is None:
        items = list(connect(ctx).items("/inbox"))
        listing(items, _INBOX, fmt, empty="Nothing waits for you.")


@command.command("show")
@click.argument("request")
@output
@click.pass_context
def show(ctx: click.Context, request: str, fmt: str | None) -> None:
    """Show the card of REQUEST, in the words that your signature would cover."""
    show_card(connect(ctx).get(f"/requests/{request}/card"), fmt)


@command.command("approve")
@click.argument("request")
@click.option("--comment", default="", help="Kept with your vote; the requester may read it.")
@click.option("--digest", help="The digest of the card you have already read; without a terminal this is required.")
@click.pass_context
def approve(ctx: click.Context, request: str, comment: str, digest: str | None) -> None:
    """Approve REQUEST, signed with this machine's key; asks for a fresh second factor."""
    _decide(connect(ctx), request, "approve", comment, digest)


@command.command("deny")
@click.argument("request")
@click.option("--comment", default="", help="Why; kept with your vote.")
@click.option("--digest", help="The digest of the card you have already read; without a terminal this is required.")
@click.pass_context
def deny(ctx: click.Context, request: str, comment: str, digest: str | None) -> None:
    """Deny REQUEST, signed with this machine's key."""
    _decide(connect(ctx), request, "deny", comment, digest)


def _decide(connection: Connection, request: str, verdict: str, comment: str, digest: str | None) -> None:
    shown = _confirmed(connection, request, verdict, digest)
    answer = fresh(connection, lambda: _vote(connection, request, verdict, comment, shown))
    state = answer["state"]
    rest = {"approved": "The grant has started.", "denied": "The request is closed."}.get(
        state, "It waits for others."
    )
    say(f"Your vote on {request} is recorded: {verdict}. {rest}")


def _confirmed(connection: Connection, request: str, verdict: str, digest: str | None) -> str:
    """Return the digest that the approver has read: given by hand, or shown here and answered yes."""
    if digest is not None:
        return digest
    if not sys.stdin.isatty():
        raise click.UsageError("Without a terminal, give --digest: the digest of the card you have read.")
    card: dict[str, Any] = connection.get(f"/requests/{request}/card")
    show_card(card, "table")
    if not click.confirm(f"\n{verdict.capitalize()} exactly this?", default=False):
        raise click.Abort
    return str(card["digest"])


def _vote(connection: Connection, request: str, verdict: str, comment: str, digest: str) -> dict[str, Any]:
    """Fetch the statement again (it is short-lived), check that it is of the card that was read, sign and send."""
    card = connection.get(f"/requests/{request}/card")
    check_card(card, digest)
    device = own_device(connection)
    statement = {**card["statement"], "verdict": verdict, "device": device}
    signature = {
        "kind": "device" if device else "attested",
        "device": device,
        "at": statement["at"],
        "value": connection.client.sign_vote(statement) if device else "",
    }
    body = {"verdict": verdict, "digest": digest, "signature": signature, "comment": comment}
    answer: dict[str, Any] = connection.post(f"/requests/{request}/votes", body)
    return answer


def check_card(card: dict[str, Any], digest: str) -> None:
    """Refuse to sign unless the request shown, its digest and the statement to sign are one and the same.

    The digest is computed here, from the fields that were shown, so that a server that was taken over cannot show one
    request and have another one signed.
    """
    from weighthouse_sdk.client.http import canonical

    if card["digest"] != digest:
        raise Conflict(
            "cli.card_changed",
            "The request is not the one that you have read any more.",
            f"Read it again with `weighthouse review show {card['request']['id']}`.",
        )
    content = {name: value for name, value in card["request"].items() if name not in _NOT_SIGNED}
    if not content.get("account"):  # one from before accounts were kept
        content.pop("account", None)
    signed = {
        "type": "weighthouse/vote/3",
        "request": card["request"]["id"],
        "request_digest": "sha256:" + hashlib.sha256(canonical(content)).hexdigest(),
        "policy_digest": card["policy_digest"],
    }
    if signed["request_digest"] != digest or any(card["statement"].get(name) != signed[name] for name in signed):
        raise Invalid(
            "cli.card_does_not_match",
            "What the server asks you to sign is not what it shows; nothing was signed.",
            "Tell security, and do not approve this request anywhere until they have looked.",
        )


def own_device(connection: Connection) -> str:
    """Return the id under which this machine's key is enrolled, or an empty text."""
    mark = connection.client.key.thumbprint
    return next((str(d["id"]) for d in connection.items("/devices") if d["thumbprint"] == mark), "")
