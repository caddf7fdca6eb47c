"""The face of policy: read a text, publish it signed, know the current lab, and decide one question.

Guards against a swapped or rolled-back bundle: `current` checks the policy key's signature, the digest of the text
and the newest version remembered outside the database, each time, before anything is decided with it.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict

from weighthouse.core.canonical import encode, sha256_hex
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Conflict, Invalid, NotFound, Unavailable
from weighthouse.core.signing import Signers, verify_ed25519
from weighthouse.core.work import System, Unit
from weighthouse.policy import store as rows
from weighthouse.policy.model import (
    ACTIONS,
    GOVERNING,
    IMPLIED,
    IRREVERSIBLE,
    KEYED,
    LAB_RESOURCE,
    RELEASING,
    SHARED,
    STEP_UP,
    STEP_UP_FRESH,
    Bundle,
    Charter,
    EgressEntry,
    EgressProfile,
    Entitlement,
    Environment,
    GrantFacts,
    Lab,
    PersonEntry,
    PolicyQuestion,
    PrincipalFacts,
    QuorumRule,
    Resource,
    ResourceFacts,
    SeatEntry,
    SensitivityClass,
    Separation,
    Slot,
    Team,
    Verdict,
)
from weighthouse.policy.ports import PolicyMemory
from weighthouse.policy.rules.accounts import account_ref, accounts_of, check_succession
from weighthouse.policy.rules.deciders import committee_teams, who_decides
from weighthouse.policy.rules.difference import difference, shortened
from weighthouse.policy.rules.notes import notes
from weighthouse.policy.rules.quantities import date_text, duration_text, parse_duration, size_text
from weighthouse.policy.rules.quorum import CHOICES as BALLOTS
from weighthouse.policy.rules.quorum import CLASSES as MOTIONS
from weighthouse.policy.rules.quorum import (
    Answer,
    MotionClass,
    Seating,
    Tally,
    heard,
    lacks,
    may_hold,
    seating,
    settled,
    short,
    stuck,
    tally,
    vacancies,
    waiting,
)
from weighthouse.policy.rules.read import read_lab
from weighthouse.policy.rules.tree import LAB_LIMIT, refuse
from weighthouse.policy.rules.verdict import EVALUATION_ERROR, engine

__all__ = [
    "ACTIONS", "BALLOTS", "EVALUATION_ERROR", "GOVERNING", "IMPLIED", "IRREVERSIBLE", "KEYED", "LAB_LIMIT",
    "LAB_RESOURCE", "MOTIONS", "RELEASING", "SHARED", "STEP_UP", "STEP_UP_FRESH", "Answer", "Bundle", "Charter",
    "EgressEntry", "EgressProfile",
    "Entitlement", "Environment", "GrantFacts", "Lab", "MotionClass", "PersonEntry", "PolicyQuestion",
    "PrincipalFacts", "QuorumRule", "Resource", "ResourceFacts", "SeatEntry", "Seating", "SensitivityClass",
    "Separation", "Slot", "Tally", "Team", "Verdict", "account_ref", "accounts_of", "base_of", "check_succession",
    "committee_teams", "current", "current_locked", "current_text", "date_text", "decide", "difference", "digest_of",
    "duration_text", "heard", "lacks", "learn", "may_hold", "notes", "of_digest", "once_in_force", "parse",
    "parse_duration", "published", "seating", "settled", "short", "shortened", "size_text", "store", "stuck",
    "tally", "text_of", "vacancies", "waiting", "who_decides",
]  # fmt: skip

_KEPT = 8
_verified: OrderedDict[tuple[bytes, int, str, bytes], Bundle] = OrderedDict()
_lock = threading.Lock()


def parse(text: str, name: str, *, now: Millis = 0) -> Lab:
    """Read a lab; raises Invalid(`policy.*`) that names file:line, what was expected and the nearest valid name.

    With `now`, the time of publication, a term that is over leaves its seat empty.
    """
    return read_lab(text, name, now=now)


def base_of(bundle: Bundle) -> str:
    """The name of exactly this publication: the same text published again is another base."""
    return f"{bundle.version}/{bundle.digest}"


def digest_of(text: str) -> str:
    """The digest that names exactly this text: `sha256:<hex>` of its UTF-8 bytes."""
    return "sha256:" + sha256_hex(text.encode())


def decide(question: PolicyQuestion) -> Verdict:
    """Cedar's verdict on one question; an evaluation error is a no."""
    return engine().decide(question)


def _statement(version: int, digest: str, at: Millis, published_by: str) -> bytes:
    return encode(
        {"type": "weighthouse/policy/1", "version": version, "digest": digest, "at": at, "published_by": published_by}
    )


def current(unit: Unit) -> Bundle:
    """The lab that decides now.

    Raises Unavailable: `policy.none` before the first publication, `policy.bundle_seal` for a row or text that the
    policy key did not sign, `policy.rolled_back` for a version older than one already used, `policy.forked` for
    another text under a version already used.
    """
    bundle: Bundle | None = unit.memo.get("policy.current")
    if bundle is not None:
        return bundle
    row = rows.find_current(unit.conn)
    memory = unit.part(PolicyMemory)
    newest = memory.newest()
    if row is None:
        if newest.version:
            raise _rolled_back(0, newest.version)
        raise Unavailable("policy.none", "No policy has been published, so every answer is no.", "Publish a lab.")
    if row.version < newest.version:
        raise _rolled_back(row.version, newest.version)
    bundle = _verify(unit, row)
    if row.version == newest.version and row.digest != newest.digest:
        raise Unavailable(
            "policy.forked",
            f"Version {row.version} of the policy is another text than the one already used.",
            "Restore the database from before the change; find out who wrote to it.",
        )
    if row.version > newest.version and unit.read_only:
        # Signed and newer, from another server: remember it, so that nobody can take it back. In a unit that writes,
        # the version may be our own and not yet committed; `store` remembers it once it is.
        memory.remember(row.version, row.digest)
    unit.memo["policy.current"] = bundle
    return bundle


