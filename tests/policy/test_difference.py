"""The difference that approvers read leaves nothing out, whatever else the text changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from weighthouse.policy import api as policy
from weighthouse.policy.model import Entitlement, Environment, Minimum
from weighthouse.policy.rules.difference import shortened
from weighthouse.policy.rules.widening import TABLE, Members, Value, rule_of

LAB = (Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml").read_text("utf-8")
PARSED = policy.parse(LAB, "a")


def difference(*swaps: tuple[str, str]) -> list[str]:
    changed = LAB
    for old, new in swaps:
        assert changed.count(old) == 1, f"'{old}' stands {changed.count(old)} times"
        changed = changed.replace(old, new)
    return policy.difference(PARSED, policy.parse(changed, "b"))


def test_what_opens_a_door_stands_first_and_is_named() -> None:
    assert policy.difference(PARSED, policy.parse(LAB, "b")) == []
    train = "    duration: {default: 2h, longest: 8h, chain: 2d}\n    approval:\n      steward: {team: weights-stewards, count: 1}\n      security: {team: security, count: 1}"
    assert difference((train, train.replace("security: {team: security", "security: {team: audit"))) == [
        "WIDER: entitlement 'tern-train': approval was approved by 1 of weights-stewards as steward and 1 of security "
        "as security, becomes approved by 1 of weights-stewards as steward and 1 of audit as security."
    ]
    joined = difference(("subject: eve}]\n    teams: [training]", "subject: eve}]\n    teams: [training, security]"))
    assert joined[0] == "WIDER: person 'eve' gains team 'security'."
    assert difference(("    fresh: 1h\n", "    fresh: 2h\n")) == [
        "WIDER: class 'frontier': fresh was 1h, becomes 2h."
    ]
    assert difference(("    fresh: 1h\n", "    fresh: 30m\n")) == ["Class 'frontier': fresh was 1h, becomes 30m."]
    assert difference(
        ("    actions: [run.submit, weights.load]\n", "    actions: [run.submit, weights.load, weights.save]\n")
    ) == ["WIDER: entitlement 'tern-load' gains action 'weights.save'."]
    removed = LAB[LAB.index("separations:") : LAB.index("egress:\n  none")]
    assert difference((removed, "")) == ["WIDER: removed separation 'export-and-train'."]


def test_what_opens_is_not_hidden_behind_what_narrows() -> None:
    """A pinned fact taken off an export, beside a shorter duration that alone was told before."""
    pinned = "    operation: [version, destination]\n    duration: {default: 1h, longest: 2h}"
    lines = difference((pinned, "    duration: {default: 1h, longest: 119m, chain: 180d}"))
    assert "WIDER: entitlement 'tern-export' loses pinned fact 'version'." in lines
    assert "WIDER: entitlement 'tern-export' loses pinned fact 'destination'." in lines
    assert "WIDER: entitlement 'tern-export': longest chain was 2h, becomes 180d." in lines
    assert lines[-1] == "Entitlement 'tern-export': max duration was 2h, becomes 119m."
    manager = (
        "subject: eve}]\n    teams: [training]\n    manager: ada",
        "subject: eve}]\n    teams: []\n    manager: ben",
    )
    assert difference(manager) == [
        "WIDER: person 'eve': manager was 'ada', becomes 'ben'.",
        "Person 'eve' loses team 'training'.",
    ]


def test_the_name_of_the_lab_itself_is_told() -> None:
    assert difference(("  id: example-lab", "  id: other-lab")) == [
        "WIDER: the lab: id was 'example-lab', becomes 'other-lab'."
    ]


def _other(value: Any) -> Iterator[Any]:
    """Other values of the same kind: one that is more, and one that is less."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, str):
        yield from (value + "x", value[:-1] + "\n" if value else "y")
    elif isinstance(value, frozenset):
        yield from (value | {"another"}, value - set(sorted(value)[:1]) if value else {"one", "two"})
    elif value is None:
        yield 86_400_000


