"""A charter that reads well and decides nothing is a fault of its text; who decides is told change by change."""

from __future__ import annotations

from pathlib import Path

import pytest

from weighthouse.core.clock import DAY
from weighthouse.core.errors import Invalid
from weighthouse.policy import api as policy
from weighthouse.policy.rules.quantities import parse_date
from weighthouse.policy.rules.read import read_lab

LAB = (Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml").read_text("utf-8")
GIL = "gil: {kind: director, independent: true, chair: true}"
HANA = "hana: {kind: expert, independent: true}"
IVO = "ivo: {kind: director, independent: false}"
OVER = parse_date("2026-06-01")
assert OVER is not None
ACCOUNT = "    accounts: [{issuer: dev, subject: %s}]\n"


def until(seat: str) -> tuple[str, str]:
    return seat, seat.replace("}", ', until: "2026-06-01"}')


def away(who: str) -> tuple[str, str]:
    return ACCOUNT % who, ACCOUNT % who + "    active: false\n"


def changed(*swaps: tuple[str, str]) -> str:
    text = LAB
    for old, new in swaps:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


FAULTS = {
    "a misspelt quorum": ([("    release: {", "    relese: {")], "unknown_quorum", "relese:", "Did you mean 'release'?"),
    "all terms over": ([until(GIL), until(HANA), until(IVO)], "chair", "gil: {kind", "`until` to come"),
    "too few who sit": ([until(HANA), until(IVO)], "impossible_quorum", "hana: {kind", "Renew `until`"),
    "no independent member sits": (
        [until(HANA), (GIL, GIL.replace("independent: true", "independent: false"))], "impossible_quorum", "hana: {kind",
        "Renew `until`",
    ),
    "the chair has left": ([away("gil")], "chair", "gil: {kind", "active"),
    "the chair only advises": ([(GIL, GIL.replace("director", "adviser"))], "chair", "gil: {kind", "a director or"),
    "no chair": ([(GIL, GIL.replace(", chair: true", ""))], "chair", "committee:", "Mark one seat"),
    "two chairs": ([(HANA, HANA.replace("}", ", chair: true}"))], "chair", "hana: {kind", "Mark one seat"),
    "more independent members than there are": (
        [("hold: {present: 2, approve: 2, independent: 1}", "hold: {present: 2, approve: 2, independent: 3}")],
        "impossible_quorum", "hold: {present", "lower the quorum",
    ),
    "standing export": (
        [("    actions: [evidence.read]\n    resources: [lab]", "    actions: [evidence.read, weights.export]\n    resources: [model/wren]")], "standing_export", "operating:",
        "`operation: [version, destination]`",
    ),
    "a seat that may not vote": (
        [(ACCOUNT % "ivo" + "    teams: [committee]", ACCOUNT % "ivo" + "    teams: []")], "seat_without_vote",
        "ivo: {kind", "a team of the standing",
    ),
    "votes by a grant": (
        [("    eligible: [committee]\n    standing: true", "    eligible: [committee]\n    approval: none\n    duration: {default: 1h, longest: 8h}"),
         ("    actions: [committee.vote, committee.hold, evidence.read]\n    resources: [\"*\"]",
          "    actions: [committee.vote, committee.hold, evidence.read]\n    resources: [lab]")],
        "seat_without_vote", "gil: {kind", "standing",
    ),
    "fewer than lift a hold publish": (
        [("    release: {present: 2, approve: 2", "    release: {present: 3, approve: 3")], "charter_unguarded",
        "policy-change:", "count: 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_charter_names_file_line_and_remedy(fault: str) -> None:
    swaps, code, at, remedy = FAULTS[fault]
    text = changed(*swaps)
    assert OVER is not None
    with pytest.raises(Invalid) as refusal:
        policy.parse(text, "lab.yaml", now=OVER + DAY)
    lines = [number for number, line in enumerate(text.split("\n"), 1) if line.strip().startswith(at)]
    assert refusal.value.code == f"policy.{code}"
    assert refusal.value.message.startswith(tuple(f"lab.yaml:{number}: " for number in lines)), refusal.value.message
    assert remedy in refusal.value.remedy


@pytest.mark.parametrize("fault", FAULTS)
def test_what_an_earlier_release_took_still_opens(fault: str) -> None:
    assert read_lab(changed(*FAULTS[fault][0]), "lab.yaml", kept=True).committee is not None


def test_one_empty_seat_of_three_is_no_fault() -> None:
    assert OVER is not None
    assert policy.parse(changed(until(IVO)), "lab.yaml", now=OVER + DAY).committee is not None
    assert policy.parse(changed(until(HANA), until(IVO)), "lab.yaml", now=OVER - 1).committee is not None


def test_the_last_day_of_a_term_is_part_of_it() -> None:
    assert OVER is not None
    text = changed(until(HANA), until(IVO))
    kept = policy.parse(text, "lab.yaml", now=OVER + DAY - 1).committee
    assert kept is not None
    assert [seat.until for seat in kept.seats if seat.until is not None] == [OVER, OVER]  # what is kept has not moved
    with pytest.raises(Invalid) as refusal:
        policy.parse(text, "lab.yaml", now=OVER + DAY)
    assert refusal.value.code == "policy.impossible_quorum"


DECIDES = {
    "seat gone": [(f"    {IVO}\n", ""), (ACCOUNT % "ivo" + "    teams: [committee]", ACCOUNT % "ivo" + "    teams: []")],
    "seat changed": [(IVO, IVO.replace("director", "expert"))],
    "observer seated": [(IVO, IVO + "\n    fay: {kind: observer, independent: true}")],
    "term": [until(IVO)],
    "chair": [(GIL, GIL.replace(", chair: true", "")), (HANA, HANA.replace("}", ", chair: true}"))],
    "quorum": [("hold: {present: 2, approve: 2, independent: 1}", "hold: {present: 2, approve: 1, independent: 1}")],
    "quorum gone": [("    hold: {present: 2, approve: 2, independent: 1}\n", "")],
    "barred": [("  barred: [dee]\n", "")],
    "independent": [("  min_independent: 1", "  min_independent: 0")],
    "version": [("  version: 1\n  seats", "  version: 2\n  seats")],
    "time to answer": [("  version: 1\n  seats", "  version: 1\n  answer_within: 1h\n  seats")],
    "account": [(ACCOUNT % "hana", ACCOUNT.replace("}]", "}, {issuer: dev, subject: thief}]") % "hana")],
    "name": [("name: Hana (committee, outside expert)", "name: Ivo (committee, director)")],
    "left": [away("hana")],
    "joins the team": [("subject: kim}]\n    teams: [red-team]", "subject: kim}]\n    teams: [red-team, committee]")],
    "through a team": [("  red-team: {name: Red team}", "  red-team: {name: Red team, includes: [committee]}"),
                       ("eligible: [committee]", "eligible: [red-team]")],
    "right": [("actions: [committee.vote, committee.hold, evidence.read]", "actions: [committee.vote, evidence.read]")],
    "right of others": [("    eligible: [committee]\n", "    eligible: [committee, red-team]\n")],
    "approval of the text": [
        ("      security: {team: security, count: 1}\n      committee: {team: committee, count: 2}",
         "      security: {team: audit, count: 1}\n      committee: {team: committee, count: 2}"),
    ],
    "say in an export": [
        ("      committee: {team: committee, count: 1}\n  weights-admin:", "  weights-admin:"),
    ],
    "another way to export": [
        ("separations:\n", "  fast:\n    name: Export faster\n    description: At once.\n    actions: [weights.export]\n"
         "    resources: [model/tern]\n    environment: frontier\n    eligible: [training]\n"
         "    operation: [version, destination]\n    duration: {default: 1h, longest: 2h}\n    approval:\n"
         "      steward: {team: weights-stewards, count: 1}\n      security: {team: security, count: 1}\n\nseparations:\n"),
    ],
    "no time to act": [("    fresh: 1h\n", "    fresh: 1m\n")],
    "class of the lab": [("    class: control\n", "    class: internal\n")],
}  # fmt: skip


@pytest.mark.parametrize("what", DECIDES)
def test_whatever_changes_who_decides_is_named(what: str) -> None:
    before = read_lab(LAB, "lab.yaml")
    after = read_lab(changed(*DECIDES[what]), "lab.yaml", kept=True)
    assert policy.who_decides(before, after)
    lines = policy.difference(before, after)
    assert lines[0].startswith("WIDER: this changes who decides, so it takes a carried motion")
    assert policy.who_decides(before, before) == []


def test_a_lab_that_loses_its_committee_or_gets_its_first_one() -> None:
    with_, without = read_lab(LAB, "lab.yaml"), read_lab(LAB[: LAB.index("\ncommittee:")], "lab.yaml")
    assert policy.who_decides(with_, without) == ["the committee goes"]
    assert policy.who_decides(without, with_) == []


@pytest.mark.parametrize(
    "swap",
    [
        ("name: Ada (researcher)", "name: Ada"),
        ("    fresh: 1h\n", "    fresh: 2h\n"),
        ("subject: eve}]\n    teams: [training]", "subject: eve}]\n    teams: [training, security]"),
        ("    actions: [run.submit, weights.load]", "    actions: [run.submit, weights.load, weights.save]"),
        ("    name: Govern releases", "    name: Govern"),
    ],
)
def test_the_work_of_every_day_takes_no_motion(swap: tuple[str, str]) -> None:
    before = read_lab(LAB, "lab.yaml")
    assert policy.who_decides(before, read_lab(changed(swap), "lab.yaml", kept=True)) == []
