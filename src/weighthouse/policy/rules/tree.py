"""The strict YAML reader. Guards the lab from text that two people read differently.

Only mappings, lists, quoted or plain text, decimal whole numbers and `true`/`false` exist. Anchors, aliases, merges,
tags, directives, several documents, duplicate keys, and every plain word that some YAML reader takes for a boolean, a
date, a float, an octal or a base-60 number (`no`, `1:30`, `0o17`, `2026-01-01`) are refused with file and line. JSON
is accepted as the same tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import msgspec
import yaml

from weighthouse.core import visible
from weighthouse.core.errors import Invalid

LAB_LIMIT = 4 * 1024 * 1024  # of a text that is published; what a door takes must fit it
MAX_BYTES = 16 * 1024 * 1024  # of a text that is read: earlier releases took so much at the start
MAX_DEPTH = 16

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
_SURPRISE = re.compile(
    r"(?i:y|n|yes|no|on|off|null|true|false|~|\.nan|[-+]?\.inf)"  # another reader's booleans and nulls
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"  # base 60: 1:30 is 90 to some
    r"|[-+]?0[0-9_]+|0[xob][0-9a-fA-F_]+|[-+]?[0-9]+_[0-9_]*|\+[0-9]+|[0-9]{17,}"
    r"|[-+]?(?:[0-9][0-9_]*)?\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?"
    r"|<<|="
)
_UNLIKE_A_SPACE = re.compile(f"[\t\r{visible.SPACES}]")  # and yet taken for one; asked of every value of a lab
_LONGEST_SAID = 400
_LONGEST_WORD = 80


class Place(msgspec.Struct, frozen=True):
    """Where something stands: file name and line, counted from one."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Node(msgspec.Struct):
    """One value of the text: text, number, flag, list of nodes, or mapping of keys to nodes, and its place."""

    value: str | int | bool | list[Node] | dict[str, Node]
    place: Place
    keys: dict[str, Place] = {}

    @property
    def word(self) -> str:
        """What this is, for a message."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list" if self.value else "an empty list"
        if isinstance(self.value, str):
            return repr(self.value if len(self.value) <= _LONGEST_WORD else self.value[:_LONGEST_WORD] + "…")
        return str(self.value).lower()


def hidden_in(text: str) -> str:
    """A character of `text` that a reader cannot see or takes for a plain space, or nothing. A line feed is none."""
    place = next(visible.places(text, lines=True), None)
    if place is not None:
        return text[place]
    unlike = _UNLIKE_A_SPACE.search(text)
    return unlike.group() if unlike else ""


def refuse(code: str, place: Place | str, message: str, remedy: str) -> NoReturn:
    """Raise Invalid whose message begins with file:line."""
    if len(message) > _LONGEST_SAID:
        message = message[:_LONGEST_SAID] + "…"
    raise Invalid(code, f"{place}: {message}", remedy, place=str(place))


def read_tree(text: str, name: str) -> Node:
    """Parse `text` into a tree; raises `policy.syntax`, `policy.yaml_feature`, `policy.duplicate_key` and others."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        refuse(
            "policy.too_large", name, f"the text is larger than {MAX_BYTES} bytes.", "Split out what is not policy."
        )
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n")
    hidden = hidden_in(plain)
    if hidden:
        place = Place(name, plain.count("\n", 0, plain.index(hidden)) + 1)
        if hidden == "\t":
            refuse("policy.syntax", place, "a tab looks like spaces and is none.", "Write spaces instead.")
        refuse(
            "policy.hidden_character",
            place,
            f"the character U+{ord(hidden):04X} is not seen, or is taken for a space, and could hide what is meant.",
            "Remove it; reviewers must see all that decides.",
        )
    return _Composer(text, name).document()


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


