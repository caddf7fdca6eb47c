"""Votes name the server that they were given for. The attacker has one that was given at another server."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.access.support import Lab
from weighthouse.access import api
from weighthouse.access.api.sealing import seal_vote
from weighthouse.access.model import Vote
from weighthouse.core.canonical import encode
from weighthouse.core.errors import Denied
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.identity.rules.audience import log_of


def older(statement: dict[str, Any]) -> dict[str, Any]:
    """What the same vote was before servers were named."""
    return {**{name: said for name, said in statement.items() if name != "audience"}, "type": "weighthouse/vote/2"}


def sent(lab: Lab, card: api.Card, signed: dict[str, Any]) -> str:
    """The code that Ben's vote is answered with, whose signature is over `signed`."""
    honest = lab.signed("ben", card, "approve")
    whole = {**signed, "verdict": "approve", "device": honest.device}
    forged = msgspec.structs.replace(honest, value=lab.keys["ben"].sign(encode(whole)))
    ben = lab.caller("ben")
    with pytest.raises(Denied) as error, begin(lab.system, ben) as unit:
        api.vote(unit, ben, card.request.id, "approve", digest=card.digest, signature=forged)
    return error.value.code


def test_a_vote_that_was_signed_for_another_server_or_for_none_is_no_vote_here(lab: Lab) -> None:
    lab.device("ben")
    card = lab.card("ben", lab.ask().id)
    here = identity.audience(lab.system)
    assert (card.statement["type"], card.statement["audience"]) == ("weighthouse/vote/3", here)
    log = log_of(here)
    for there in (f"https://staging.example#{log}", here.replace(log, "A" * 43)):
        assert sent(lab, card, {**card.statement, "audience": there}) == "access.vote_signature"
    assert sent(lab, card, older(card.statement)) == identity.OUTDATED
    told = [one.data["code"] for one in lab.log("access.Denied")]
    assert told == ["access.vote_signature", "access.vote_signature", identity.OUTDATED]
    assert lab.log("access.VoteCast") == []


def kept(lab: Lab, request: str, **changed: str) -> None:
    """Ben's vote stands as `changed` says, signed by his device over just that; without a seal but the older one."""
    (row,) = lab.sql("SELECT body FROM access_vote WHERE request = :id AND voter = 'ben'", id=request)
    vote = msgspec.structs.replace(msgspec.json.decode(row["body"], type=Vote), **changed)
    vote = msgspec.structs.replace(vote, signature=lab.keys["ben"].sign(encode(vote.statement())))
    with begin(lab.system) as unit:
        sealed = seal_vote(unit, vote) if not vote.audience else vote
    body = msgspec.json.encode(sealed).decode()
    lab.sql("UPDATE access_vote SET body = :body WHERE request = :id AND voter = 'ben'", body=body, id=request)


def test_a_vote_of_before_servers_were_named_still_counts(lab: Lab) -> None:
    request = lab.ask()
    lab.vote("ben", request.id)
    kept(lab, request.id, audience="")
    assert lab.vote("chi", request.id).state == "approved"
    (grant,) = lab.grants("ada")
    assert {one.audience for one in grant.votes} == {"", identity.audience(lab.system)}
    assert lab.explain("ada").allowed, "also once its seal and votes are opened again"


def test_a_row_with_a_vote_that_was_given_elsewhere_does_not_count(lab: Lab) -> None:
    """A writer of the database has a vote for the same request, which a server signed for that named our log."""
    request = lab.ask()
    lab.vote("ben", request.id)
    kept(lab, request.id, audience=identity.audience(lab.system).replace("http://", "https://"), session="")
    assert lab.vote("chi", request.id).state == "pending"
