"""Attack: write detection's rows beforehand, so that what comes counts as told or handled. A row is never believed.

What was told is known from the lines of the log, and signals are read there.
"""

from __future__ import annotations

import msgspec
import pytest

from tests.detect.conftest import Watched
from tests.detect.test_detections_act import ALERT, FIVE, load, settle_first_device, used_elsewhere
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY
from weighthouse.core.database import metadata
from weighthouse.core.errors import Conflict, NotFound, Unavailable
from weighthouse.core.work import begin
from weighthouse.detect import api, jobs
from weighthouse.detect.api import signals, told
from weighthouse.detect.events import AlertRaised
from weighthouse.detect.rules import elsewhere

REFUSED = "detect.AlertRowRefused"
PLANT = (
    "INSERT INTO detect_alert (id, incident, rule, principal, last_evidence, at, alert) "
    "VALUES (:id, :incident, :rule, :principal, :last, 1, :alert)"
)
MADE_UP = "alr_" + "0" * 26


def plant(watched: Watched, incident: str, *, last: int = 0, id_: str = MADE_UP, principal: str = "eve") -> None:
    rule = incident.partition(":")[0]
    body = {
        "id": id_, "rule": rule, "title": "All is well", "severity": "low", "principal": principal, "session": "",
        "evidence": [], "text": "All is well", "at": 1, "response": [], "acknowledged_by": "chi",
        "acknowledged_at": 1, "note": "",
    }  # fmt: skip
    alert = msgspec.json.encode(body).decode()
    watched.sql(PLANT, id=id_, incident=incident, rule=rule, principal=principal, last=last, alert=alert)


def follow(watched: Watched) -> None:
    """Until nothing is awaited: on PostgreSQL a row is met twice before it is judged."""
    for _ in range(10):
        try:
            if not watched.follow():
                return
        except Unavailable as refusal:
            assert refusal.code == "detect.line_awaited"
        watched.clock.advance(1)
    raise AssertionError("a detection waits for ever")


def test_a_row_inserted_beforehand_silences_no_alert_and_is_told_once(any_watched: Watched) -> None:
    watched = any_watched
    plant(watched, "session-used-elsewhere:ses_of_chi", principal="chi")
    watched.write(used_elsewhere("chi", "ses_of_chi"))
    follow(watched)
    raised = [one["rule"] for one in watched.facts(ALERT)]
    assert sorted(raised) == ["database-written", "session-used-elsewhere"]
    assert [one["row"] for one in watched.facts(REFUSED)] == [MADE_UP]
    watched.write(used_elsewhere("chi", "ses_of_chi"))
    follow(watched)
    assert len(watched.facts(ALERT)) == 2 and len(watched.facts(REFUSED)) == 1


def test_the_alert_of_a_planted_row_can_be_silenced_no_more_than_any(watched: Watched) -> None:
    plant(watched, f"database-written:{REFUSED}:{watched.clock.now() // DAY}")
    plant(watched, "session-used-elsewhere:ses_of_chi", id_="alr_" + "1" * 26)
    watched.write(used_elsewhere("chi", "ses_of_chi"))
    follow(watched)
    assert sorted(one["rule"] for one in watched.facts(ALERT)) == ["database-written", "session-used-elsewhere"]
    assert len(watched.facts(REFUSED)) == 2


def test_a_row_renamed_to_the_incident_that_comes_silences_nothing(any_watched: Watched) -> None:
    watched = any_watched
    watched.write(used_elsewhere("chi", "ses_one"))
    follow(watched)
    watched.sql("UPDATE detect_alert SET incident = 'session-used-elsewhere:ses_two'")
    watched.write(used_elsewhere("chi", "ses_two"))
    follow(watched)
    told = [one["session"] for one in watched.facts(ALERT) if one["rule"] == "session-used-elsewhere"]
    assert sorted(told) == ["ses_one", "ses_two"] and len(watched.facts(REFUSED)) == 1


def test_a_row_of_reads_already_answered_answers_no_bulk_reads(any_watched: Watched) -> None:
    watched = any_watched
    plant(watched, "bulk-reads:eve:0", last=1_000_000)
    watched.write(*(load(i) for i in range(41)))
    follow(watched)
    assert [one["rule"] for one in watched.facts(ALERT) if one["principal"] == "eve"] == ["bulk-reads"]


