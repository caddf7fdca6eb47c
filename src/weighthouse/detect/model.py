"""The nouns of detection: signals, incidents, alerts, and the settings that hold the thresholds.

Guards rules from clear personal data: a signal carries a keyed pseudonym of an address or an account, never the text.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from weighthouse.core.clock import HOUR, SECOND, Millis
from weighthouse.core.settings import Setting

Severity = Literal["low", "medium", "high"]

MOST_ACCOUNTS = 128  # what is kept of one network, and of one person, must be able to reach the threshold
MOST_READS = 2_000

SPRAY = "spray-then-success"
ELSEWHERE = "session-used-elsewhere"
BULK = "bulk-reads"
NEW_KEY = "another-key"
NOT_ME = "not-me"
FROZEN = "person-frozen"
SEAT = "committee-seat"
STOPPED = "stopped-at-the-door"
SEVERAL_COUNTRIES = "session-in-several-countries"
WRITTEN = "database-written"
OUTPUT = "output-volume"
OPENED = "opened-by-somebody-else"
PUBLISHED = "policy-on-fallen-approval"
DESTROYING = "destruction-ordered"

TITLES: dict[str, str] = {
    NOT_ME: "A person says that somebody acts in their name",
    FROZEN: "A person was frozen",
    SEAT: "A seat of the committee stands empty, or soon will",
    STOPPED: "Somebody tried a door that held",
    SEVERAL_COUNTRIES: "One session is used from several countries",
    NEW_KEY: "Another key was enrolled for somebody who has one",
    SPRAY: "Many names failed from one network, and one sign-in was right",
    ELSEWHERE: "A session was used without the key it is bound to",
    OUTPUT: "One person's runs say more than training needs",
    BULK: "One person read more weights than the work needs",
    OPENED: "What was opened in a session that was somebody else's is closed again",
    DESTROYING: "A version of a model, or a whole model, will be destroyed",
    PUBLISHED: "A policy text was published on what somebody else gave",
    WRITTEN: "Somebody writes the database against the control plane",
}


settings: tuple[Setting, ...] = (
    Setting(
        "detect.spray_accounts",
        "int",
        0,
        "Distinct failing accounts from one network that make a spray; 0: 5 in a lab of up to 50 people, else 10.",
        maximum=MOST_ACCOUNTS,
    ),
    Setting(
        "detect.spray_window_s",
        "int",
        HOUR // SECOND,
        "Seconds before a successful sign-in in which failures count towards a spray.",
        minimum=60,
    ),
    Setting(
        "detect.bulk_loads",
        "int",
        40,
        "Loads and exports of weights that one person may start in the window; 0 switches this measure off.",
        maximum=MOST_READS,
    ),
    Setting(
        "detect.bulk_bytes",
        "int",
        4 * 1024**4,
        "Bytes of weights that one person may have made readable in the window; 0 switches this measure off.",
    ),
    Setting(
        "detect.output_mutes",
        "int",
        3,
        "Runs of one person that may lose their output in a day, for having said too much, before access is held.",
        minimum=1,
    ),
    Setting(
        "detect.seat_ahead_days",
        "int",
        14,
        "Days before a term of the committee ends at which an alert tells of it.",
        minimum=1,
    ),
    Setting("detect.bulk_window_s", "int", HOUR // SECOND, "Seconds over which bulk reads are counted.", minimum=60),
)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in attempt. `network` and `account` are pseudonyms; `session` is set when it succeeded, `level` is how
    many factors it came with, and `strange` whether its person had not used that device before."""

    index: int
    at: Millis
    network: str
    account: str
    succeeded: bool
    session: str = ""
    principal: str = ""
    level: int = 0
    strange: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A second factor that was asked for after a right first one, amid a spray from this network."""

    index: int
    at: Millis
    network: str
    principal: str


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One read of weights by a person or a run of theirs: `loads` started and `bytes` made readable by it."""

    index: int
    at: Millis
    person: str
    loads: int
    bytes: int


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule concluded. `key` names the incident: the same facts always give the same key."""

    rule: str
    key: str
    severity: Severity
    principal: str
    session: str
    evidence: tuple[int, ...]
    text: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An incident on record: the rule, the log indexes it rests on, what was done, and who has seen it."""

    id: str
    rule: str
    title: str
    severity: Severity
    principal: str
    session: str
    evidence: tuple[int, ...]
    text: str
    at: Millis
    response: tuple[str, ...]
    acknowledged_by: str | None
    acknowledged_at: Millis | None
    note: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The thresholds in force, read once for each pass."""

    spray_accounts: int
    spray_window: Millis
    bulk_loads: int
    bulk_bytes: int
    bulk_window: Millis
