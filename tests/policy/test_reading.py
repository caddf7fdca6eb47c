"""Strict reading: each fault is refused with file:line, what was expected, and the nearest valid name."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighthouse.access.model import Slot
from weighthouse.access.rules.matching import fill
from weighthouse.core.clock import DAY, HOUR, MINUTE
from weighthouse.core.errors import Invalid
from weighthouse.policy import api as policy
from weighthouse.policy.model import Slot as PolicySlot
from weighthouse.policy.rules.check import shortage
from weighthouse.policy.rules.quantities import duration_text, parse_date, parse_duration, parse_size, size_text
from weighthouse.policy.rules.tree import read_tree

LAB = (Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml").read_text("utf-8")


def fault(text: str) -> Invalid:
    with pytest.raises(Invalid) as error:
        policy.parse(text, "lab.yaml")
    assert re.match(r"lab\.yaml(:\d+)?: ", error.value.message), error.value.message
    assert error.value.remedy
    return error.value


def test_the_example_lab_reads_whole() -> None:
    lab = policy.parse(LAB, "lab.yaml")
    assert lab.people["ada"].teams == {"training"} and lab.entitlements["tern-train"].max_duration == 8 * HOUR
    assert lab.entitlements["catalogue"].eligible_teams == set(lab.teams)
    assert lab.resources["model/tern"].cls == "frontier" and lab.committee is not None
    assert lab.egress_profiles["mirror"].entries[0].budget_bytes == 64 * 1024


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: no", "ambiguous_value"),
        ("a: Yes", "ambiguous_value"),
        ("a: ON", "ambiguous_value"),
        ("a: True", "ambiguous_value"),
        ("a: 1:30", "ambiguous_value"),
        ("a: 190:20:30", "ambiguous_value"),
        ("a: 2026-01-01", "ambiguous_value"),
        ("a: 1.5", "ambiguous_value"),
        ("a: .5", "ambiguous_value"),
        ("a: 1e3", "ambiguous_value"),
        ("a: 0x1F", "ambiguous_value"),
        ("a: 0o17", "ambiguous_value"),
        ("a: 017", "ambiguous_value"),
        ("a: 1_000", "ambiguous_value"),
        ("a: +1", "ambiguous_value"),
        ("a: ~", "ambiguous_value"),
        ("a: null", "ambiguous_value"),
        ("a: .inf", "ambiguous_value"),
        ("a:", "missing_value"),
        ("no: 1", "ambiguous_value"),
        ("true: 1", "bad_key"),
        ("a: &b 1", "yaml_feature"),
        ("a: &b 1\nc: *b", "yaml_feature"),
        ("a: !!int 1", "yaml_feature"),
        ("a: !env x", "yaml_feature"),
        ("<<: {a: 1}", "yaml_feature"),
        ("%YAML 1.1\n---\na: 1", "yaml_feature"),
        ("a: 1\n---\nb: 1", "yaml_feature"),
        ("a: 1\na: 2", "duplicate_key"),
        ("{a: 1, a: 2}", "duplicate_key"),
        ("? {a: 1}\n: 2", "bad_key"),
        ("a: [1", "syntax"),
        ("\ta: 1", "syntax"),
        ("a: b: c", "syntax"),
        ("", "empty"),
        ("# only a comment", "empty"),
        ("a: 'x\u202ey'", "hidden_character"),
        ('a: "x\\u200by"', "hidden_character"),
        ("a: \x07", "hidden_character"),
        ("a: x\u2028b: y", "hidden_character"),
        ("a: x\u00ady", "hidden_character"),
        ("a: x\u00a0y", "hidden_character"),
        ("a: x\u3164y", "hidden_character"),
        ("a: x\U000e0041y", "hidden_character"),
        ('a: "x\\ty"', "hidden_character"),
        ("a:\tb", "syntax"),
        ("[" * 40 + "]" * 40, "too_deep"),
        ("a: " + "9" * 17, "ambiguous_value"),
    ],
)
def test_what_two_readers_read_differently_is_refused(text: str, code: str) -> None:
    assert fault(text).code == f"policy.{code}"


def test_quoted_words_and_json_are_plain_text() -> None:
    tree = read_tree('{"a": "no", "b": [1, true, "2026-01-01"]}', "x.json").value
    assert isinstance(tree, dict)
    assert tree["a"].value == "no"
    assert [node.value for node in tree["b"].value] == [1, True, "2026-01-01"]  # type: ignore[union-attr]


@settings(max_examples=200, deadline=None, database=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    try:
        policy.parse(text, "lab.yaml")
    except Invalid as error:
        assert error.code.startswith("policy.")


CHANGES = [
    ("schema: weighthouse/lab/1", "schema: weighthouse/lab/9", "schema_version", ""),
    ("schema: weighthouse/lab/1", "", "missing_field", ""),
    ("  id: example-lab", "  id: example-lab\n  colour: blue", "unknown_field", "Valid: id, name."),
    ("entitlements:\n", "entitelments:\n", "unknown_field", "Did you mean 'entitlements'?"),
    ("    class: frontier", "    class: fronteer", "unknown_reference", "Did you mean 'frontier'?"),
    ("    class: frontier\n", "", "unclassified_resource", "Add `class: …`"),
    ("actions: [run.submit, weights.load]\n", "actions: [weight.load]\n", "unknown_reference", "Did you mean 'weights.load'?"),
    ("    manager: ada", "    manager: adda", "unknown_reference", "Did you mean 'ada'?"),
    ("{team: committee, count: 2}\n  wren", "{team: comittee, count: 2}\n  wren", "unknown_reference", "Did you mean 'committee'?"),
    ("    resources: [model/wren]", "    resources: [model/wrn]", "unknown_reference", "Did you mean 'model/wren'?"),
    ('    resources: ["model/*"]', '    resources: ["modle/*"]', "unknown_reference", "Did you mean 'model/*'?"),
    ('    resources: ["model/*"]', '    resources: ["*"]', "too_wide", ""),
    ("default: 2h, longest: 8h", "default: 2h, longest: 8000d", "absurd_duration", ""),
    ("default: 2h, longest: 8h", "default: 0h, longest: 8h", "absurd_duration", ""),
    ("default: 2h, longest: 8h", "default: 1s, longest: 8h", "absurd_duration", ""),
    ("default: 2h, longest: 8h", "default: 9h, longest: 8h", "absurd_duration", ""),
    ("default: 2h, longest: 8h", "default: 2h, longest: 9h", "absurd_duration", "Write `longest: 8h` or less."),
    ("default: 2h, longest: 8h", "default: 7200, longest: 8h", "absurd_duration", ""),
    ("    standing: true\n  auditing", "    standing: true\n    approval: none\n  auditing", "contradiction", ""),
    ("    eligible: [audit]\n    standing: true", "    eligible: [audit]", "missing_field", ""),
    ("actions: [audit.read, evidence.read]", "actions: [audit.read, policy.publish]", "weak_approval", ""),
    ("    environment: research\n    owner: training", "    environment: frontier\n    owner: training", "environment_mismatch", ""),
    ("    environment: frontier\n    owner: weights-stewards", "    environment: shared\n    owner: weights-stewards", "shared_model", ""),
    ("  dataset/stdlib:\n", "  dataset/stdlib/more:\n    class: public\n    environment: shared\n    owner: training\n  dataset/stdlib:\n", "nested_dataset", "beside it"),
    ("  research:\n    name: Research", "  shared:\n    name: Shared", "reserved_name", ""),
    ("    teams: [weights-stewards]", "    teams: [audit]", "impossible_quorum", ""),
    ("    eligible: [training]\n    duration: {default: 2h", "    eligible: [training, security]\n    duration: {default: 2h", "impossible_quorum", ""),
    ("approvals: {people: 2, teams: 2}\n\nteams", "approvals: {people: 1, teams: 2}\n\nteams", "impossible_quorum", ""),
    ('        expires: "2036-12-31"', "        expires: 2036-12-31", "ambiguous_value", ""),
    ('        expires: "2036-12-31"', '        expires: "2036-02-31"', "wrong_value", ""),
    ("host: mirror.lab.internal", 'host: "*.internal"', "bad_host", ""),
    ("host: mirror.lab.internal", "host: https://mirror", "bad_host", ""),
    ("port: 8443", "port: 84430", "wrong_value", ""),
    ("budget: 0B", "budget: 10 GB", "wrong_value", ""),
    ("  barred: [dee]", "  barred: [gil]", "barred_seat", ""),
    ("independent: true, chair: true", "independent: true", "chair", ""),
    ("{team: committee, count: 2}\n  wren", "{team: committee, count: 1}\n  wren", "charter_unguarded", "Give it a slot with `count: 2`"),
    ("    teams: [platform]", "    teams: [platform, committee]", "charter_unguarded", "hold voting seats"),
    ("ivo: {kind: director, independent: false}", "ivo: {kind: director, independent: false, until: 2030-01-01}", "ambiguous_value", ""),
    ("  min_independent: 1", "  min_independent: 1\n  answer_within: 31d", "absurd_duration", ""),
    ("release: {present: 2", "release: {present: 4", "impossible_quorum", ""),
    ("min_independent: 1", "min_independent: 3", "impossible_quorum", ""),
    ("  model/tern:\n    name", "  tern:\n    name", "bad_name", "Write model/tern, for example."),
    ("  model/tern:\n    name", "  Model/Tern:\n    name", "bad_name", ""),
    ("name: Ada (researcher)", "name: \u0410da (researcher)", "lookalike_name", ""),
    ("subject: eve", "subject: \uff21da", "account_shared", ""),
    ("{issuer: dev, subject: eve}", "{issuer: DEV/, subject: ada}", "account_shared", ""),
    ("subject: eve", 'subject: "eve "', "wrong_value", "Remove the spaces"),
    ("[{issuer: dev, subject: eve}]", "[{issuer: dev, subject: eve}, {issuer: dev, subject: eve}]", "duplicate_name", ""),
    ("    manager: ben", "    manager: ada", "manager_circle", ""),
    ("    teams: [weights-stewards]", "    teams: [weights-stewards]\n    manager: eve", "manager_circle", ""),
    ("    eligible: [training]\n", "    eligible: training\n", "wrong_value", "Write `eligible: [training]`."),
    ("    eligible: [training]\n", "    eligible: []\n", "wrong_value", "Write `[one, two]`."),
    ("    approval: none\n", "    approval: nobody\n", "wrong_type", "`approval: none`"),
    ("    owner: training", "    owner: ada", "unknown_reference", "Valid: audit, committee"),
    ("    class: frontier", "    class: " + "f" * 500_000, "unknown_reference", "Valid: control"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "remedy"), CHANGES, ids=lambda value: str(value)[:40])
def test_a_fault_names_its_line_and_the_nearest_valid_name(old: str, new: str, code: str, remedy: str) -> None:
    assert LAB.count(old) >= 1
    error = fault(LAB.replace(old, new, 1))
    assert error.code == f"policy.{code}", error.message
    assert remedy in error.remedy and len(error.message) < 500 and len(error.remedy) < 500


def test_a_team_that_includes_another_is_no_second_team_beside_it() -> None:
    """Two stewards of one team would have approved as two teams."""
    text = LAB.replace(
        "  security: {name: Security}", "  security: {name: Security}\n  wide: {includes: [weights-stewards]}"
    )
    slots = "      steward: {team: weights-stewards, count: 1}\n      security: {team: security, count: 1}\n"
    error = fault(
        text.replace(slots, slots.replace("{team: security", "{team: wide"), 1).replace(
            "    teams: [committee]\n  hana", "    teams: [committee, weights-stewards]\n  hana", 1
        )
    )
    assert error.code == "policy.weak_approval" and "2 people of 1 teams" in error.message


def test_a_block_of_text_may_end_with_a_line_feed() -> None:
    text = LAB.replace(
        "    description: Everyday experiments on internal models.",
        "    description: |\n      Everyday experiments.\n      On internal models.",
    )
    assert policy.parse(text, "lab.yaml").environments["research"].description.startswith("Everyday")


def test_what_stands_for_a_team_everywhere_is_held_to_the_class_of_all_it_reaches() -> None:
    """A standing entitlement of every environment reached frontier weights by a prefix, and no class was asked."""
    sneaky = (
        "  sneaky:\n    description: Look.\n    actions: [weights.load]\n    resources: ['model/*']\n"
        "    environment: shared\n    eligible: [training]\n    standing: true\n"
    )
    error = fault(LAB.replace("entitlements:\n", "entitlements:\n" + sneaky, 1))
    assert error.code == "policy.weak_approval" and "'model/tern'" in error.message
    harmless = sneaky.replace("weights.load", "run.stop")
    assert policy.parse(LAB.replace("entitlements:\n", "entitlements:\n" + harmless, 1), "lab.yaml")


def test_the_named_line_is_where_the_fault_stands() -> None:
    text = LAB.replace("    class: frontier", "    class: fronteer", 1)
    line = text[: text.index("fronteer")].count("\n") + 1
    assert fault(text).message.startswith(f"lab.yaml:{line}: ")


def test_decision_case_27_deep_nesting_of_teams_is_walked_once_and_circles_are_refused() -> None:
    chain = "".join(f"  t{n}: {{name: T, includes: [t{n + 1}]}}\n" for n in range(1000)) + "  t1000: {name: T}\n"
    text = LAB.replace("teams:\n  training", "teams:\n" + chain + "  training", 1)
    deep = text.replace("    teams: [red-team]", "    teams: [red-team, t1000]")
    assert "t0" in policy.parse(deep, "lab.yaml").people["kim"].teams
    assert fault(text.replace("t1000: {name: T}", "t1000: {name: T, includes: [t0]}")).code == "policy.team_cycle"


@pytest.mark.parametrize(
    ("text", "value"),
    [("90s", 90_000), ("15m", 15 * MINUTE), ("8h", 8 * HOUR), ("365d", 365 * DAY), ("366d", None), ("0h", None),
     ("08h", None), ("1.5h", None), ("8 h", None), ("h", None), ("-1h", None), ("1w", None), ("٣h", None)],
)  # fmt: skip
def test_durations(text: str, value: int | None) -> None:
    assert parse_duration(text) == value


def test_quantities_are_said_as_they_are_read() -> None:
    for text in ("90s", "15m", "8h", "30d"):
        value = parse_duration(text)
        assert value is not None and duration_text(value) == text
    for text in ("1B", "64KiB", "512MiB", "2TiB"):
        value = parse_size(text)
        assert value is not None and size_text(value) == text
    assert parse_size("9PiB") is None and parse_date("2026-13-01") is None


def test_two_ways_of_asking_whether_a_quorum_is_possible_agree() -> None:
    """Hall's condition, which refuses a policy, and the matching, which counts votes, are written apart."""
    teams = ("x", "y", "z")
    for member_teams in product(range(8), repeat=3):
        people = {
            f"p{n}": frozenset(t for bit, t in enumerate(teams) if mask >> bit & 1)
            for n, mask in enumerate(member_teams)
        }
        members = {team: {person for person, has in people.items() if team in has} for team in teams}
        for counts in ((1, 1, 0), (1, 1, 1), (2, 0, 1), (2, 1, 0), (0, 0, 3)):
            wanted = [(team, count) for team, count in zip(teams, counts, strict=True) if count]
            hall = shortage(tuple(PolicySlot(t, t, c) for t, c in wanted), members, without="p0")
            able = {person: has for person, has in people.items() if person != "p0"}
            assert fill([Slot(t, t, c) for t, c in wanted], able).complete is (hall == "")
