"""What was stopped is told, once, and nobody is locked out by it (findings I3, I6, I7)."""

from __future__ import annotations

import pytest

from tests.detect.conftest import Watched
from weighthouse.access.events import Denied
from weighthouse.core.events import Event
from weighthouse.detect.model import SEVERAL_COUNTRIES, STOPPED
from weighthouse.detect.rules import elsewhere, roaming, stopped
from weighthouse.identity.events import (
    CredentialRefused,
    KeyNotConfirmed,
    OpeningRefused,
    PersonFrozen,
    SessionMoved,
    SignInDenied,
    StepUpDemanded,
)

ALERT, RESPONSE = "detect.AlertRaised", "detect.ResponseTaken"


def denied(*reasons: str) -> Event:
    return SignInDenied(principal="ben", reasons=reasons, origin="o", account="", address="", user_agent="")


def refused(code: str) -> Event:
    return CredentialRefused(subject_id="ses_1", principal="ben", code=code, origin="o", address="")


def opened(code: str) -> Event:
    return OpeningRefused(principal="ben", act="person.thaw", about="eve", code=code)


def no(person: str = "ben") -> Event:
    return Denied(principal=person, kind="person", action="weights.load", resource="model/tern", code="access.no_grant",
                  rule="", grant="", policy_digest="", context={})  # fmt: skip


def asked() -> Event:
    return StepUpDemanded(principal="ben", reasons=("new_device",), origin="o")


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        ([denied("impossible_travel")], "high"),
        ([denied("new_country_for_lab")], "medium"),
        ([denied("frozen")], "medium"),
        ([opened("identity.opening_unsigned")], "medium"),
        ([opened("identity.key_young")], "high"),
        ([KeyNotConfirmed(device="dev_1", principal="ada", by="ben", code="identity.bad_signature")], "high"),
        ([refused("identity.proof_replayed")], "high"),
        ([refused("identity.proof_nonce")], "medium"),
        ([asked()] * stopped.FATIGUE_PROMPTS, "medium"),
        ([no()] * stopped.REFUSALS, "medium"),
    ],
    ids=[
        "travel",
        "country",
        "frozen",
        "unsigned",
        "young",
        "unconfirmed",
        "replay",
        "minted",
        "fatigue",
        "refusals",
    ],
)
def test_i6_what_was_stopped_is_told_once_a_day_and_nothing_is_ended(
    watched: Watched, facts: list[Event], severity: str
) -> None:
    watched.sign_in("ben")
    watched.follow()
    before = len(watched.facts(ALERT))
    watched.write(*facts, *facts)
    watched.follow()
    (alert,) = watched.facts(ALERT)[before:]
    assert (alert["rule"], alert["severity"], alert["principal"]) == (STOPPED, severity, "ben")
    assert watched.facts(RESPONSE)[-1]["actions"] == []
    assert watched.alive("ben") == 1


def test_each_freeze_by_a_person_is_told_loudly_and_one_by_the_server_is_not(watched: Watched) -> None:
    """Whoever runs the identity provider can freeze as security: it only stops, so it is allowed, and seen."""
    watched.write(*(PersonFrozen(principal=who, reason="", by=by) for who, by in [("eve", "chi"), ("ben", "system")]))
    watched.write(PersonFrozen(principal="eve", reason="", by="dee"))
    watched.follow()
    told = [(one["rule"], one["severity"], one["principal"]) for one in watched.facts(ALERT)]
    assert told == [("person-frozen", "high", "eve")] * 2


@pytest.mark.parametrize(
    "facts",
    [
        [denied("unknown")],
        [refused("identity.proof_refused")],
        [asked()] * (stopped.FATIGUE_PROMPTS - 1),
        [*[no()] * (stopped.REFUSALS - 1), no("eve")],
    ],
    ids=["unknown", "refused", "asked", "few"],
)
def test_i6_what_happens_every_day_is_not_told(watched: Watched, facts: list[Event]) -> None:
    watched.write(*facts)
    watched.follow()
    assert watched.facts(ALERT) == []


def test_i6_many_accounts_failing_are_told_though_none_gets_in(watched: Watched) -> None:
    watched.fail(*(f"u{number}" for number in range(9)))
    watched.follow()
    assert watched.facts(ALERT) == []
    watched.fail("u9", "u10")
    watched.follow()
    (alert,) = watched.facts(ALERT)
    assert (alert["rule"], alert["principal"], len(alert["evidence"])) == (STOPPED, "", 10)


def move(**changes: object) -> dict[str, object]:
    return {"session": "ses_1", "principal": "ben", "countries": 2, "returned": False, "since": 0, **changes}


@pytest.mark.parametrize(
    ("changes", "told"),
    [({}, False), ({"returned": True, "since": 1}, True), ({"returned": True, "since": 10**8}, False),
     ({"countries": 3}, True), ({"session": ""}, False)],
)  # fmt: skip
def test_i3_a_session_in_several_countries_is_looked_at(changes: dict[str, object], told: bool) -> None:
    assert (roaming.conclude(1, move(**changes)) is not None) == told


def test_i3_it_is_an_alert_that_ends_nothing(watched: Watched) -> None:
    watched.sign_in("ben")
    watched.write(SessionMoved(session="ses_1", principal="ben", binding="dpop", outcome="abroad", countries=3,
                               returned=False, since=0, origin="o", address=""))  # fmt: skip
    watched.follow()
    assert [one["rule"] for one in watched.facts(ALERT)] == [SEVERAL_COUNTRIES]
    assert watched.alive("ben") == 1


@pytest.mark.parametrize(("changed", "severity"), [("browser mark", "high"), ("key", "high"), ("browser", "medium")])
def test_i7_the_severity_fits_what_was_missing(changed: str, severity: str) -> None:
    assert elsewhere.conclude(1, "ben", "ses_1", changed).severity == severity
