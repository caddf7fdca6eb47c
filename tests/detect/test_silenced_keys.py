"""Nobody silences the committee by ending its keys, or by a stop of who let them count."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.detect.conftest import Watched
from tests.identity.test_disowned_keys import confirm
from tests.identity.test_new_keys import enrolled, grown, signs
from weighthouse.core.clock import DAY, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin
from weighthouse.detect import api as detect
from weighthouse_sdk.client import Client

SILENCED = "access.committee_silenced"
MEMBERS = ("gil", "hana", "ivo")


@pytest.fixture
def strict(database: Database, clock: ManualClock, tmp_path: Path) -> Watched:
    return Watched(database, clock, tmp_path, **{"identity.new_keys": "confirm"})


def ends(lab: Watched, who: str, device: str) -> str:
    chi = lab.person("chi")
    try:
        with begin(lab.system, chi) as unit:
            detect.end_key(unit, chi, who, device, "a precaution")
    except WeighthouseError as error:
        return error.code
    return ""


def freezes(lab: Watched, who: str) -> str:
    chi = lab.person("chi")
    try:
        with begin(lab.system, chi) as unit:
            detect.freeze(unit, chi, who, "a precaution")
    except WeighthouseError as error:
        return error.code
    return ""


def test_security_ends_the_keys_of_members_only_while_the_rest_can_decide(strict: Watched) -> None:
    keys = {who: grown(strict, who) for who in MEMBERS}
    spare = enrolled(strict, "hana")
    assert ends(strict, "gil", keys["gil"][1]) == ""
    assert [ends(strict, who, keys[who][1]) for who in ("hana", "ivo")] == [SILENCED, SILENCED]
    assert [freezes(strict, who) for who in ("hana", "ivo")] == [SILENCED, SILENCED]
    assert ends(strict, "hana", spare[1]) == "", "one that does not count yet silences nobody"
    assert [signs(strict, who, keys[who][1], keys[who][0].key) for who in ("hana", "ivo")] == ["", ""]
    assert [one["code"] for one in strict.facts("access.Denied")] == [SILENCED] * 4
    grown(strict, "gil")
    assert ends(strict, "hana", keys["hana"][1]) == "", "Gil has a voice again"


def test_one_of_two_keys_that_count_may_be_ended(strict: Watched) -> None:
    for who in MEMBERS:
        grown(strict, who)
    assert [ends(strict, who, grown(strict, who)[1]) for who in MEMBERS] == ["", "", ""]


def vouched(lab: Watched) -> dict[str, tuple[Client, str]]:
    """Chi has confirmed the first key of each member."""
    chi = grown(lab, "chi")
    keys = {who: enrolled(lab, who) for who in MEMBERS}
    for who, new in keys.items():
        confirm(lab, chi, who, new, lab.sign_in("chi"))
    return keys


def test_who_let_the_committees_keys_count_lately_is_not_frozen_over_its_head(strict: Watched) -> None:
    keys = vouched(strict)
    assert freezes(strict, "chi") == SILENCED
    assert [signs(strict, who, key, client.key) for who, (client, key) in keys.items()] == ["", "", ""]
    strict.clock.advance(15 * DAY)
    assert freezes(strict, "chi") == ""
    assert [signs(strict, who, key, client.key) for who, (client, key) in keys.items()] == ["", "", ""]


def test_who_let_one_members_key_count_is_frozen(strict: Watched) -> None:
    chi, gil = grown(strict, "chi"), enrolled(strict, "gil")
    for who in ("hana", "ivo"):
        grown(strict, who)
    confirm(strict, chi, "gil", gil, strict.sign_in("chi"))
    assert freezes(strict, "chi") == ""
    assert signs(strict, "gil", gil[1], gil[0].key) == "identity.key_young"