def test_a_spray_is_what_the_log_tells_and_no_table_holds_a_signal(any_watched: Watched) -> None:
    watched = any_watched
    client = settle_first_device(watched, "eve")
    assert [name for name in metadata.tables if name.startswith("detect")] == ["detect_alert"]
    watched.fail(*FIVE)
    watched.sign_in("eve", client)
    follow(watched)
    assert [one["rule"] for one in watched.facts(ALERT)] == ["spray-then-success"]


def test_a_restarted_server_knows_from_the_log_what_was_told_and_what_was_read(any_watched: Watched) -> None:
    watched = any_watched
    watched.write(*(load(i) for i in range(41)))
    follow(watched)
    watched.write(*(load(i) for i in range(40)))
    follow(watched)
    watched.sql("DELETE FROM detect_alert")
    forget(watched)
    watched.write(load(99))
    follow(watched)
    assert len(watched.facts(ALERT)) == 2 and watched.facts(REFUSED) == []


def test_a_restarted_server_raises_no_alert_twice_whatever_became_of_its_row(any_watched: Watched) -> None:
    watched = any_watched
    watched.write(used_elsewhere("chi", "ses_one"))
    follow(watched)
    watched.sql("DELETE FROM detect_alert")
    forget(watched)
    watched.write(used_elsewhere("chi", "ses_one"))
    follow(watched)
    assert len(watched.facts(ALERT)) == 1 and watched.facts(REFUSED) == []


def forget(watched: Watched) -> None:
    """What a process knows is gone with it."""
    told._told.pop(watched.system, None)
    for one in (signals._attempts, signals._reads):
        one._of.pop(watched.system, None)


def test_alerts_are_shown_as_the_log_tells_them_whatever_their_rows_say(any_watched: Watched) -> None:
    watched = any_watched
    watched.write(used_elsewhere("eve", "ses_one"))
    follow(watched)
    plant(watched, "not-me:9")
    watched.sql(
        'UPDATE detect_alert SET alert = replace(alert, \'"acknowledged_by":null\', \'"acknowledged_by":"chi"\')'
    )
    chi = watched.person("chi")
    with begin(watched.system, chi) as unit:
        (shown,) = api.alerts(unit, chi)
    assert (shown.rule, shown.acknowledged_by, shown.principal) == ("session-used-elsewhere", None, "eve")
    watched.sql("DELETE FROM detect_alert")
    with begin(watched.system, chi) as unit:
        assert api.acknowledge(unit, chi, shown.id, "Seen.").acknowledged_by == "chi"
    watched.settle()
    with pytest.raises(Conflict), begin(watched.system, chi) as unit:
        api.acknowledge(unit, chi, shown.id)
    with pytest.raises(NotFound), begin(watched.system, chi) as unit:
        api.alert(unit, chi, MADE_UP)


def test_pages_of_alerts_follow_one_another_both_ways(watched: Watched) -> None:
    watched.write(*(used_elsewhere("chi", f"ses_{number}") for number in range(5)))
    watched.follow()
    fay = watched.person("fay")
    with begin(watched.system, fay) as unit:
        first = api.alerts_page(unit, fay, limit=2)
        second = api.alerts_page(unit, fay, limit=2, cursor=first.next)
        third = api.alerts_page(unit, fay, limit=2, cursor=second.next)
        back = api.alerts_page(unit, fay, limit=2, cursor=third.previous)
    shown = [one.session for page in (first, second, third) for one in page.items]
    assert shown == [f"ses_{number}" for number in (4, 3, 2, 1, 0)]
    assert back.items == second.items and third.next is None


def test_lines_of_before_incidents_were_named_answer_the_entries_that_they_rest_on(watched: Watched) -> None:
    class Older(AlertRaised, frozen=True, kw_only=True):
        def data(self) -> dict[str, object]:
            return {key: value for key, value in super().data().items() if key != "incident"}

    watched.write(used_elsewhere("chi", "ses_one"))
    found = elsewhere.conclude(0, "chi", "ses_one")
    plant(watched, found.key, principal="chi")
    line = {
        "rule": found.rule,
        "severity": "high",
        "principal": "chi",
        "session": "ses_one",
        "text": "",
        "incident": "",
    }
    watched.write(Older(alert=MADE_UP, evidence=(0,), **line))  # type: ignore[arg-type]
    with begin(watched.system, SYSTEM) as unit:
        assert told.known(unit, found)
        assert not told.known(unit, elsewhere.conclude(5, "chi", "ses_one"))
    assert watched.facts(REFUSED) == []
    assert jobs.follow(watched.system) and len(watched.facts(ALERT)) == 1
