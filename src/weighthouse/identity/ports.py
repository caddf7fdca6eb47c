"""The outside systems of identity: an identity provider, address facts, and a memory outside the database."""

from __future__ import annotations

from typing import Protocol

import msgspec

from weighthouse.core.clock import Millis
from weighthouse.identity.model import IssuerProfile, Owed, Place, PublicKey


class Redeemed(msgspec.Struct, frozen=True):
    """What the provider gave for a code. Neither value leaves the server."""

    id_token: str
    access_token: str

    def __repr__(self) -> str:
        return "Redeemed(…)"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask the provider's authorization endpoint for. `step_up` asks for the second factor, now."""

    redirect_uri: str
    state: str
    nonce: str
    challenge: str
    step_up: bool
    hint: str = ""


class Address(msgspec.Struct, frozen=True):
    """Where to send the browser; `good_s` is for how many seconds, 0 where it does not run out."""

    url: str
    good_s: int = 0


class Site(msgspec.Struct, frozen=True):
    """The address people know this server by, such as https://weighthouse.lab; no slash at its end."""

    origin: str


class Provider(Protocol):
    """One OpenID provider. Calls may go over the network, so none is made inside a unit of work."""

    def profile(self) -> IssuerProfile:
        """What its tokens must look like; raises Unavailable `identity.provider_unavailable`."""

    def authorize_url(self, wish: Wish) -> Address:
        """Where to send the browser. The wish itself is pushed to the provider first where it takes that (RFC 9126),
        and again where its name ran out before it was here; raises Unavailable `identity.provider_unavailable`."""

    def pushes(self) -> bool:
        """Whether the provider takes pushed authorization requests, so that nobody edits one on its way."""

    def sign_out_url(self, return_to: str) -> str:
        """Where to send a browser that signed out here, so that it does there too; empty if that is not offered."""

    def redeem(self, *, code: str, verifier: str, redirect_uri: str) -> Redeemed:
        """Exchange a code; raises Unauthenticated `identity.code_refused` or Unavailable."""

    def key(self, kid: str) -> PublicKey:
        """The key with exactly this id; raises Unauthenticated `identity.token_key` or Unavailable."""


class ActFactor(Protocol):
    """A way to give a second factor for acts: the step-up at the provider now, a passkey next.

    The room derives a challenge from the acts (`rules.acts.challenge_of`: a digest over every one of them with a
    fresh salt), shows the acts in words, hands the challenge out, and keeps it sealed until the answer. Whatever
    verified the answer tells the room by `api.acts.factor_given`; nothing else does.
    """

    method: str
    """How it is called in the log."""

    def ask(self, challenge: str) -> str:
        """What the person's browser needs to answer: an address to go to, or the options of a ceremony."""

    def answered(self, challenge: str, answer: str, *, not_before: Millis) -> Millis:
        """When the factor was given, if `answer` is by the asked account over this very challenge and no older than
        `not_before`; raises Unauthenticated `identity.*` otherwise."""


class Places(Protocol):
    """Facts about network addresses."""

    def place(self, address: str) -> Place:
        """Where `address` is; may raise, which the risk check takes as `detector_failed`."""


class Memory(Protocol):
    """What must not be forgotten when somebody restores an old database: kept outside it."""

    epoch: str
    """A random name of this process's memory of one-time values: with the process both begin anew."""

    def version(self, principal: str) -> int:
        """The largest version of this principal's state ever seen here."""

    def learnt(self) -> int:
        """Up to which place of the log everything that it refuses is remembered here; 0 if nobody has said."""

    def learnt_to(self, place: int) -> None:
        """Remember that; the last word counts. It stands in the memory itself, so that an older one says less."""

    def raise_version(self, principal: str, version: int) -> None:
        """Remember `version`, if it is larger."""

    def is_later(self, what: str, at: int) -> bool:
        """Whether `at` is later than every moment remembered for `what`, which it is from then on: True only once."""

    def condemn(self, session: str, until: Millis) -> None:
        """Remember that a session is over, at least until `until`."""

    def condemned(self, session: str) -> bool:
        """Whether the session is over, whatever its row says."""

    def all_condemned(self) -> tuple[str, ...]:
        """The sessions that are over and not yet forgotten."""

    def saw(self, session: str, at: Millis) -> None:
        """Note that a session was used, in this process alone: its row may be locked."""

    def seen(self, session: str) -> Millis:
        """When this process saw the session used last, 0 if it did not."""

    def owe(self, due: Owed) -> None:
        """Remember a stop whose change is about to be made."""

    def paid(self, id_: str) -> None:
        """Remember that this change was made, and its line written."""

    def owed(self) -> tuple[Owed, ...]:
        """The stops whose change may have failed."""

    def forget(self, now: Millis) -> None:
        """Forget sessions whose longest life is over anyway."""

    def first_use(self, key: str, *, keep_until: Millis, now: Millis) -> bool:
        """Whether this one-time value is new; it is remembered until `keep_until`, by the monotonic clock."""

    def asked(self, who: str, *, now: Millis) -> Millis:
        """Note that `who` was asked for something newer; return for how long they have been without answering."""

    def answered(self, who: str) -> None:
        """Forget that `who` was asked."""
