"""What a new lab changes, in plain words. Guards approvers of a policy text from approving what they did not read.

Every changed field of every noun has a line that names the noun and the field with what was and what becomes; no line
takes the place of another. What opens a door or weakens an approval begins with `WIDER` and comes first, by the rules
in `widening`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from weighthouse.policy.model import Lab
from weighthouse.policy.rules.deciders import takes, who_decides
from weighthouse.policy.rules.widening import Inner, Members, Things, Value, rule_of

_LONGEST_WORDS = 160
"""Of words that decide nothing; what decides is always said whole."""


def difference(old: Lab, new: Lab) -> list[str]:
    """Return a sentence for each thing and field that was added, removed or changed; wider ones first."""
    lines = dict.fromkeys(_front(line) for line in (*_seats(old, new), *_changed("the lab", old, new)))
    return sorted(lines, key=lambda line: not line.startswith("WIDER"))


def _seats(old: Lab, new: Lab) -> list[str]:
    """What of it changes who decides, before all else, and what each kind of decision takes from then on."""
    decides = who_decides(old, new)
    if not decides:
        return []
    told = "this changes who decides, so it takes a carried motion of the committee as it sat before"
    return [_line(True, one) for one in (f"{told}: {'; '.join(decides)}", *takes(old, new))]


def shortened(lines: list[str], most: int) -> list[str]:
    """At most `most` lines; the last one says how many were left out, and how many of those open a door."""
    if len(lines) <= most:
        return lines
    wide = [line for line in lines if line.startswith("WIDER")]
    kept = (wide + [line for line in lines if not line.startswith("WIDER")])[: most - 1]
    left, wider = len(lines) - len(kept), max(0, len(wide) - len(kept))
    mark = "WIDER: " if wider else ""
    return [*kept, f"{mark}and {left} more changes, {wider} of them WIDER: compare the two texts."]


def _front(line: str) -> str:
    return line if line.startswith("WIDER") else line[0].upper() + line[1:]


def _line(wide: bool, text: str) -> str:
    """One sentence on one line: no value writes a second line that looks like ours."""
    plain = "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text.replace("\\", "\\\\"))
    return f"{'WIDER: ' if wide else ''}{plain}."


def _changed(label: str, before: Any, after: Any) -> list[str]:
    """The lines of one noun, field by field."""
    if type(before) is not type(after):
        return [_line(True, f"{label} was {_said(before)}, becomes {_said(after)}")]
    lines: list[str] = []
    for field in after.__struct_fields__:
        was, now = getattr(before, field), getattr(after, field)
        if was != now or type(was) is not type(now):
            lines += _field(label, field, rule_of(type(after), field), was, now)
    return lines


def _field(label: str, field: str, rule: Value | Members | Things | Inner, was: Any, now: Any) -> list[str]:
    if isinstance(rule, Members):
        return _members(label, rule, was, now)
    if isinstance(rule, Things):
        return _things(label, rule, was, now)
    if isinstance(rule, Inner):
        return _inner(label, rule, was, now)
    return [_value(label, field, rule, was, now)]


def _value(label: str, field: str, rule: Value, was: Any, now: Any) -> str:
    wide = rule.wider(was, now)
    texts = [_by(rule.said, one) for one in (was, now)]
    if texts[0] == texts[1]:  # said alike and yet different: then the plain values tell them apart
        texts = [repr(was), repr(now)]
    if not wide:
        texts = [_clipped(one) for one in texts]
    return _line(wide, f"{label}: {rule.word or _word(field)} was {texts[0]}, becomes {texts[1]}")


def _members(label: str, rule: Members, was: Iterable[Any], now: Iterable[Any]) -> list[str]:
    before, after = frozenset(was), frozenset(now)
    opens = rule.empty_is_any and not after
    narrows = rule.empty_is_any and not before
    gained = sorted((_by(rule.said, one) for one in after - before), key=str)
    lost = sorted((_by(rule.said, one) for one in before - after), key=str)
    lines = [_line(rule.gains and not narrows, f"{label} gains {rule.word} {one}") for one in gained]
    lines += [_line(rule.loses or opens, f"{label} loses {rule.word} {one}") for one in lost]
    if opens:
        lines.append(_line(True, f"{label} lists no {rule.word} any more, which allows every one"))
    return lines or [_line(False, f"{label}: the order of each {rule.word} changes")]


def _things(label: str, rule: Things, was: Any, now: Any) -> list[str]:
    before, after = _keyed(rule, was), _keyed(rule, now)
    if before is None or after is None:
        return [_line(True, f"{label}: each {rule.word} was {_said(was)}, becomes {_said(now)}")]
    lines: list[str] = []
    for key in sorted(before.keys() | after.keys()):
        name = f"{rule.word} '{key}'" if label == "the lab" else f"{rule.word} '{key}' of {label}"
        if key not in before:
            lines.append(_line(rule.added, f"added {name}{_whole(after[key])}"))
        elif key not in after:
            lines.append(_line(rule.removed, f"removed {name}"))
        elif before[key] != after[key]:
            lines += _changed(name, before[key], after[key])
    return lines or [_line(False, f"{label}: the order of each {rule.word} changes")]


def _keyed(rule: Things, things: Any) -> Mapping[str, Any] | None:
    """The things by key, or None if two share one: then they are told whole."""
    if isinstance(things, Mapping):
        return things
    found = {rule.key(one): one for one in things}
    return found if len(found) == len(things) else None


def _inner(label: str, rule: Inner, was: Any, now: Any) -> list[str]:
    name = f"the {rule.word}" if label == "the lab" else f"{label}: {rule.word}"
    if was is None:
        return [_line(True, f"added {name}{_whole(now)}")]
    if now is None:
        return [_line(True, f"removed {name}")]
    return _changed(name, was, now)


def _whole(noun: Any) -> str:
    """Every field that says anything, for a noun that is new."""
    said = []
    for field in noun.__struct_fields__:
        value, rule = getattr(noun, field), rule_of(type(noun), field)
        if field != "id" and value not in (None, "", (), frozenset(), {}):
            word = (rule.word if isinstance(rule, Value) else "") or _word(field)
            said.append(f"{word} {_each(rule, value)}")
    return f" with {'; '.join(said)}" if said else ""


def _each(rule: Value | Members | Things | Inner, value: Any) -> str:
    if isinstance(rule, Value):
        return _by(rule.said, value)
    if isinstance(rule, Members):
        return ", ".join(sorted(_by(rule.said, one) for one in value))
    return _said(value)


def _by(said: Any, value: Any) -> str:
    return _said(value) if said is None else str(said(value))


def _said(value: Any) -> str:
    """A value as people read it, whole: no two different ones of a field are said alike."""
    if isinstance(value, msgspec.Struct):
        return (
            "(" + "; ".join(f"{_word(name)} {_said(getattr(value, name))}" for name in value.__struct_fields__) + ")"
        )
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(one)}" for key, one in sorted(value.items())) or "nothing"
    if isinstance(value, frozenset | set):
        return ", ".join(sorted(_said(one) for one in value)) or "nothing"
    if isinstance(value, tuple | list):
        return ", ".join(_said(one) for one in value) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"'{value}'" if isinstance(value, str) else "nothing" if value is None else str(value)


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST_WORDS else f"{text[:_LONGEST_WORDS]}… ({len(text)} characters)"


def _word(field: str) -> str:
    return field.removesuffix("_bytes").replace("_", " ")
