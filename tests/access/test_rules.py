"""The pure rules by themselves: matching, weighing, durations, separations, advice, search and wording."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighthouse.access.model import STILL_OPEN, Hold, Request, Slot, Vote
from weighthouse.access.rules import duration
from weighthouse.access.rules.advisor import Candidate, Thing, advise, search
from weighthouse.access.rules.deciding import Counted, Member, Terms, decide, stands, weigh
from weighthouse.access.rules.matching import fill
from weighthouse.access.rules.separation import conflict
from weighthouse.core.clock import DAY, HOUR, MINUTE
from weighthouse.core.ids import HoldId, RequestId

STEWARD, SECURITY = Slot("steward", "stewards", 1), Slot("security", "security", 1)
REQUEST = Request(
    id=RequestId("req_1"), entitlement="tern-train", resource="model/tern", person="ada", duration=HOUR, reason="why",
    operation={}, actions=("weights.load",), slots=(STEWARD, SECURITY), vote_signature="device", cls="frontier",
    environment="frontier", policy_digest="sha256:p", created=0, lapses=DAY, digest="sha256:r", account="acc_ada",
)  # fmt: skip
TERMS = Terms(
    slots=(STEWARD, SECURITY), actions=frozenset({"weights.load"}), cap=8 * HOUR, chain=DAY, pending=DAY,
    vote_signature="device", fresh=HOUR, cls="frontier", environment="frontier", reaches=True,
    eligible_teams=frozenset({"training"}), operation=(), standing=False, broad=False,
)  # fmt: skip
PEOPLE = {
    "ada": Member(frozenset({"training", "stewards"}), True, frozenset({"d"}), frozenset({"acc_ada"})),
    "ben": Member(frozenset({"stewards"}), True, frozenset({"d"}), frozenset({"acc_ben"})),
    "chi": Member(frozenset({"security"}), True, frozenset({"d"}), frozenset({"acc_chi"})),
    "fay": Member(frozenset({"audit"}), True, frozenset({"d"}), frozenset({"acc_fay"})),
}


def cast(voter: str, verdict: str = "approve", problem: str = "", **changed: object) -> Counted:
    vote = Vote(
        request=REQUEST.id, request_digest=REQUEST.digest, policy_digest="sha256:p", verdict=verdict,  # type: ignore[arg-type]
        voter=voter, kind="device", device="d", at=1, signature="s", account=f"acc_{voter}",
    )  # fmt: skip
    return Counted(msgspec.structs.replace(vote, **changed), problem)


BOTH = (cast("ben"), cast("chi"))


def test_the_quorum_needs_both_and_any_order_will_do() -> None:
    for votes in permutations(BOTH):
        assert decide(REQUEST, votes, PEOPLE, TERMS, 1).state == "approved"
    for one in BOTH:
        assert decide(REQUEST, [one], PEOPLE, TERMS, 1).state == "pending"
    assert decide(REQUEST, [], PEOPLE, TERMS, 1).state == "pending"


@pytest.mark.parametrize(
    ("vote", "code"),
    [
        (cast("ada"), "access.self_approval"),
        (cast("eve"), "access.voter_inactive"),
        (cast("fay"), "access.not_an_approver"),
        (cast("ben", problem="access.vote_signature"), "access.vote_signature"),
        (cast("ben", request_digest="sha256:x"), "access.vote_for_another_request"),
        (cast("ben", request="req_2"), "access.vote_for_another_request"),
        (cast("ben", device="other"), "access.voter_device_ended"),
        (cast("ben", kind="attested"), "access.attested_not_enough"),
        (cast("ben", account="acc_chi"), "access.voter_account_moved"),
        (cast("ben", account=""), "access.voter_account_moved"),
    ],
)
def test_what_must_not_count_does_not(vote: Counted, code: str) -> None:
    quorum = weigh(REQUEST, [vote, cast("chi")], PEOPLE, TERMS)
    assert quorum.dropped == ((vote.vote.voter, code),) and quorum.missing == (STEWARD,)
    assert stands(REQUEST, [vote, cast("chi")], PEOPLE, TERMS) == code


def test_one_account_under_two_names_fills_one_seat() -> None:
    both = {name: msgspec.structs.replace(one, accounts=frozenset({"acc_x"})) for name, one in PEOPLE.items()}
    votes = [cast("ben", account="acc_x"), cast("chi", account="acc_x")]
    quorum = weigh(msgspec.structs.replace(REQUEST, account="acc_x"), votes, both, TERMS)
    assert quorum.dropped == (("chi", "access.account_voted"),) and quorum.missing == (SECURITY,)


def test_what_is_older_than_accounts_counts_as_the_adopted_one() -> None:
    people = {name: msgspec.structs.replace(one, adopted=f"acc_{name}") for name, one in PEOPLE.items()}
    old = [cast("ben", account=""), cast("chi", account="")]
    asked = msgspec.structs.replace(REQUEST, account="")
    assert stands(asked, old, people, TERMS) == "" and stands(asked, old, PEOPLE, TERMS) == "access.account_moved"
    moved = {**people, "ben": msgspec.structs.replace(people["ben"], accounts=frozenset({"acc_new"}))}
    assert stands(asked, old, moved, TERMS) == "access.voter_account_moved"


@pytest.mark.parametrize("ada", [None, Member(frozenset({"training"}), False, frozenset())])
def test_nobody_is_granted_what_they_asked_for_before_they_left(ada: Member | None) -> None:
    gone = {**PEOPLE, "ada": ada} if ada else {name: one for name, one in PEOPLE.items() if name != "ada"}
    outcome = decide(REQUEST, BOTH, gone, TERMS, 1)
    assert (outcome.state, outcome.why) == ("invalidated", "access.person_inactive")
    assert stands(REQUEST, BOTH, gone, TERMS) == "access.person_inactive"


def test_what_stands_is_judged_by_todays_policy_too() -> None:
    assert stands(REQUEST, BOTH, PEOPLE, TERMS) == ""
    assert stands(REQUEST, BOTH, PEOPLE, None) == "access.no_such_entitlement"
    narrowed = msgspec.structs.replace(TERMS, reaches=False)
    assert stands(REQUEST, BOTH, PEOPLE, narrowed) == "access.policy_narrowed"


def test_a_denial_is_final_whoever_else_approves_and_whatever_becomes_of_the_denier() -> None:
    votes = [*BOTH, cast("kim", "deny")]
    assert decide(REQUEST, votes, PEOPLE, TERMS, 1).state == "denied"
    assert (
        decide(REQUEST, [*BOTH, cast("kim", "deny", "access.vote_signature")], PEOPLE, TERMS, 1).state == "approved"
    )


@pytest.mark.parametrize(
    ("terms", "state", "why"),
    [
        (None, "invalidated", "access.no_such_entitlement"),
        ({"standing": True}, "invalidated", "access.policy_narrowed"),
        ({"reaches": False}, "invalidated", "access.policy_narrowed"),
        ({"actions": frozenset({"run.submit"})}, "invalidated", "access.policy_narrowed"),
        ({"environment": "research"}, "invalidated", "access.environment_mismatch"),
        ({"eligible_teams": frozenset({"platform"})}, "invalidated", "access.not_eligible"),
        ({"operation": ("version",)}, "invalidated", "access.operation_missing"),
        ({"slots": (STEWARD, SECURITY, Slot("more", "audit", 1))}, "pending", ""),
        ({"slots": ()}, "approved", ""),
    ],
)
def test_todays_policy_counts_beside_the_requests_own(terms: dict[str, object] | None, state: str, why: str) -> None:
    today = None if terms is None else msgspec.structs.replace(TERMS, **terms)
    outcome = decide(REQUEST, BOTH, PEOPLE, today, 1)
    assert (outcome.state, outcome.why) == (state, why)
    one_less = decide(REQUEST, [cast("ben")], PEOPLE, today, 1)
    assert one_less.state != "approved", "policy without approvals lowers no request's own bar"


def test_time_to_vote_ends_at_the_moment_it_ends() -> None:
    assert decide(REQUEST, BOTH, PEOPLE, TERMS, DAY - 1).state == "approved"
    assert decide(REQUEST, BOTH, PEOPLE, TERMS, DAY).state == "lapsed"


def test_a_settled_request_stays_what_it_is() -> None:
    for state in ("approved", "denied", "withdrawn", "lapsed", "invalidated"):
        settled = msgspec.structs.replace(REQUEST, state=state)
        assert decide(settled, BOTH, PEOPLE, TERMS, 1).state == state


@settings(max_examples=300, deadline=None, database=None)
@given(
    st.lists(st.frozensets(st.sampled_from("xyz")), max_size=6),
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 3)), min_size=1, max_size=3),
)
def test_matching_finds_what_trying_every_order_finds(
    teams: list[frozenset[str]], wanted: list[tuple[str, int]]
) -> None:
    people = {f"p{n}": has for n, has in enumerate(teams)}
    slots = [Slot(f"s{n}", team, count) for n, (team, count) in enumerate(wanted)]
    found = fill(slots, people)
    seats = [slot.team for slot in slots for _ in range(slot.count)]
    best = 0
    for order in permutations(people.values(), min(len(seats), len(people))):
        for start in permutations(range(len(seats)), len(order)) if len(seats) <= 3 else [range(len(order))]:
            best = max(best, sum(seats[seat] in has for seat, has in zip(start, order, strict=True)))
    assert len(found.filled) >= best and found.complete is (len(found.filled) == len(seats))
    assert len({person for _, person in found.filled}) == len(found.filled), "each person once"
    by_name = {slot.name: slot.team for slot in slots}
    assert all(by_name[slot] in people[person] for slot, person in found.filled)


def test_durations_chains_and_ends() -> None:
    assert duration.within(MINUTE, HOUR) and duration.within(HOUR, HOUR)
    assert not any(duration.within(value, HOUR) for value in (MINUTE - 1, HOUR + 1, True, 1.5, "60000", None))
    now = 100 * HOUR
    assert duration.chain_start([], now) == now
    assert duration.chain_start([(now - HOUR, now)], now) == now - HOUR
    assert duration.chain_start([(now - HOUR, now - 15 * MINUTE)], now) == now - HOUR
    assert duration.chain_start([(now - HOUR, now - 15 * MINUTE - 1)], now) == now
    assert duration.chain_start([(now - 2 * HOUR, now - HOUR)], now) == now
    joined = [(now - 3 * HOUR, now - 2 * HOUR), (now - 2 * HOUR + 15 * MINUTE, now - MINUTE)]
    assert duration.chain_start(joined, now) == now - 3 * HOUR
    assert duration.chain_start([(now + HOUR, now + 2 * HOUR)], now) == now
    assert duration.end_of(0, HOUR, MINUTE) == MINUTE and duration.end_of(0, MINUTE, HOUR) == MINUTE


def test_separations() -> None:
    apart = [("no both", frozenset({"train", "export"}), "theft")]
    assert conflict("export", {"train", "other"}, apart) == ("no both", "train", "theft")
    assert conflict("export", {"export", "other"}, apart) is None
    assert conflict("other", {"train", "export"}, apart) is None


def test_a_hold_stops_what_it_names_and_leaves_what_only_closes() -> None:
    hold = Hold(
        id=HoldId("hld_1"), subject="model/tern", kind="security", reason="x", actions=(), placed_by="chi", at=1
    )
    assert hold.stops("weights.load", "model/tern", "ada") and not hold.stops("weights.load", "model/wren", "ada")
    assert not any(hold.stops(action, "model/tern", "ada") for action in STILL_OPEN)
    person = msgspec.structs.replace(hold, subject="chi")
    assert person.stops("session.end", "lab", "chi") and not person.stops("session.end", "lab", "ada")
    one = msgspec.structs.replace(hold, subject="lab", actions=("weights.export",))
    assert one.stops("weights.export", "model/wren", "ada") and not one.stops("weights.load", "model/wren", "ada")
    assert not msgspec.structs.replace(hold, lifted=2).stops("weights.load", "model/tern", "ada")


def candidate(id_: str, actions: str, reached: str, **more: object) -> Candidate:
    fields: dict[str, object] = {
        "name": id_, "description": "", "slots": (), "max": HOUR, "default": HOUR, "broad": False, "operation": (), **more,
    }  # fmt: skip
    return Candidate(id=id_, actions=frozenset(actions.split()), reached=frozenset(reached.split()), **fields)  # type: ignore[arg-type]


def test_the_advisor_ranks_narrowest_first_and_counts_the_excess() -> None:
    every = [
        candidate("admin", "weights.load run.stop", "model/tern model/wren", broad=True),
        candidate("train", "weights.load weights.save run.submit", "model/tern"),
        candidate("load", "weights.load", "model/tern"),
        candidate("both", "weights.load", "model/tern model/wren"),
        candidate("quick", "weights.load", "model/tern", max=MINUTE),
        candidate("other", "weights.load", "model/wren"),
    ]
    for order in permutations(every, len(every)):
        found = advise(order, "model/tern", "weights.load")
        assert [(one.entitlement, one.excess) for one in found] == [
            ("quick", 0),
            ("load", 0),
            ("both", 1),
            ("train", 2),
            ("admin", 3),
        ]
        break
    assert [one.entitlement for one in advise(every[::-1], "model/tern", "weights.load")] == [
        "quick",
        "load",
        "both",
        "train",
        "admin",
    ]
    assert [one.entitlement for one in advise(every, "model/tern", "run.stop")] == ["admin"]
    assert advise(every, "model/none", None) == []


def test_the_advisor_weighs_by_what_could_be_done_with_it_and_not_by_number() -> None:
    """One action that takes the weights out is not narrower than three that stay inside."""
    every = [
        candidate("export", "weights.export", "model/tern"),
        candidate("train", "weights.load weights.save run.submit", "model/tern"),
        candidate("load", "weights.load", "model/tern"),
        candidate("submit", "run.submit weights.load", "model/tern"),
        candidate("save", "weights.save", "model/tern"),
        candidate("read-all", "weights.load catalogue.read", "model/tern model/wren model/owl"),
        candidate("end", "weights.destroy", "model/tern"),
        candidate("publish", "policy.publish weights.load", "model/tern"),
        candidate("out", "egress.connect weights.load", "model/tern"),
    ]
    for order in (every, every[::-1]):
        ranked = [one.entitlement for one in advise(order, "model/tern", None)]
        assert ranked == ["load", "read-all", "submit", "save", "train", "end", "publish", "export", "out"]
    assert [one.entitlement for one in advise(every, "model/tern", "weights.load")][-1] == "out"
    assert "plaintext" in advise(every, "model/tern", None)[-1].why
    assert advise(every, "model/tern", "weights.export")[0].danger == (0, 0, 0, 0, 0)


def test_search_wants_every_word_and_ranks_names_before_descriptions() -> None:
    def thing(id_: str, name: str, tags: str = "", description: str = "") -> Thing:
        return Thing(
            id=id_,
            name=name,
            kind="model",
            description=description,
            cls="c",
            environment="e",
            tags=tuple(tags.split()),
        )

    things = [
        thing("model/tern", "Tern", "language", "frontier model"),
        thing("model/wren", "Wren", "tern", "small"),
        thing("model/owl", "Owl", "", "unlike tern"),
        thing("dataset/x", "X"),
    ]
    assert [found.resource for found in search(things, "tern", 10)] == ["model/tern", "model/wren", "model/owl"]
    assert [found.resource for found in search(things, "ter", 10)] == ["model/tern", "model/wren", "model/owl"]
    assert [found.resource for found in search(things, "tern small", 10)] == ["model/wren"]
    assert search(things, "TERN", 1)[0].resource == "model/tern"
    assert len(search(things, "", 10)) == 4 and search(things, "absent", 10) == []
