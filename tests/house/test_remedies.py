"""A remedy works when it is followed to the letter: each `weighthouse …` that the product says is a command line.

Every one is parsed by the real commands. What a reader has to fill in stands there as a word, in capitals or with an
ellipsis; what only stands in a docstring, which nobody is told, has to name commands and options that exist.
"""

from __future__ import annotations

import ast
import html
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.house import source
from weighthouse.cli import main
from weighthouse.cli.examples import EXAMPLES

_QUOTED = re.compile(r"`weighthouse(?: ([^`]+))?`")
_CODE = re.compile(r"<code>weighthouse(?: ([^<]+))?</code>")
_FILLED = re.compile(r"\{\{.*?\}\}")
_AFTER = re.compile(r"\s[|>]\s.*$")
PLACES = ("src/", "sdk/", "verifier/")


def fault(line: str, *, whole: bool = True) -> str:
    """Why `line`, which follows the word weighthouse, is no command line; empty if it is one.

    Nothing is run, asked for or looked up: a file of the line need not be there.
    """
    words = shlex.split(_AFTER.sub("", line))
    if not words:
        return ""  # the program, called by its name
    command: click.Command = main.cli
    context = click.Context(command, info_name="weighthouse", **main.cli.context_settings)
    try:
        while True:
            if "--help" in words:
                return ""
            given, rest, _ = command.make_parser(context).parse_args(list(words))
            missing = [
                param.name
                for param in command.params
                if whole and param.required and not isinstance(given.get(param.name or ""), str | list | tuple)
            ]
            if missing:
                return f"{command.name} lacks {missing}"
            if not isinstance(command, click.Group):
                return f"{command.name} takes no {rest}" if rest else ""
            if not rest:
                return "" if command.invoke_without_command or not whole else f"{command.name} lacks a command"
            name, found, words = command.resolve_command(context, rest)
            assert found is not None
            command, context = found, click.Context(found, info_name=name, parent=context)
    except click.UsageError as error:
        return error.format_message()


def docstrings(tree: ast.Module) -> set[int]:
    """The nodes that are docstrings: told to nobody, but for those of commands."""
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def spoken(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each text of a file and whether somebody is told it; what is filled in stands there as a word."""
    tree = source.syntax(path)
    quiet = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = node.values
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else "X" for one in parts), True
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, id(node) not in quiet


def lines() -> Iterator[tuple[str, str, bool]]:
    for path in source.files():
        where = source.shown(path)
        if not where.startswith(PLACES):
            continue
        if path.suffix == ".py":
            for text, told in spoken(path):
                yield from ((where, " ".join(line.split()), told) for line in _QUOTED.findall(text))
        elif path.suffix == ".html":
            page = _FILLED.sub("X", source.text(path))
            yield from ((where, html.unescape(line), True) for line in _CODE.findall(page))
    for noun, examples in EXAMPLES.items():
        bare = (one.removeprefix('eval "$(').removesuffix(')"') for one in examples)
        yield from ((f"example of {noun}", one.removeprefix("weighthouse").strip(), True) for one in bare)


def test_every_command_that_the_product_says_is_one_that_works_as_it_stands() -> None:
    found = set(lines())
    assert {"audit accept-fork", "doctor"} <= {line for _, line, _ in found}
    assert len([one for one in found if one[0].endswith(".html")]) > 5
    wrong = {f"{where}: weighthouse {line}": why for where, line, told in found if (why := fault(line, whole=told))}
    assert not wrong, "\n".join(f"{line} -> {why}" for line, why in sorted(wrong.items()))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("audit verify", "folder"),
        ("audit verfy FOLDER", "verfy"),
        ("audit verify FOLDER --kee x", "--kee"),
        ("audit verify FOLDER MORE", "MORE"),
        ("audit", "lacks a command"),
        ("devices confirm ada dev_1", "dev_1"),
        ("devices confirm-first ada dev_1 --reason x", "mark"),
        ("audti verify FOLDER", "audti"),
    ],
)
def test_a_line_that_does_not_work_is_found(line: str, why: str) -> None:
    assert why in fault(line)


def test_the_remedies_of_the_reference_work_as_they_stand() -> None:
    wrong = {}
    for path in sorted((source.ROOT / "docs" / "reference" / "errors").glob("*.md")):
        for line in _QUOTED.findall(source.text(path)):
            if why := fault(" ".join(line.split())):
                wrong[f"{source.shown(path)}: weighthouse {line}"] = why
    assert not wrong, "\n".join(f"{line} -> {why}" for line, why in sorted(wrong.items()))
