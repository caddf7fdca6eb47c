"""The nouns of identity. Pure and frozen, so that a session in hand cannot be talked into being another one."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.clock import DAY, HOUR, MINUTE, Millis
from weighthouse.core.ids import DeviceId, PrincipalId, SessionId
from weighthouse.core.settings import Setting

ACT_LIFE: Millis = 5 * MINUTE  # how long a factor given for an act waits for it
START_LIFE: Millis = 10 * MINUTE  # how long a begun sign-in may wait for its callback
HISTORY: Millis = 180 * DAY  # sign-ins older than this say nothing any more

Binding = Literal["dpop", "browser"]

settings: tuple[Setting, ...] = (
    Setting(
        "identity.issuer",
        "text",
        "",
        "Issuer of the OpenID provider, byte for byte as its tokens say it; empty means the embedded one.",
    ),
    Setting("identity.client_id", "text", "weighthouse", "Our client id at the identity provider."),
    Setting(
        "identity.client_secret",
        "text",
        "",
        "Client secret, for providers that demand one from web clients.",
        secret=True,
    ),
    Setting(
        "identity.client_authentication",
        "text",
        "post",
        "How the client secret is shown to the provider: in the form (post) or in the Authorization header (basic).",
        choices=("post", "basic"),
    ),
    Setting(
        "identity.algorithm",
        "text",
        "RS256",
        "The one algorithm that the provider signs identity tokens with.",
        choices=("RS256", "PS256", "ES256"),
    ),
    Setting("identity.tenant", "text", "", "Tenant id that tokens must name in `tid`; empty asks for none."),
    Setting("identity.subject_claim", "text", "oid", "Claim that names an account for good.", choices=("oid", "sub")),
    Setting("identity.step_up_value", "text", "c2", "Value of `acrs` or `acr` that stands for a second factor."),
    Setting("identity.idle_s", "int", 30 * 60, "Seconds without use after which a session ends.", minimum=60),
    Setting("identity.absolute_s", "int", 8 * 3600, "Seconds after which a session ends, used or not.", minimum=60),
    Setting("identity.sessions_per_person", "int", 10, "Live sessions of one person; the oldest ends.", minimum=1),
    Setting("identity.workload_s", "int", 600, "Seconds a workload's token lives without renewal.", minimum=30),
    Setting("identity.proxy", "text", "", "HTTP proxy to the issuer; the environment's proxies are not used."),
    Setting(
        "identity.new_keys",
        "text",
        "auto",
        "Whether a new key waits to be confirmed before it signs what is sensitive; auto: in production only.",
        choices=("auto", "confirm", "at-once"),
    ),
    Setting(
        "identity.new_key_s",
        "int",
        24 * 3600,
        "Seconds after which a further key of a person that nobody confirmed counts all the same.",
        minimum=3600,
    ),
    Setting("identity.places_csv", "text", "", "CSV of address ranges: range,network,country[,lat,lon,radius_km]."),
    Setting(
        "identity.roaming",
        "text",
        "step_up",
        "A session seen from another country, its mark or key along: it goes on, falls back to one factor, or ends.",
        choices=("continue", "step_up", "end"),
    ),
    Setting(
        "identity.trusted_proxies",
        "text",
        "",
        "Comma-separated networks whose X-Forwarded-For is believed; no share limits their connections.",
    ),
)


class PublicKey(msgspec.Struct, frozen=True):
    """One key known to be public. `algorithms` are the only ones its type may be used with."""

    kid: str
    jwk: dict[str, str]
    algorithms: tuple[str, ...]


class IssuerProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What we demand of one issuer. `account_issuer` is how the lab's accounts name it."""

    issuer: str
    account_issuer: str
    client_id: str
    tenant: str = ""
    subject_claim: str = "oid"
    step_up_value: str = "c2"
    algorithms: tuple[str, ...] = ("RS256",)
    announces_iss: bool = False


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an address is. `spot` is latitude and longitude in thousandths of a degree, and a radius in km."""

    network: str
    country: str = ""
    known: bool = False
    spot: tuple[int, int, int] | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A person of the lab: the signed configuration's entry plus what this room keeps (frozen or not)."""

    id: PrincipalId
    name: str
    teams: tuple[str, ...]
    active: bool
    frozen: bool
    frozen_reason: str = ""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What a request presents. `url` is the address the server knows itself by, never the Host header.

    `proof` is the DPoP proof (kind dpop), or the run that the broker socket vouches for (kind workload).
    """

    kind: Literal["cookie", "dpop", "workload"]
    value: str
    proof: str = ""
    method: str = "GET"
    url: str = ""
    address: str = ""
    user_agent: str = ""
    device_mark: str = ""
    """The browser's own mark, which it got at its first sign-in; a cookie counts only beside it."""

    def __repr__(self) -> str:
        return f"Credential({self.kind}, …)"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One session, as its sealed row says it. `secret` is the SHA-256 of the cookie or token, never the value."""

    id: SessionId
    person: PrincipalId
    binding: Binding
    key: str
    user_agent: str
    address: str
    network: str
    device_mark: str
    epoch: int
    secret: str
    created: Millis
    ends: Millis
    seen: Millis
    assurance: Assurance
    account: str = ""
    """The account that proved it, as `policy.account_ref` names it; empty in rows from before accounts were kept."""
    country: str = ""
    countries: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    moved: Millis = 0
    """Where it was lately: its country and those before it, keyed marks of its last addresses, when it moved."""
    reasons: tuple[str, ...] = ()
    ended: Millis | None = None
    ended_reason: str = ""
    ended_by: str = ""
    foreign: bool = False
    """Whether it was ended from elsewhere than itself, so that what was done in it is not believed either."""
    whose: str = ""
    """The same in words, own or foreign, where this was judged at its end; empty in rows from before that."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Whose act, in which session and when, something rests on; the operator of the machine ("system") has none."""

    by: str
    session: str
    at: Millis


