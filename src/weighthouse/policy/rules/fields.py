"""Typed reading of a mapping. Guards the lab from unknown fields, wrong types and names that point nowhere.

Every refusal names file:line, what was expected, what was found, and the nearest valid name.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import NoReturn

from weighthouse.core import visible
from weighthouse.core.clock import DAY, SECOND, Millis
from weighthouse.core.errors import Invalid
from weighthouse.core.ids import check_slug
from weighthouse.policy.rules.quantities import duration_text, parse_date, parse_duration, parse_size
from weighthouse.policy.rules.tree import Node, Place, refuse

_LONGEST_NAME = 300  # finding what is near to a longer one would take for ever


def nearest(name: str, valid: Collection[str]) -> str:
    """Return a sentence that names the closest valid name, or the valid names if they are few."""
    near = difflib.get_close_matches(name, sorted(valid), n=1, cutoff=0.6) if len(name) <= _LONGEST_NAME else []
    if near:
        return f"Did you mean '{near[0]}'?"
    if not valid:
        return "None is declared yet."
    shown = sorted(valid)[:8]
    return "Valid: " + ", ".join(shown) + (", …" if len(valid) > len(shown) else "") + "."


class Fields:
    """The fields of one mapping, of which only `known` may occur. `what` says whose fields they are."""

    def __init__(self, node: Node, what: str, known: Sequence[str]) -> None:
        if not isinstance(node.value, dict):
            refuse(
                "policy.wrong_type",
                node.place,
                f"{what} should be a mapping, not {node.word}.",
                "Write `key: value`.",
            )
        self._found = node.value
        self._keys = node.keys
        self.what = what
        self.place = node.place
        for key in self._found:
            if key not in known:
                refuse("policy.unknown_field", self._keys[key], f"{what} has no field '{key}'.", nearest(key, known))

    def at(self, key: str) -> Place:
        """Where the field stands, or the mapping if it is absent."""
        return self._keys.get(key, self.place)

    def has(self, key: str) -> bool:
        return key in self._found

    def _need(self, key: str, wanted: str) -> Node:
        node = self._found.get(key)
        if node is None:
            refuse("policy.missing_field", self.place, f"{self.what} needs '{key}': {wanted}.", f"Add `{key}: …`.")
        return node

    def _wrong(self, key: str, node: Node, wanted: str, remedy: str = "Correct the value.") -> NoReturn:
        refuse(
            "policy.wrong_value", node.place, f"'{key}' of {self.what} should be {wanted}, not {node.word}.", remedy
        )

    def text(self, key: str, default: str | None = None, *, longest: int = 500) -> str:
        """A text of 1 to `longest` characters."""
        if default is not None and not self.has(key):
            return default
        node = self._need(key, "a text")
        bare = node.value.strip("\n") if isinstance(node.value, str) else ""  # a block of text ends with a line feed
        if bare.strip() and bare != bare.strip():
            self._wrong(key, node, "a text without spaces around it", "Remove the spaces at its ends.")
        if not isinstance(node.value, str) or not 0 < len(node.value.strip()) <= longest:
            self._wrong(
                key, node, f"a text of 1 to {longest} characters", "Put a text that looks like a number in quotes."
            )
        return node.value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from `low` to `high`."""
        if default is not None and not self.has(key):
            return default
        node = self._need(key, f"a whole number from {low} to {high}")
        if type(node.value) is not int or not low <= node.value <= high:
            self._wrong(key, node, f"a whole number from {low} to {high}")
        return node.value

    def flag(self, key: str, default: bool | None = None) -> bool:
        """true or false."""
        if default is not None and not self.has(key):
            return default
        node = self._need(key, "true or false")
        if not isinstance(node.value, bool):
            self._wrong(key, node, "true or false")
        return node.value

    def choice(self, key: str, options: Sequence[str], default: str | None = None) -> str:
        """One of a few words."""
        if default is not None and not self.has(key):
            return default
        node = self._need(key, " or ".join(options))
        if not isinstance(node.value, str) or node.value not in options:
            self._wrong(key, node, " or ".join(options), nearest(str(node.value), options))
        return node.value

    def duration(self, key: str, high: Millis, default: Millis | None = None, *, low: Millis = 60 * SECOND) -> Millis:
        """A duration such as `8h`, from `low` to `high`."""
        if default is not None and not self.has(key):
            return default
        wanted = f"a duration from {duration_text(low)} to {duration_text(high)}, such as 8h"
        node = self._need(key, wanted)
        value = parse_duration(node.value) if isinstance(node.value, str) else None
        if value is None or not low <= value <= high:
            refuse(
                "policy.absurd_duration",
                node.place,
                f"'{key}' of {self.what} should be {wanted}, not {node.word}.",
                "Write a number and one of s, m, h, d.",
            )
        return value

    def size(self, key: str, default: int | None = None) -> int:
        """A size such as `2TiB`."""
        if default is not None and not self.has(key):
            return default
        node = self._need(key, "a size such as 2TiB")
        value = parse_size(node.value) if isinstance(node.value, str) else None
        if value is None:
            self._wrong(key, node, "a size such as 512MiB or 2TiB", "Write a number and one of B, KiB … PiB.")
        return value

    def date(self, key: str) -> Millis:
        """A day in quotes, as UTC midnight."""
        node = self._need(key, 'a day in quotes, such as "2027-01-31"')
        value = parse_date(node.value) if isinstance(node.value, str) else None
        if value is None or value < 365 * DAY:
            self._wrong(key, node, 'a day in quotes, such as "2027-01-31"')
        return value

    def reference(self, key: str, valid: Collection[str], kind: str, default: str | None = None) -> str:
        """The id of something declared elsewhere in the text."""
        if default is not None and not self.has(key):
            return default
        node = self._need(key, f"the id of a {kind}")
        return known_name(node, valid, kind, f"'{key}' of {self.what}")

    def names(self, key: str, valid: Collection[str], kind: str, *, least: int = 0) -> tuple[str, ...]:
        """A list of different ids of one kind."""
        if least == 0 and not self.has(key):
            return ()
        found = tuple(
            known_name(item, valid, kind, f"'{key}' of {self.what}") for item in self.items(key, least=least)
        )
        self.distinct(key, found)
        return found

    def texts(self, key: str, *, least: int = 0, longest: int = 100) -> tuple[str, ...]:
        """A list of different short texts."""
        if least == 0 and not self.has(key):
            return ()
        found: list[str] = []
        for item in self.items(key, least=least):
            if not isinstance(item.value, str) or not 0 < len(item.value) <= longest:
                self._wrong(key, item, f"a list of texts of at most {longest} characters")
            found.append(item.value)
        self.distinct(key, found)
        return tuple(found)

    def distinct(self, key: str, found: Sequence[str]) -> None:
        """Refuse a list that names one thing twice."""
        if len(set(found)) != len(found):
            refuse(
                "policy.duplicate_name",
                self.at(key),
                f"'{key}' of {self.what} names one twice.",
                "Remove one of them.",
            )

    def items(self, key: str, *, least: int = 0) -> list[Node]:
        """The items of a list."""
        node = self._need(key, "a list")
        if not isinstance(node.value, list) or len(node.value) < least:
            self._wrong(key, node, f"a list of at least {least}" if least else "a list", "Write `[one, two]`.")
        return node.value

    def node(self, key: str, wanted: str = "a mapping of ids") -> Node:
        """The raw node of a field that has more than one form, or fields of its own."""
        return self._need(key, wanted)

    def name(self, key: str, default: str | None = None) -> str:
        """A text by which people know a thing; not one that mixes alphabets within a word, as look-alikes do."""
        found = self.text(key, default, longest=120)
        for word in found.split():
            if visible.mixes_alphabets(word):
                refuse(
                    "policy.lookalike_name",
                    self.at(key),
                    f"'{key}' of {self.what}: '{word[:80]}' mixes alphabets within one word, as look-alikes do.",
                    "Write it in one alphabet.",
                )
        return found

    def section(self, key: str, *, required: bool = True) -> list[tuple[str, Node, Place]]:
        """The entries of a mapping of ids to things: (id, node, place of the id), each id a slug."""
        if not required and not self.has(key):
            return []
        return entries(self._need(key, "a mapping of ids"), f"'{key}' of {self.what}")


def entries(node: Node, what: str) -> list[tuple[str, Node, Place]]:
    """The entries of a mapping whose keys are slugs."""
    if not isinstance(node.value, dict):
        refuse(
            "policy.wrong_type", node.place, f"{what} should be a mapping of ids, not {node.word}.", "Write `id: …`."
        )
    for key in node.value:
        try:
            check_slug(key)
        except Invalid as error:
            refuse(
                "policy.bad_name", node.keys[key], f"'{key}' in {what} is not an id. {error.message}", error.remedy
            )
    return [(key, inner, node.keys[key]) for key, inner in node.value.items()]


def known_name(node: Node, valid: Collection[str], kind: str, what: str) -> str:
    """Return the text of `node` if it is one of `valid`; otherwise refuse with the nearest."""
    if not isinstance(node.value, str):
        refuse(
            "policy.wrong_value", node.place, f"{what} should be the id of a {kind}, not {node.word}.", "Write an id."
        )
    if node.value not in valid:
        refuse(
            "policy.unknown_reference",
            node.place,
            f"{what}: there is no {kind} '{node.value}'.",
            nearest(node.value, valid),
        )
    return node.value
