"""Whether a proof is fresh, by the server's word alone. Guards from proofs minted ahead and proofs presented again.

A nonce is a code by a key outside the database over this process's own random name and its monotonic clock. Proofs
of before a restart therefore never count after it, so that the memory of those used need not outlive the process;
and no clock that is set back revives one.
"""

from __future__ import annotations

from weighthouse.core.clock import SECOND
from weighthouse.core.errors import Unauthenticated, WeighthouseError
from weighthouse.core.signing import Signers, equal
from weighthouse.core.work import System
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.rules.compact import open_token
from weighthouse.identity.rules.freshness import LIFE, counts, keep_until, moment, moment_of, spelt
from weighthouse.identity.rules.proof import Proof

UNANSWERED = 30 * SECOND  # an honest client answers a new nonce with a new proof at once


def fresh_nonce(system: System) -> str:
    """Return the nonce that proofs are to be made with now."""
    return _nonce(system, moment(system.clock.monotonic()))


def _nonce(system: System, at: int) -> str:
    text = f"identity.nonce\x00{memory(system).epoch}\x00{at}"
    return spelt(at, system.part(Signers).mac("session", text.encode()))


def _holds(system: System, nonce: str) -> bool:
    at = moment_of(nonce)
    if at is None or not counts(at, system.clock.monotonic()):
        return False
    return equal(_nonce(system, at).encode(), nonce.encode())


def check_nonce(system: System, nonce: str) -> None:
    """Refuse a proof whose nonce is not one of this process, of the last five minutes."""
    if not _holds(system, nonce):
        raise Unauthenticated(
            "identity.proof_nonce",
            "The proof does not carry a nonce that this server gave out in the last five minutes.",
            "Make a new proof with the nonce of the DPoP-Nonce header (RFC 9449, section 8); the SDK does so itself.",
        )


def check_nonce_first(system: System, proof: str) -> None:
    """Refuse for want of a nonce before anything is used up by a proof that is judged whole only later."""
    try:
        claimed = open_token(proof, proof=True).unverified.get("nonce", "")
    except WeighthouseError:
        return
    check_nonce(system, claimed if isinstance(claimed, str) else "")


def check_first_use(system: System, proof: Proof) -> None:
    """Refuse a proof that was presented before, counted or not; whoever makes proofs makes one for each request."""
    now, at = system.clock.monotonic(), moment_of(proof.nonce)
    until = max(keep_until(at) if at is not None else 0, now + LIFE)
    if not memory(system).first_use(f"proof {proof.key} {proof.jti}", keep_until=until, now=now):
        raise Unauthenticated(
            "identity.proof_replayed", "This proof was used before.", "Make a fresh proof for each request."
        )


def went_unanswered(system: System, who: str) -> bool:
    """Note that `who` was asked for a newer proof; whether they were half a minute ago too, and sent none since.

    An honest client makes one at once. Whoever holds proofs but no key cannot.
    """
    return memory(system).asked(who, now=system.clock.monotonic()) >= UNANSWERED


def answered(system: System, who: str) -> None:
    """Forget that `who` was asked: a proof of theirs held."""
    memory(system).answered(who)
