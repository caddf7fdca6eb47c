"""For which server a statement was signed. Guards acts that a device key signs from another server's statements.

Whoever runs another server that the same person uses would show there what is to be signed, and bring the signature
here. So each statement names this server, in words that the client knows from elsewhere, and is accepted only so.
"""

from __future__ import annotations

from weighthouse.audit import api as audit
from weighthouse.core.errors import Denied
from weighthouse.core.work import System
from weighthouse.identity.ports import Site
from weighthouse.identity.rules import audience as rule

OUTDATED = "identity.statement_outdated"


def audience(system: System) -> str:
    """What each statement that is signed for this server names."""
    return rule.named(system.part(Site).origin, audit.key(system))


def was_ours(system: System, kept: str) -> bool:
    """Whether a statement that is kept was signed for this deployment, under whatever address it had then.

    One without an audience is from before they were named: it was accepted here, and none is accepted any more.
    """
    return not kept or rule.log_of(kept) == rule.log_of(audience(system))


def outdated() -> Denied:
    """The refusal of a new act that was signed in a form which names no server."""
    return Denied(
        OUTDATED,
        "What was signed does not say for which server, so it could have been signed for another one.",
        "Upgrade the program that signs (`weighthouse`, or weighthouse-sdk), or load the page again, and sign anew.",
    )
