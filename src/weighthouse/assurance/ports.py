"""What an attack stands on: the real system, people who really sign in, runs that really run, a database to edit.

Guards the score from stage scenery: a ground gives a thief what a thief could have, and nothing that the product
would not give. What it cannot offer it refuses with `assurance.not_on_this_ground`: the scenario is NOT RUN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal, NoReturn, Protocol

import msgspec

from weighthouse.assurance.model import Expected, Observed
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System
from weighthouse.identity import api as identity


class Actor(Protocol):
    """A person with a session of their own, a fresh second factor and an enrolled device."""

    @property
    def caller(self) -> Caller: ...

    @property
    def device(self) -> str:
        """The id of the enrolled device."""

    def sign(self, statement: Mapping[str, Any]) -> str:
        """Sign the canonical form of `statement` with the device's key: ES256, raw, base64url without padding."""

    def stolen(self, method: str, url: str) -> identity.Credential:
        """Return what a thief has who copied the session's secret: the secret, from another machine, with a proof for
        this address by a key of the thief's own. The session is spent by it: the next `act_as` must sign in anew."""

    def minted(self, method: str, url: str, nonce: str) -> identity.Credential:
        """Return what a thief has who used this person's machine for a moment: the session's secret, and one proof by
        its key for this address, made after `nonce`. The thief presents it from their own machine."""


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attack inside a sandbox went. `reports` are the JSON lines that the code printed after `ATTACK `."""

    run: str
    exit_status: int | None
    reports: tuple[dict[str, Any], ...]


class Ground(Protocol):
    """Where attacks are run."""

    @property
    def system(self) -> System: ...

    def act_as(self, person: str) -> Actor:
        """Sign a person of the lab in, with a second factor; the same actor for the same person."""

    def sign_in(self, account: str, address: str, *, password: str = "", factor: bool = True) -> Callable[[], bool]:
        """Walk a sign-in over HTTP from `address`, on a device that nobody has used: with the account's own password
        unless another is typed, and without its second factor if there is to be none. Returns what says whether its
        session is taken still; raises what it was refused with. Only on a copy."""

    def submit_attack_run(self, code: str, wall_clock_s: int = 600) -> RunOutcome:
        """Run Python source in the real sandbox, as a run on `model/wren` with the egress profile `mirror`."""

    def executing(self) -> AbstractContextManager[None]:
        """Have the runs of this ground executed meanwhile; on a copy by a runner of its own."""

    def raw_sql(self, statement: str, **values: str | int | bytes | None) -> int:
        """Execute one statement as a database administrator would; return the number of rows. Only on a copy."""

    def open_keys(self, guess: str) -> None:
        """Open the sealed key file with a passphrase, as somebody would who carried the state folder away."""

    def later(self, by: Millis) -> None:
        """Let `by` milliseconds pass. Only on a copy."""

    def backup(self) -> object:
        """Return the database and the memories beside it as they stand, for `restore`. Only on a copy."""

    def restore(self, backup: object) -> None:
        """Put database and memories back, as whoever holds yesterday's state folder would. Only on a copy."""

    def witnessed(self) -> AbstractContextManager[None]:
        """Have an outside witness cosign the log meanwhile. Only on a copy."""

    def restart(self) -> None:
        """Forget what a server forgets that is started anew. Only on a copy."""

    def start_anew(self) -> None:
        """Start a server over the folder as it stands now, all of it; raises what it refuses with. Only on a copy."""

    def copy(self) -> AbstractContextManager[Ground]:
        """Return a ground on a copy of the database and the state beside it; it is thrown away afterwards."""

    def twin(self) -> AbstractContextManager[Ground]:
        """Return another server over the same database, with memories of its own as of now. Only on a copy."""

    def carry(self, text: str) -> None:
        """Have the committee carry a motion about publishing this policy text. Only on a copy."""

    def call_hold(self, member: str, model: str) -> None:
        """Have a member of the committee call for a hold on a model's release. Only on a copy."""

    def settle(self) -> None:
        """Let every follower of the log catch up, and learn from it what other servers have refused."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One theft. `prepare` does what is honest, `attack` is the theft itself, `cleanup` takes back what was prepared.

    The log is read from the end of `prepare` on, so that honest lines never count as detection.
    """

    id: str
    title: str
    techniques: tuple[str, ...]
    people: tuple[str, ...]
    """Whom it plays with; they are signed in and enrolled before a copy is made."""
    steps: tuple[str, ...]
    expected: Expected
    attack: Callable[[Ground, Any], Observed]
    prepare: Callable[[Ground], Any] = lambda _ground: None
    cleanup: Callable[[Ground, Any], None] = lambda _ground, _prepared: None
    on: Literal["live", "copy"] = "live"
    demo: bool = False
    """Whether `weighthouse demo` shows it; `demo --all` and `redteam run all` play every one."""


def not_here(what: str) -> NoReturn:
    """Refuse what a ground cannot offer; the scenario is then NOT RUN, which earns nothing."""
    raise Unavailable(
        "assurance.not_on_this_ground",
        f"This ground cannot offer {what}.",
        "Run the scenario on a ground that can; until then it counts as not run.",
    )
