"""A door that is built stands in the wall: what keys offers is called from outside its room, or says why not."""

from __future__ import annotations

import ast

from tests.house import source
from weighthouse.keys import api

UNCALLED = {
    "destroy": "a whole model's key ends by an act of two people, which is not built; single versions are destroyed",
}
"""What nobody outside the room calls, and the reason."""


def offered() -> set[str]:
    """The public functions of the room's face."""
    tree = ast.parse(source.text(source.PACKAGE / "keys" / "api.py"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}


def called() -> set[str]:
    """What is reached as `keys.name` by every file outside the room, theirs of the assurance's own scenery aside."""
    found: set[str] = set()
    for path in source.PACKAGE.rglob("*.py"):
        place = path.relative_to(source.PACKAGE)
        text = source.text(path)
        if place.parts[0] in ("keys", "assurance") or "from weighthouse.keys import api as keys" not in text:
            continue
        found |= {
            node.attr
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "keys"
        }
    return found


def test_every_function_that_keys_offers_is_called_from_outside_or_says_why_not() -> None:
    assert offered() - called() == UNCALLED.keys()
    assert offered() <= set(api.__all__)
