"""A door that is built stands in the wall: what a room's face offers is called by something, or says why not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.house import source

UNCALLED = {
    "audit.erase": "a person's values beside the log end by an act of two people, which is not built",
    "egress.verdict": "attacks ask it for one run; the gate asks `answer`, which decides by the same code",
    "identity.thumbprint_of": "attacks name a key by it before they enrol it",
    "policy.current_text": "attacks change the text in force; people get it by its version",
    "weights.outbox": "attacks save without a run around them; the runner lends the outbox itself",
}
"""What nothing in the product calls, and the reason."""


def face(room: str) -> list[Path]:
    """The files of a room's face, the one that lists what it offers first."""
    folder = source.PACKAGE / room / "api"
    return [folder / "__init__.py", *folder.glob("*.py")] if folder.is_dir() else [folder.with_suffix(".py")]


def rooms() -> list[str]:
    return sorted(place.name for place in source.PACKAGE.iterdir() if place.is_dir() and face(place.name)[0].exists())


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(source.text(path))


def offered(room: str) -> set[str]:
    """The functions that a room's face lists."""
    listed = {
        str(ast.literal_eval(one))
        for node in parsed(face(room)[0]).body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "__all__"
        and isinstance(node.value, ast.List)
        for one in node.value.elts
    }
    made = {node.name for path in face(room) for node in parsed(path).body if isinstance(node, ast.FunctionDef)}
    return listed & made


def reached(path: Path, room: str) -> Iterator[str]:
    """What a file reaches of a room: by the name that it gave the face or, within the room, by its own name."""
    inside, aliases = path.relative_to(source.PACKAGE).parts[0] == room, set[str]()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module == f"weighthouse.{room}":
            aliases |= {one.asname or one.name for one in node.names if one.name == "api"}
        elif isinstance(node, ast.ImportFrom) and node.module == f"weighthouse.{room}.api" and path not in face(room):
            yield from (one.name for one in node.names)
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield node.attr
        if inside and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id


@cache
def called(room: str) -> frozenset[str]:
    """What the product calls of a room; the assurance's own scenery, which plays attacks, does not count."""
    played = source.PACKAGE / "assurance" / "scenarios"
    paths = [path for path in source.PACKAGE.rglob("*.py") if played not in path.parents]
    return frozenset(name for path in paths for name in reached(path, room))


@pytest.mark.parametrize("room", rooms())
def test_everything_that_a_room_offers_is_called_or_says_why_not(room: str) -> None:
    told = {name.partition(".")[2] for name in UNCALLED if name.partition(".")[0] == room}
    assert offered(room) - called(room) == told


def test_rooms_are_found() -> None:
    assert {"access", "keys", "weights"} <= set(rooms()) and "erase" in offered("audit") - called("audit")
    assert all(offered(room) for room in rooms() if room != "web")
