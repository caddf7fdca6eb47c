"""The house keeps its shape: door plates, small files, small functions, honest names, a README that shows the real tree."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house import source

REFUSED_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "misc", "common"}
ONLY_THESE_IMPORT_APP = {"config", "serve", "demo", "doctor", "init", "keys", "operate"}


@pytest.mark.parametrize("room", source.rooms())
def test_every_room_has_a_door_plate(room: str) -> None:
    path = source.PACKAGE / room / "__init__.py"
    assert path.is_file(), f"{room} has no __init__.py: say what it guards, from whom, and what it promises"
    tree = source.syntax(path)
    plate = ast.get_docstring(tree)
    assert plate, f"{source.shown(path)} has no docstring"
    assert 5 <= len(plate.splitlines()) <= 25, (
        f"the door plate of {room} has {len(plate.splitlines())} lines, not 5 to 25"
    )
    assert len(tree.body) == 1, f"{source.shown(path)} has code; a door plate is words only"


def test_every_file_opens_with_a_docstring() -> None:
    silent = [
        source.shown(path)
        for path in source.product()
        if source.text(path).strip() and ast.get_docstring(source.syntax(path)) is None
    ]
    assert not silent, f"without an opening docstring: {silent}"


def test_no_file_is_too_long() -> None:
    long = [
        f"{source.shown(path)}: {lines}"
        for path in source.python()
        if (lines := len(source.text(path).splitlines())) > (500 if "tests" in path.parts else 600)
    ]
    assert not long, f"longer than 600 lines (tests: 500): {long}"


def test_no_function_is_too_long() -> None:
    long = [
        f"{source.shown(path)}:{node.lineno} {node.name}: {lines}"
        for path in source.python()
        if path.parent.name != "versions"  # a migration is one generated list of changes
        for node in source.nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > 50
    ]
    assert not long, f"longer than 50 lines: {long}"


def test_no_file_is_named_after_nothing() -> None:
    vague = [source.shown(path) for path in source.python() if REFUSED_NAMES & {path.stem, path.parent.name}]
    assert not vague, f"name these after what they are about: {vague}"


def test_only_few_commands_reach_the_app() -> None:
    """Every other command talks HTTP, so that it can do nothing a person's own session may not do."""
    reaching = {
        path.stem
        for path in (source.PACKAGE / "cli").rglob("*.py")
        if re.search(
            r"^\s*(from|import)\s+weighthouse\.app\b|from weighthouse import .*\bapp\b", source.text(path), re.M
        )
    }
    assert reaching <= ONLY_THESE_IMPORT_APP, f"these may not import app: {sorted(reaching - ONLY_THESE_IMPORT_APP)}"


def test_the_readme_shows_the_real_tree() -> None:
    readme = source.ROOT / "README.md"
    assert readme.is_file(), "README.md is missing"
    block = re.search(r"```text\n(src/weighthouse/\n.*?)```", source.text(readme), re.S)
    assert block, "README.md has no ```text block that begins with src/weighthouse/"
    listed = set(re.findall(r"^[\s│├└─]*([a-z_]+)/(?:\s|$)", block.group(1).split("\n", 1)[1], re.M))
    assert listed == set(source.rooms()), (
        f"only in the README: {sorted(listed - set(source.rooms()))}; only on disk: {sorted(set(source.rooms()) - listed)}"
    )
