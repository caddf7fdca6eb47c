"""Two approvers at the same instant, with real connections and threads, on both databases: one grant each, none stuck.

Naive code loses 145 of 150 such pairs. `make soak` sets WEIGHTHOUSE_ROUNDS=10000.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.access.support import REASON, Lab
from weighthouse.access import api
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin, read, retry

ROUNDS = int(os.environ.get("WEIGHTHOUSE_ROUNDS", "100"))
MANY = 40  # people who ask; the clock moves on between rounds, so that their grants end
pytestmark = [pytest.mark.timeout(max(300, ROUNDS)), *([pytest.mark.soak] if ROUNDS > 100 else [])]

PEOPLE = "".join(
    f"  p{n}:\n    name: P{n}\n    accounts: [{{issuer: dev, subject: p{n}}}]\n    teams: [training]\n"
    for n in range(MANY)
)


def crowded(text: str) -> str:
    """The example lab with many researchers, two of each approver, and no cap on renewals that matters."""
    more = "".join(
        f"  {name}:\n    name: {name}\n    accounts: [{{issuer: dev, subject: {name}}}]\n    teams: [{team}]\n"
        for name, team in (("ben2", "weights-stewards"), ("chi2", "security"))
    )
    return text.replace("people:\n", "people:\n" + PEOPLE + more, 1).replace("chain: 2d", "chain: 180d")


@pytest.fixture
def crowd(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    from tests.access.support import LAB

    lab = Lab(any_database, clock, tmp_path, crowded(LAB.read_text("utf-8")))
    for person in ("ben", "chi", "ben2", "chi2"):
        lab.device(person)
    return lab


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Run the acts at the same instant, each in a thread; return their codes, empty for success."""
    gate = threading.Barrier(len(acts))
    codes = [""] * len(acts)

    def run(number: int, act: Callable[[], object]) -> None:
        gate.wait()
        try:
            act()
        except WeighthouseError as error:
            codes[number] = error.code

    threads = [threading.Thread(target=run, args=(n, act)) for n, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return codes


def voting(lab: Lab, person: str, request: api.Request, verdict: str = "approve") -> Callable[[], object]:
    """A prepared vote: card read and signed before the gate opens."""
    card = lab.card(person, request.id)
    signature = lab.signed(person, card, verdict)
    caller = lab.caller(person)

    def cast() -> object:
        return retry(
            lab.system,
            caller,
            lambda unit: api.vote(unit, caller, request.id, verdict, digest=card.digest, signature=signature),  # type: ignore[arg-type]
        )

    return cast


def outcome(lab: Lab, request: api.Request) -> tuple[str, int]:
    """(state of the request, number of its grants)."""
    count = lab.sql("SELECT count(*) AS n FROM access_grant WHERE request = :request", request=request.id)[0]["n"]
    return lab.sql("SELECT state FROM access_request WHERE id = :id", id=request.id)[0]["state"], count


def test_show_5_two_approvers_at_the_same_instant_make_exactly_one_grant(crowd: Lab) -> None:
    lab = crowd
    stuck = doubled = 0
    for round_ in range(ROUNDS):
        person = f"p{round_ % MANY}"
        request = lab.ask(person, reason=f"{REASON} Round {round_}.", duration=60_000)
        codes = at_once(voting(lab, "ben", request), voting(lab, "chi", request))
        state, grants = outcome(lab, request)
        stuck += state != "approved"
        doubled += grants != 1
        assert codes == ["", ""], f"round {round_}: {codes}"
        lab.clock.advance(HOUR)
    assert (stuck, doubled) == (0, 0)


def test_access_case_35_four_approvers_for_two_slots_make_one_grant_and_losers_a_conflict(crowd: Lab) -> None:
    lab = crowd
    for round_ in range(max(10, ROUNDS // 10)):
        request = lab.ask(f"p{round_ % MANY}", reason=f"{REASON} Round {round_}.", duration=60_000)
        voters = ("ben", "chi", "ben2", "chi2")
        codes = at_once(*(voting(lab, voter, request) for voter in voters))
        assert outcome(lab, request) == ("approved", 1)
        assert set(codes) <= {"", "access.request_closed"} and codes.count("") >= 2
        lab.clock.advance(HOUR)


def test_access_case_5_one_person_twice_at_once_is_one_vote(crowd: Lab) -> None:
    lab = crowd
    for round_ in range(max(10, ROUNDS // 10)):
        request = lab.ask(f"p{round_ % MANY}", reason=f"{REASON} Round {round_}.")
        codes = at_once(voting(lab, "ben", request), voting(lab, "ben", request))
        assert sorted(codes) == ["", "access.already_voted"]
        assert outcome(lab, request) == ("pending", 0)
        with begin(lab.system) as unit:
            api.withdraw(unit, lab.caller(request.person), request.id)


def test_access_case_36_approve_beside_deny_beside_withdraw_has_one_outcome(crowd: Lab) -> None:
    lab = crowd
    for round_ in range(max(10, ROUNDS // 10)):
        person = f"p{round_ % MANY}"
        request = lab.ask(person, reason=f"{REASON} Round {round_}.", duration=60_000)
        voting(lab, "ben", request)()
        caller = lab.caller(person)

        def withdraw(caller: object = caller, request: api.Request = request) -> object:
            return retry(lab.system, caller, lambda unit: api.withdraw(unit, caller, request.id))  # type: ignore[arg-type]

        codes = at_once(voting(lab, "chi", request), voting(lab, "chi2", request, "deny"), withdraw)
        state, grants = outcome(lab, request)
        assert codes.count("") == 1, codes
        assert (state, grants) in (("approved", 1), ("denied", 0), ("withdrawn", 0))
        lab.clock.advance(HOUR)


def test_revoke_beside_give_back_ends_once(crowd: Lab) -> None:
    lab = crowd
    for round_ in range(max(5, ROUNDS // 20)):
        person = f"p{round_ % MANY}"
        request = lab.ask(person, reason=f"{REASON} Round {round_}.")
        voting(lab, "ben", request)()
        voting(lab, "chi", request)()
        grant = next(one.id for one in lab.grants(person) if one.request.id == request.id)
        me, security = lab.caller(person), lab.caller("chi")
        codes = at_once(
            lambda me=me, grant=grant: retry(lab.system, me, lambda unit: api.give_back(unit, me, grant)),  # type: ignore[misc]
            lambda security=security, grant=grant: retry(
                lab.system, security, lambda unit: api.revoke(unit, security, grant, "stolen")
            ),  # type: ignore[misc]
        )
        assert sorted(codes) == ["", "access.grant_ended"]
    ended = (
        [entry.data["grant"] for entry in lab.log("access.GrantEnded")]
        if lab.system.database.dialect == "sqlite"
        else []
    )
    assert len(ended) == len(set(ended))
    with read(lab.system) as unit:
        assert api.grants_of(unit, lab.caller("p0"))[0].state == "ended"
