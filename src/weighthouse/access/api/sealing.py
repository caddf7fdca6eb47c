"""Seals and signatures. Guards requests, votes and grants from whoever can write the database.

A request carries a code by a key outside the database, a vote its voter's signature, a grant an Ed25519 seal over the
request and all its votes. What has been verified is kept by content: other bytes are another entry, so that a hot
decision costs no signature and an edited row always costs one and fails.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections import OrderedDict

import msgspec

from weighthouse.access.api.taken_back import is_void
from weighthouse.access.model import VOID, Grant, Request, Vote
from weighthouse.access.ports import Refusals
from weighthouse.access.rules.deciding import Counted
from weighthouse.access.store.grants import StoredGrant
from weighthouse.access.store.requests import StoredRequest
from weighthouse.core.canonical import encode, sha256_hex
from weighthouse.core.errors import Invalid, WeighthouseError
from weighthouse.core.signing import Signers, equal, verify_ed25519
from weighthouse.core.work import Unit
from weighthouse.identity import api as identity
from weighthouse.identity.api.sealing import memory

# whether requests of that form name an account
GRANTS = {f"weighthouse/grant/{form}": form > 1 for form in (1, 2, 3, 4)}
_KEPT = 20_000


class Sealed(msgspec.Struct, frozen=True):
    """A grant whose seal holds, and its votes with what is wrong with them, if anything, and their names. `seen` is
    the version of each voter's state when the signatures were verified."""

    grant: Grant
    votes: tuple[Counted, ...]
    names: tuple[tuple[str, ...], ...]
    seen: tuple[int, ...] = ()


class _Kept:
    """Verified grants by (public key, seal, statement), the least recently used forgotten first."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[bytes, bytes, str], Sealed] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[bytes, bytes, str]) -> Sealed | None:
        with self._lock:
            found = self._found.get(key)
            if found is not None:
                self._found.move_to_end(key)
            return found

    def put(self, key: tuple[bytes, bytes, str], sealed: Sealed) -> None:
        with self._lock:
            self._found[key] = sealed
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)


_kept = _Kept()


def b64(data: bytes) -> str:
    """base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes of base64url text; raises `access.bad_signature_text`."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(
            "access.bad_signature_text", "The signature is not base64url text.", "Sign again and send it whole."
        ) from None


def digest_of(request: Request) -> str:
    """The digest over every field of a request."""
    return "sha256:" + sha256_hex(encode(request.content()))


def seal_request(unit: Unit, content: bytes) -> bytes:
    """The code over a request's content."""
    return unit.part(Signers).mac("grant", b"access.request\x00" + content)


def open_request(unit: Unit, row: StoredRequest) -> Request | None:
    """The request of a row, or None if anything in it was edited."""
    content = row.content.encode()
    if not equal(seal_request(unit, content), row.seal) or row.digest != "sha256:" + sha256_hex(content):
        return None
    request = msgspec.json.decode(content, type=Request)
    return msgspec.structs.replace(
        request,
        state=row.state,
        digest=row.digest,
        settled=row.settled,
        settled_why=row.settled_why,
        row=row.row,
    )


def attest(unit: Unit, statement: bytes) -> bytes:
    """The server's own signature that a session voted so."""
    return unit.part(Signers).signer("vote").sign(statement)


# What is no forgery is not called one: a device that was ended says so, before a restart and after it.
_PROBLEMS = {
    "identity.device_not_certified": "identity.device_not_certified",
    "identity.device_unknown": "access.voter_device_ended",
    "identity.key_young": "identity.key_young",
    "identity.record_refused": "access.voter_inactive",
}


def vote_problem(unit: Unit, vote: Vote) -> str:
    """The code of what is wrong with a vote's signature, or an empty text."""
    statement = encode(vote.statement())
    if not identity.was_ours(unit.system, vote.audience):
        return "access.vote_signature"
    try:
        signature = unb64(vote.signature)
        if vote.kind == "attested":
            public = unit.part(Signers).signer("vote").public
            return "" if verify_ed25519(public, signature, statement) else "access.vote_signature"
        identity.verify_device_signature(unit, vote.device, vote.voter, statement, signature, at=vote.at)
    except WeighthouseError as error:
        return _PROBLEMS.get(error.code, "access.vote_signature")
    return ""


def open_votes(unit: Unit, rows: list[tuple[str, str, str]]) -> list[Counted]:
    """The votes of a request's rows, each with its problem. A row that names another voter or request counts not."""
    found = []
    for request, voter, body in rows:
        vote = _readable(body)
        if vote is None:
            continue
        if vote.request != request or vote.voter != voter:
            found.append(Counted(vote, "access.vote_row_differs"))
        elif is_void(unit, vote) or _is_closed(unit, _names(vote)):
            found.append(Counted(vote, VOID))
        else:
            moved = "" if _session_holds(unit, vote) else "access.vote_row_differs"
            found.append(Counted(vote, vote_problem(unit, vote) or moved))
    return found