def current_locked(unit: Unit) -> Bundle:
    """The lab that decides now, and goes on to decide until this unit is over: for whoever replaces it.

    Attack: two texts approved over the same base, published at one moment; each is judged by the base that the other
    has just replaced. So what is judged is read again under the lock that the next version takes.
    """
    rows.lock_pointer(unit.conn)
    unit.memo.pop("policy.current", None)
    return current(unit)


def learn(system: System, version: int, digest: str) -> None:
    """Remember a version that the log says is in force, whichever server published it: no older one counts here."""
    system.part(PolicyMemory).remember(version, digest)


def published(unit: Unit) -> bool:
    """Whether a policy was ever published here; raises as `current` does for one that cannot be believed."""
    try:
        current(unit)
    except Unavailable as error:
        if error.code != "policy.none":
            raise
        return False
    return True


def _rolled_back(found: int, newest: int) -> Unavailable:
    return Unavailable(
        "policy.rolled_back",
        f"The database names policy version {found}, but version {newest} has been in force.",
        "Restore the newest database, or publish the older text again as a new version.",
    )


def _verify(unit: Unit, row: rows.Row) -> Bundle:
    public = unit.part(Signers).signer("policy").public
    key = (public, row.version, row.digest, row.signature)
    with _lock:
        kept = _verified.get(key)
        if kept is not None and kept.at == row.at and kept.published_by == row.published_by:
            _verified.move_to_end(key)
            return kept
    statement = _statement(row.version, row.digest, row.at, row.published_by)
    if not verify_ed25519(public, row.signature, statement):
        raise _not_signed(row.version)
    found = rows.find_text(unit.conn, row.version)
    if found is None or digest_of(found[0]) != row.digest:
        raise _not_signed(row.version)
    bundle = Bundle(
        digest=row.digest,
        version=row.version,
        lab=read_lab(*found, kept=True),
        at=row.at,
        published_by=row.published_by,
    )
    with _lock:
        _verified[key] = bundle
        while len(_verified) > _KEPT:
            _verified.popitem(last=False)
    return bundle


def _not_signed(version: int) -> Unavailable:
    return Unavailable(
        "policy.bundle_seal",
        f"Version {version} of the policy in the database is not what the policy key signed.",
        "Restore the database from before the change; find out who wrote to it.",
    )


def of_digest(unit: Unit, digest: str) -> Lab | None:
    """The lab that this digest names, in force or once in force, its signature checked; None if there was none.

    For judging by the policy of that day. A row that somebody put beside a signed one hides it from nobody; raises
    Unavailable `policy.bundle_seal` if there are such rows alone.
    """
    found = rows.find_by_digest(unit.conn, digest)
    for row in found:
        with contextlib.suppress(Unavailable, Invalid):
            return _verify(unit, row).lab
    if found:
        raise _not_signed(found[0].version)
    return None


def text_of(unit: Unit, digest: str) -> str:
    """The text that this digest names, in force or once in force, whole and checked: for putting it back.

    Raises NotFound `policy.no_such_text`, Unavailable `policy.bundle_seal`.
    """
    for row in rows.find_by_digest(unit.conn, digest):
        found = rows.find_text(unit.conn, row.version)
        if found is not None and digest_of(found[0]) == digest:
            return found[0]
        raise _not_signed(row.version)
    raise NotFound(
        "policy.no_such_text",
        "No text with this digest was ever published here.",
        "Name a digest that `access.PolicyPublished` tells of in the log, whole: sha256 and 64 figures.",
    )


def once_in_force(unit: Unit, version: int, digest: str) -> Lab:
    """The lab that the log says was put in force; a row that is gone must not hide what it took away.

    Raises Unavailable `policy.bundle_seal` if it is not kept as it was signed.
    """
    lab = of_digest(unit, digest)
    if lab is None:
        raise _not_signed(version)
    return lab


def current_text(unit: Unit) -> str:
    """The text of the current bundle, whole and checked."""
    bundle = current(unit)
    found = rows.find_text(unit.conn, bundle.version)
    if found is None or digest_of(found[0]) != bundle.digest:
        raise _not_signed(bundle.version)
    return found[0]


def store(unit: Unit, text: str, name: str, published_by: str = "") -> Bundle:
    """Check, sign and point to a new version; called by access, which decides who may and records the fact.

    Raises Invalid(`policy.*`) for a faulty text, Conflict `policy.unchanged` when this very text is in force.
    """
    if len(text.encode("utf-8", "surrogatepass")) > LAB_LIMIT:  # the same for the first text and for every later one
        refuse(
            "policy.too_large",
            name,
            f"the text is larger than {size_text(LAB_LIMIT)}.",
            "Split out what is not policy; comments count, too.",
        )
    lab = parse(text, name, now=unit.now)
    digest = digest_of(text)
    memory = unit.part(PolicyMemory)
    pointed = rows.lock_pointer(unit.conn)
    if pointed and rows.digest_of_version(unit.conn, pointed) == digest:
        raise Conflict("policy.unchanged", "This very text is in force already.", "None is needed.")
    version = max(pointed, memory.newest().version) + 1
    signer = unit.part(Signers).signer("policy")
    signature = signer.sign(_statement(version, digest, unit.now, published_by))
    rows.add(unit.conn, rows.Row(version, digest, unit.now, published_by, signature), name, text)
    unit.memo.pop("policy.current", None)
    unit.after_commit(lambda: memory.remember(version, digest))
    return Bundle(digest=digest, version=version, lab=lab, at=unit.now, published_by=published_by)
