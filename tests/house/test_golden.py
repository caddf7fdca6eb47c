"""What others build on changes only on purpose: help, OpenAPI and the pages made from them equal what is committed.

Renew with `python -m tests.house.refresh`, and read the diff: it is the change that users will meet.
"""

from __future__ import annotations

import re

from tests.house import refresh, source
from tests.house.application import routes, schema

HOW = "differs from what the code says; run `python -m tests.house.refresh` and read the diff"


def test_generated_files_are_what_the_code_says() -> None:
    stale = [
        source.shown(path) for path, text in refresh.generated() if not path.is_file() or path.read_text() != text
    ]
    assert not stale, f"{stale} {HOW}"


def test_every_route_is_documented() -> None:
    page = source.text(source.ROOT / "docs" / "reference" / "http.md")
    missing = [
        f"{method} {path}"
        for method, path in routes()
        if path in schema()["paths"] and f"`{method} {path}`" not in page
    ]
    assert not missing, missing


def test_every_json_route_says_what_it_does() -> None:
    """The schema is documentation: a route without a docstring would be a riddle."""
    silent = [
        f"{method.upper()} {path}"
        for path, methods in schema()["paths"].items()
        for method, operation in methods.items()
        if not operation.get("description")
    ]
    assert not silent, silent


def test_every_json_route_is_under_the_versioned_path() -> None:
    assert all(path.startswith(("/api/v1/", "/workload/v1/")) for path in schema()["paths"])


def test_every_command_is_documented() -> None:
    from weighthouse.cli.main import cli

    page = source.text(source.ROOT / "docs" / "reference" / "cli.md")
    missing = [name for name, _, _ in refresh.commands(cli) if f"### `{name}`" not in page]
    assert not missing, missing


def test_every_command_says_what_it_does() -> None:
    from weighthouse.cli.main import cli

    silent = [name for name, command, _ in refresh.commands(cli) if not command.get_short_help_str()]
    assert not silent, silent


def test_every_exit_code_is_documented() -> None:
    from weighthouse.cli import exits

    page = source.text(source.ROOT / "docs" / "reference" / "cli.md")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.M)}
    assert codes == set(exits.MEANING)


def test_no_option_takes_a_secret() -> None:
    """Other users of a machine can read a process's arguments."""
    from weighthouse.cli.main import cli

    secret = re.compile(r"password|passphrase|token|secret|totp|\bcode\b|private", re.I)
    found = [
        f"{name} {option}"
        for name, command, _ in refresh.commands(cli)
        for parameter in command.params
        for option in parameter.opts
        if secret.search(option) and not option.endswith("-file")
    ]
    assert found == ["weighthouse run submit --code"], (
        "--code names files of code; nothing else may sound like a secret"
    )