class _Composer:
    """Turns parser events into nodes, refusing all that a strict text must not use."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=_LOADER))

    def _next(self) -> yaml.Event:
        try:
            event = next(self._events)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self._no(
                "policy.syntax", line, f"this is not YAML: {error.problem or error.context}.", "Correct the line."
            )
        except (yaml.YAMLError, UnicodeError):
            self._no("policy.syntax", 1, "this is not YAML in UTF-8.", "Save the file as UTF-8 text.")
        self._plain(event)
        return event

    def _no(self, code: str, line: int, message: str, remedy: str) -> NoReturn:
        refuse(code, Place(self._name, line), message, remedy)

    def _plain(self, event: yaml.Event) -> None:
        line = _line(event)
        feature = ""
        if isinstance(event, yaml.AliasEvent):
            feature = "an alias (*name)"
        elif getattr(event, "anchor", None):
            feature = "an anchor (&name)"
        elif getattr(event, "tag", None):
            feature = "a tag (!name)"
        elif isinstance(event, yaml.DocumentStartEvent) and (event.version or event.tags):
            feature = "a directive (%…)"
        if feature:
            self._no(
                "policy.yaml_feature", line, f"{feature} is not allowed.", "Write the value out where it is used."
            )

    def document(self) -> Node:
        self._next()  # stream start
        start = self._next()
        if isinstance(start, yaml.StreamEndEvent):
            self._no("policy.empty", 1, "the text is empty; expected a mapping that begins with 'schema'.", _BEGIN)
        root = self._node(self._next(), 0)
        self._next()  # document end
        more = self._next()
        if not isinstance(more, yaml.StreamEndEvent):
            self._no("policy.yaml_feature", _line(more), "a second document is not allowed.", "Keep one.")
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        line = _line(event)
        if depth > MAX_DEPTH:
            self._no("policy.too_deep", line, f"nested deeper than {MAX_DEPTH} levels.", "Flatten it.")
        place = Place(self._name, line)
        if isinstance(event, yaml.ScalarEvent):
            return Node(self._scalar(event, line), place)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return Node(items, place)
        return self._mapping(place, depth)

    def _mapping(self, place: Place, depth: int) -> Node:
        found: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._no("policy.bad_key", line, "a key must be plain text.", "Use a name as the key.")
            if event.value == "<<":
                self._no("policy.yaml_feature", line, "a merge (<<) is not allowed.", "Write the fields out.")
            key = self._key(event, line)
            if key in found:
                self._no(
                    "policy.duplicate_key",
                    line,
                    f"the key '{key}' stands twice; the first is on line {keys[key].line}.",
                    "Remove one of them.",
                )
            keys[key] = Place(self._name, line)
            found[key] = self._node(self._next(), depth + 1)
        return Node(found, place, keys)

    def _key(self, event: yaml.ScalarEvent, line: int) -> str:
        if event.implicit[0] and event.value in ("true", "false"):
            self._no("policy.bad_key", line, f"'{event.value}' is a flag, not a key.", "Use a name as the key.")
        if event.implicit[0] and _INTEGER.fullmatch(event.value):
            return str(event.value)
        return str(self._scalar(event, line))

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> str | int | bool:
        value = str(event.value)
        if hidden_in(value):  # an escape inside quotes hides as well as the character itself
            self._no("policy.hidden_character", line, "an escape writes an invisible character.", "Remove it.")
        if not event.implicit[0]:  # quoted or block text is text, whatever it looks like
            return value
        if value in ("true", "false"):
            return value == "true"
        if _INTEGER.fullmatch(value):
            return int(value)
        if value == "":
            self._no("policy.missing_value", line, "a value is missing.", "Write a value, or remove the key.")
        if _SURPRISE.fullmatch(value):
            self._no(
                "policy.ambiguous_value",
                line,
                f"'{value}' means different things to different readers of YAML.",
                "Write true or false for a flag, a plain decimal number, or put the text in quotes.",
            )
        return value


_BEGIN = "Begin with `schema: weighthouse/lab/1`."
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