def _mutations(thing: Any) -> Iterator[tuple[str, Any]]:
    """Every way to change exactly one thing within `thing`: (what a line must name, the changed copy)."""
    if isinstance(thing, msgspec.Struct):
        for field in thing.__struct_fields__:
            rule, value = rule_of(type(thing), field), getattr(thing, field)
            if value == () and isinstance(rule, Members):
                yield rule.word, msgspec.structs.replace(thing, **{field: (("another", "one"),)})
            word = (rule.word or field) if isinstance(rule, Value) else rule.word
            for named, changed in _mutations(value):
                said = named or word.removesuffix("_bytes").replace("_", " ")
                yield said, msgspec.structs.replace(thing, **{field: changed})
    elif isinstance(thing, Mapping):
        for key, one in thing.items():
            yield key, {other: value for other, value in thing.items() if other != key}
            for named, changed in _mutations(one):
                yield f"'{key}'|{named}", {**thing, key: changed}
    elif isinstance(thing, tuple):
        if thing:
            yield from (("", thing[1:]), ("", (*thing[1:], thing[0])), ("", (*thing, thing[0])))
        for place, one in enumerate(thing):
            inner = ((one[0], "x"), ("x", one[1])) if isinstance(one, tuple) else [new for _, new in _mutations(one)]
            for changed in inner:
                yield "", (*thing[:place], changed, *thing[place + 1 :])
    else:
        yield from (("", changed) for changed in _other(thing))


def test_any_single_change_of_any_noun_gives_a_line_that_names_it() -> None:
    count = 0
    for said, changed in _mutations(PARSED):
        if changed == PARSED:
            continue
        lines = policy.difference(PARSED, changed)
        assert lines and all("\n" not in line for line in lines), said
        assert all(any(part.lower() in line.lower() for line in lines) for part in said.split("|") if part), (
            said,
            lines,
        )
        count += 1
    assert count > 500


def test_every_field_of_every_noun_has_a_rule() -> None:
    nouns, left = {type(PARSED)}, [type(PARSED)]
    while left:
        for field in msgspec.structs.fields(left.pop()):
            found = {one for one in TABLE if one.__name__ in str(field.type) and one not in nouns}
            nouns |= found
            left += found
    assert nouns == set(TABLE), "a noun that no lab reaches, or one without rules"
    for noun in nouns:
        assert set(TABLE[noun]) == set(noun.__struct_fields__), noun.__name__


class Later(Entitlement, frozen=True, kw_only=True):
    """A noun of a coming release, with a field that nobody has written a rule for."""

    glow: int = 3


@pytest.mark.parametrize("to", [2, 4])
def test_a_field_without_a_rule_opens_a_door_whichever_way_it_moves(to: int) -> None:
    known = PARSED.entitlements["tern-train"]
    later = Later(**{name: getattr(known, name) for name in known.__struct_fields__})
    labs = [
        msgspec.structs.replace(PARSED, entitlements={**PARSED.entitlements, "tern-train": one})
        for one in (later, msgspec.structs.replace(later, glow=to, max_duration=1_000))
    ]
    assert f"WIDER: entitlement 'tern-train': glow was 3, becomes {to}." in policy.difference(*labs)


def test_what_is_new_is_told_whole_and_minima_of_a_class_open_downwards() -> None:
    frontier = PARSED.classes["frontier"]
    eased = msgspec.structs.replace(frontier, approvals=Minimum(people=0, teams=0), images=("sha256:a",))
    lab = msgspec.structs.replace(
        PARSED,
        classes={**PARSED.classes, "frontier": eased},
        environments={**PARSED.environments, "new": Environment(id="new", name="New", description="Words.")},
        resources={},
    )
    lines = policy.difference(PARSED, lab)
    assert any(line.startswith("WIDER: class 'frontier': approvals: people was ") for line in lines)
    assert "Class 'frontier' gains image 'sha256:a'." in lines, "from any image to one is narrower"
    assert "Added environment 'new' with name 'New'; description 'Words.'." in lines
    back = policy.difference(lab, PARSED)
    assert "WIDER: class 'frontier' lists no image any more, which allows every one." in back
    assert any(
        line.startswith("WIDER: added resource 'model/tern' with ") and "class 'frontier'" in line for line in back
    )


def test_a_cut_list_keeps_what_opens_and_says_what_is_missing() -> None:
    plain, wide = [f"Narrower {n}." for n in range(5)], [f"WIDER: {n}." for n in range(5)]
    assert shortened(plain, 5) == plain
    assert shortened(plain + wide, 7) == [
        *wide, "Narrower 0.", "and 4 more changes, 0 of them WIDER: compare the two texts."
    ]  # fmt: skip
    assert shortened(wide + plain, 4) == [
        *wide[:3], "WIDER: and 7 more changes, 2 of them WIDER: compare the two texts."
    ]  # fmt: skip