def _readable(body: str) -> Vote | None:
    """The vote of a row; None for one that nobody could have signed, which must not take the others with it."""
    try:
        vote = msgspec.json.decode(body, type=Vote)
        encode(vote.statement())
    except (msgspec.MsgspecError, WeighthouseError):
        return None
    return vote


def vote_name(vote: Vote) -> str:
    """What the memory outside the database calls a vote: by what was signed, for a signature has two spellings."""
    return "vot_" + sha256_hex(encode(vote.statement()))


def _names(vote: Vote) -> tuple[str, ...]:
    """Under what a vote may be void: itself, or with all of its session, so that hidden rows are void too."""
    return (vote_name(vote), vote.session) if vote.session else (vote_name(vote),)


def _is_closed(unit: Unit, names: tuple[str, ...]) -> bool:
    return any(unit.part(Refusals).closed(name) for name in names)


def seal_vote(unit: Unit, vote: Vote) -> Vote:
    """The vote with the server's code over it and its session, which is nothing that a voter's key signs."""
    said = encode({"vote": vote.statement(), "session": vote.session})
    return msgspec.structs.replace(vote, seal=b64(unit.part(Signers).mac("grant", b"access.vote\x00" + said)))


def _session_holds(unit: Unit, vote: Vote) -> bool:
    """Whether a vote was taken here, in its session; one from before either was kept is anybody's (`voiding`)."""
    return not (vote.session or vote.audience) or equal(seal_vote(unit, vote).seal.encode(), vote.seal.encode())


def seal_grant(unit: Unit, grant: Grant) -> tuple[str, bytes]:
    """The canonical statement of a grant and its seal."""
    statement = encode(grant.statement())
    return statement.decode(), unit.part(Signers).signer("grant").sign(statement)


def open_grant(unit: Unit, row: StoredGrant) -> Sealed | None:
    """The grant whose statement a row holds, votes verified; None if the seal does not hold.

    Whether a vote was taken back is asked each time: what is kept was true when it was kept. Whether its key still
    counts is asked again whenever its voter's state has changed since.
    """
    public = unit.part(Signers).signer("grant").public
    key = (public, row.seal, row.statement)
    found = _kept.get(key)
    if found is not None and found.seen == _seen(unit, found.grant):
        return _without_void(unit, found)
    if not verify_ed25519(public, row.seal, row.statement.encode()):
        return None
    sealed = _decode(unit, row.statement)
    if sealed is not None and not any(counted.problem for counted in sealed.votes):
        _kept.put(key, sealed)
    return None if sealed is None else _without_void(unit, sealed)


def _seen(unit: Unit, grant: Grant) -> tuple[int, ...]:
    return tuple(memory(unit.system).version(one.voter) for one in grant.votes)


def _without_void(unit: Unit, sealed: Sealed) -> Sealed:
    pairs = zip(sealed.votes, sealed.names, strict=True)
    void = [is_void(unit, one.vote) or _is_closed(unit, names) for one, names in pairs]
    if not any(void):
        return sealed
    votes = (Counted(one.vote, VOID) if gone else one for one, gone in zip(sealed.votes, void, strict=True))
    return msgspec.structs.replace(sealed, votes=tuple(votes))


def agrees(row: StoredGrant, grant: Grant) -> bool:
    """Whether the columns by which a row is found say what its sealed statement says."""
    shown = (row.id, row.request, row.person, row.resource, row.entitlement, row.not_before, row.end)
    return shown == (
        grant.id, grant.request.id, grant.person, grant.resource, grant.entitlement, grant.not_before, grant.end,
    )  # fmt: skip


def _decode(unit: Unit, statement: str) -> Sealed | None:
    body = msgspec.json.decode(statement)
    if body.get("type") not in GRANTS:  # whatever else the grant key may sign one day is not a grant
        return None
    request = msgspec.convert(body["request"], Request)
    if bool(request.account) != GRANTS[body["type"]]:
        return None
    request = msgspec.structs.replace(
        request, state="approved", digest="sha256:" + sha256_hex(encode(body["request"]))
    )
    votes = tuple(msgspec.convert(vote, Vote) for vote in body["votes"])
    grant = Grant(
        id=body["grant"],
        request=request,
        votes=votes,
        not_before=body["not_before"],
        end=body["end"],
        policy_digest=body["policy_digest"],
    )
    seen = _seen(unit, grant)
    counted = tuple(Counted(vote, vote_problem(unit, vote)) for vote in votes)
    return Sealed(grant, counted, tuple(_names(vote) for vote in votes), seen)