class Voucher(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody let a key of a person count, once it was new (confirm) or set aside (restore), or enrolled it
    with a key that counted watching (beside), and in which session.

    `key` is the one that signed or watched, and `rests` all that it rested on itself then, to the first: neither was
    kept at first, and such a voucher stands by its own session alone.
    """

    device: str
    act: Literal["confirm", "restore", "beside"]
    by: str
    session: str
    at: Millis
    key: str = ""
    rests: tuple[Origin, ...] = ()

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All that must not be disowned for it to stand: its own session first."""
        return (Origin(by=self.by, session=self.session, at=self.at), *self.rests)


RUN = "run:"
"""What the principal of a run begins with."""


class PrincipalState(msgspec.Struct, frozen=True, kw_only=True):
    """What this room keeps about one principal: version, epoch, freeze, and which sessions and devices live.

    The version only grows and is remembered outside the database, so a row restored from yesterday is recognised.
    `adopted` is the account that statements from before accounts were kept count as; `v` 1 is a state on which that
    has not been decided.
    """

    principal: PrincipalId
    v: int = 1
    adopted: str = ""
    first: tuple[str, ...] = ()
    """Devices beside which the person has had no key that counted: they wait for a second person."""
    confirmed: tuple[str, ...] = ()
    """Devices that an older key or a second person has confirmed."""
    version: int = 0
    epoch: int = 0
    frozen_at: Millis | None = None
    frozen_reason: str = ""
    stopped: Millis = 0
    """When everything of theirs was last stopped or opened again: what was begun or known before is over."""
    sessions: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    suspended: tuple[str, ...] = ()
    """Keys that were set aside with everything else, as somebody acted in their person's name."""
    grown: tuple[str, ...] = ()
    """Those of them that counted when they were set aside: no other ever counts again."""
    vouchers: tuple[Voucher, ...] = ()
    """Who let which key count; none for what was confirmed or let count again before this was kept."""
    fell: tuple[str, ...] = ()
    """Devices that fell with what let them count, and with their sessions, their own enrolment's perhaps among them:
    whoever confirms one anew has looked at it since, so that is not asked again."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A P-256 key that a person has enrolled; votes are signed with it. `jwk` holds kty, crv, x and y only.

    `account` is the one that enrolled it; without one the device is from before accounts were kept.
    """

    id: DeviceId
    person: PrincipalId
    name: str
    jwk: dict[str, str]
    thumbprint: str
    at: Millis
    account: str = ""
    session: str = ""
    """The session that enrolled it; empty in a key from before this was kept."""


class KeySignature(msgspec.Struct, frozen=True, kw_only=True):
    """A signature (ES256, raw r and s) by a person's device over what they do; `at` is the time that it names."""

    device: str
    at: Millis
    value: bytes


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of one run. `expires` moves with renewal, `until` never does."""

    run: str
    secret: str
    attributes: dict[str, str]
    started: Millis
    expires: Millis
    until: Millis
    seen: Millis


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act that needs a second factor of its own: its type, what it is done to, and what else defines it."""

    type: str
    subject: str
    parameters: dict[str, str] = {}


class GivenFactor(msgspec.Struct, frozen=True, kw_only=True):
    """A second factor that was given for one act and not used yet. `digest` names the act with all it is bound to."""

    v: int = 1
    id: str
    digest: str
    person: str
    account: str
    session: str
    method: str
    at: Millis
    until: Millis


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A begun sign-in or step-up, kept on the server until its callback; used at most once."""

    secret: str
    purpose: Literal["sign_in", "step_up"]
    issuer: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    return_to: str
    key: str
    level: int
    person: str
    session: str
    created: Millis
    expires: Millis
    account: str = ""
    """The account that must answer, if one has answered before: a second factor of another one settles nothing."""
    acts: tuple[Act, ...] = ()
    """The acts that the factor is for; `nonce` is then the salt of the challenge over their digests."""


class SignInStart(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send the person, and the secret that ties their browser or CLI to this attempt."""

    url: str
    transaction: str
    reasons: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()
    """In words, what the second factor is asked for."""
    good_s: int = 0
    """For how many seconds the address is good, 0 where it does not run out."""


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A session was made or raised. `secret` is the cookie value or access token; it is shown this once."""

    session: Session
    secret: str
    caller: Caller
    return_to: str
    device_mark: str = ""

    def __repr__(self) -> str:
        return f"SignedIn({self.session.id}, …)"


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """How the callback reached us: the peer, the browser, and what it proves it holds."""

    address: str
    user_agent: str
    proof: str = ""
    method: str = "POST"
    url: str = ""
    device_mark: str = ""
    session_secret: str = ""


class SignInResult(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in result that a provider reports. `event_id` lets the same report arrive twice and count once."""

    issuer: str
    subject: str
    address: str
    user_agent: str
    outcome: Literal["failure", "locked", "success"]
    reason: str
    event_id: str


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """A stop that was remembered before its change, and the line that the log must have of it. `of` is who it is
    about, `data` the fact's own."""

    id: str
    kind: str
    of: str
    data: dict[str, Any]
    at: Millis


SESSION_TOUCH: Millis = MINUTE  # a session's last use is written at most this often
DORMANT: Millis = 90 * DAY
SPRAY_WINDOW: Millis = HOUR
