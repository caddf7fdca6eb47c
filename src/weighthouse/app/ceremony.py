"""The fork ceremony of a state folder: going on with a log that is not the one signed last.

Guards against doing so by accident, quietly, or over a log that somebody edited. Needs the passphrase of the keys; it
is refused where nothing has forked; every stored entry is checked first, and what was lost stays on record.
"""

from __future__ import annotations

import msgspec

from weighthouse.app import emptied, wiring
from weighthouse.app.home import Home
from weighthouse.app.initialise import check_exists
from weighthouse.audit import api as audit
from weighthouse.core import visible
from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import Conflict, Invalid, Unavailable, WeighthouseError
from weighthouse.core.settings import Settings
from weighthouse.core.work import System
from weighthouse.keys.adapters.embedded import SealedKeys

REASON = (10, 500)
FORKS = {
    "audit.cluster_changed",
    "audit.fenced_off",
    "audit.lines_lost",
    "audit.log_forked",
    "audit.log_smaller",
    "audit.memory_damaged",
    "audit.memory_missing",
}
"""Every refusal at start whose remedy is this ceremony."""
_MEMORY = "signer memory: "  # how the log's own check marks the one problem that the ceremony is there to accept


class Fork(msgspec.Struct, frozen=True):
    """What would be accepted: the signer's own words, all that is wrong, the entries it signed and those there."""

    why: str
    signed: int
    found: int
    also: tuple[str, ...] = ()
    whole: bool = False  # nothing that was signed or committed is missing

    @property
    def phrase(self) -> str:
        """What the operator must type: it names both sizes, so that nobody types it without having read them."""
        return f"accept {self.found} of {self.signed}"


def open_forked(settings: Settings, home: Home, passphrase: str) -> System:
    """Open a kept system whose log may be refused; nothing is served by it. Raises `app.no_state`, `keys.*`."""
    check_exists(home)
    return wiring.assemble(settings, home, SealedKeys.open(home.keys_file, passphrase))


def examine(system: System) -> Fork:
    """Return the fork that stands in the way. Raises `app.no_fork`, `app.log_damaged`, and what else is wrong."""
    try:
        audit.start(system)
    except WeighthouseError as error:
        if error.code not in FORKS:
            raise
        code, why = error.code, error.message
    else:
        raise Conflict(
            "app.no_fork",
            "The log is the one that this signer signed last, so there is nothing to accept.",
            "Start the server as always.",
        )
    report = audit.verify(system)
    damaged = [one for one in report.problems if not one.what.startswith((_MEMORY, audit.LOST, audit.MOVED))]
    if damaged:
        raise Unavailable(
            "app.log_damaged",
            f"The stored log is not whole (entry {damaged[0].index}: {damaged[0].what}), so it cannot be accepted.",
            "Restore a good backup; the ceremony accepts a lost tail, never an edited entry.",
        )
    if not report.size and audit.last_signed(system).size:
        raise emptied.refusal(system.settings, Home(system.settings.path("state")))
    also = tuple(one.what for one in report.problems if why not in one.what and one.what not in why)
    whole = code == "audit.cluster_changed" and all(one.what.startswith(audit.MOVED) for one in report.problems)
    return Fork(why, audit.last_signed(system).size, report.size, also, whole)


def accept(system: System, fork: Fork, reason: str, typed: str) -> int:
    """Accept the stored log for good and return its new size. Raises `app.bad_reason`, `app.not_confirmed`."""
    reason = reason.strip()
    if not REASON[0] <= len(reason) <= REASON[1] or visible.hidden(reason):
        raise Invalid(
            "app.bad_reason",
            f"The ceremony has a reason of {REASON[0]} to {REASON[1]} visible characters; it stays in the log.",
            "Say what happened to the database, or to the newer entries, and who decided.",
        )
    if typed.strip() != fork.phrase:
        raise Invalid(
            "app.not_confirmed",
            "What was typed is not the confirmation, so nothing has changed.",
            f"Read what would be lost, then type exactly: {fork.phrase}",
        )
    return audit.accept_fork(system, SYSTEM, reason)
