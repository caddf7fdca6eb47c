"""Who is asking, as established by the identity room and carried through one unit of work.

Guards against ambient authority: no function learns who calls it from anywhere but this value.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weighthouse.core.clock import Millis
from weighthouse.core.ids import DeviceId, PrincipalId, SessionId


class Assurance(msgspec.Struct, frozen=True):
    """How surely, and when, the caller proved who they are: level 1 is one factor, level 2 a second factor."""

    level: int
    at: Millis
    method: str


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What a credential lived by when it was presented, so that whoever commits can ask whether it ended since.

    Of a session, the key or browser that it belongs to, when it began, and in which epoch of its person; of a
    workload, the version of its record.
    """

    mark: str = ""
    began: Millis = 0
    epoch: int = 0
    version: int = 0


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The authenticated caller of one request: a person, a workload, or the system itself.

    `account` names the account at the provider that proved a person: what they do is theirs only while policy gives
    them that account. `binding` says what the session is tied to; `attributes` are facts the control plane itself
    established about a workload (run, image digest, sandbox), never claims the caller made. `life` is of a caller who
    presented a credential.
    """

    principal: PrincipalId
    kind: Literal["person", "workload", "system"]
    session: SessionId | None = None
    account: str = ""
    assurance: Assurance = Assurance(0, 0, "none")
    binding: Literal["dpop", "browser", "workload", "none"] = "none"
    device: DeviceId | None = None
    address: str = ""
    user_agent: str = ""
    attributes: dict[str, str] = {}
    life: Life | None = None


SYSTEM = Caller(principal=PrincipalId("system"), kind="system")
