"""The command starts fast and fails well: lazy imports, the nearest name, documented exit codes, never a traceback."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from weighthouse.cli import exits, main
from weighthouse.cli.examples import EXAMPLES
from weighthouse.core.errors import Conflict, Denied, Unauthenticated, Unavailable
from weighthouse_sdk.errors import Refused

HEAVY = (
    "sqlalchemy",
    "fastapi",
    "starlette",
    "granian",
    "alembic",
    "grpc",
    "httpx",
    "rich",
    "cryptography",
    "pydantic",
)


def _imported(*arguments: str) -> set[str]:
    """Run one command in a fresh interpreter and return the modules it had imported at its end."""
    program = (
        "import json, sys\nfrom weighthouse.cli.main import run\n"
        "status = run(json.loads(sys.argv[1]))\nassert status == 0, status\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["request", "--help"], ["completion", "fish"]], ids=" ".join)
def test_help_imports_nothing_of_the_server(arguments: list[str]) -> None:
    imported = _imported(*arguments)
    assert not imported.intersection(HEAVY)
    rooms = {name.split(".")[1] for name in imported if name.startswith("weighthouse.")}
    assert rooms <= {"cli", "core"}


def test_every_noun_of_the_list_is_there_and_says_what_the_list_says() -> None:
    """The list repeats each command's help so that --help imports nothing; the two must not drift apart."""
    for name, noun in main.FLAT.items():
        assert importlib.util.find_spec(f"weighthouse.cli.{noun.module}"), (
            f"weighthouse/cli/{noun.module}.py is missing"
        )
        command = main.cli.get_command(click.Context(main.cli), name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(200) == noun.help


def test_a_mistyped_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["serch"]) == exits.USAGE
    assert "Did you mean 'search'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Denied("access.no_grant", "No grant.", "Ask for one."), exits.REFUSED),
        (Unauthenticated("identity.session_ended", "The session has ended.", "Sign in."), exits.SIGN_IN),
        (Unavailable("core.database_unavailable", "The database is away.", "Wait."), exits.UNREACHABLE),
        (Unavailable("core.outcome_unknown", "Nobody can say.", "Look."), exits.UNREACHABLE),
        (Conflict("core.idempotency_mismatch", "Used before.", "Use a fresh key."), exits.CONFLICT),
        (RuntimeError("boom"), exits.REFUSED),
    ],
)
def test_an_error_becomes_lines_and_a_code(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(main.cli, "get_command", lambda _ctx, _name: click.Command("search", callback=fail))
    assert main.run(["search"]) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("No: ")
    assert "What to do: " in told.err
    assert "Code: " in told.err
    assert "Traceback" not in told.err


def test_what_a_problem_says_besides_is_shown_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    details = {"who_is_missing": "security\x1b[2J", "shortfall": 1, "step_up": True}
    exits.explain(Refused("access.quorum_missing", "Not yet.", "Ask security.", 409, details))
    told = capsys.readouterr().err
    assert "  who is missing: security" in told
    assert "  shortfall: 1\n" in told
    assert "step up" not in told
    assert "\x1b[2J" not in told


def test_a_closed_pipe_is_not_an_error() -> None:
    """`weighthouse … | head` closes the pipe early; here it is closed before the first line."""
    read, write = os.pipe()
    os.close(read)
    program = "from weighthouse.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "config", "explain"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["completion", shell]) == 0
    assert "_WEIGHTHOUSE_COMPLETE" in capsys.readouterr().out


def test_completion_completes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_WEIGHTHOUSE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "weighthouse comp")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert main.run([]) == 0
    assert "plain,completion" in capsys.readouterr().out


def test_settings_are_explained_with_their_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHTHOUSE_SERVER_PORT", "9000")
    monkeypatch.setenv("WEIGHTHOUSE_DATABASE_URL", "postgresql+psycopg://u:hunter2@h/d")
    assert main.run(["config", "explain", "-o", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["items"]}
    assert rows["server.port"]["value"] == "9000"
    assert rows["server.port"]["source"] == "environment WEIGHTHOUSE_SERVER_PORT"
    assert "hunter2" not in json.dumps(rows)


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_every_example_of_the_help_is_a_command_that_exists(line: str) -> None:
    words = shlex.split(line.removeprefix('eval "$(').removesuffix(')"'))[1:]
    rest = words[2:] if words[0] == "--server" else words
    command: click.Command = main.cli
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"there is no {rest[0]}"
        command, rest = found, rest[1:]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    asked = {word for word in rest if word.startswith("-")}
    assert asked <= known, f"{command.name} has no {asked - known}"


def test_every_noun_has_an_example() -> None:
    assert set(EXAMPLES) == set(main.FLAT)


def test_a_folder_that_cannot_be_made_is_named_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert exits.explain(FileNotFoundError(2, "No such file or directory", "/proc/nope")) == exits.REFUSED
    said = capsys.readouterr().err
    assert "/proc/nope: No such file or directory." in said and "cli.file" in said


def test_a_full_disk_under_the_output_is_told_with_a_remedy() -> None:
    """What is written to a descriptor names no file: it once was "an error that this program did not foresee"."""
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        command = [sys.executable, "-m", "weighthouse.cli", "config", "explain", "-o", "json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == exits.NO_SYSTEM and "Code: core.no_space" in done.stderr, done.stderr


def test_a_mistyped_variable_is_told_and_nothing_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEIGHTHOUSE_SERVER_PROT", "9000")
    state = str(tmp_path / "state")
    for command in (["serve", "--state", state], ["init", "--state", state], ["config", "explain", "--state", state]):
        assert main.run(command) == exits.REFUSED
        said = capsys.readouterr().err
        assert "'WEIGHTHOUSE_SERVER_PROT'" in said and "Did you mean 'WEIGHTHOUSE_SERVER_PORT'?" in said, said
    assert not (tmp_path / "state").exists()


def test_a_setting_that_does_not_exist_is_not_explained_but_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "explain", "server.prot"]) == exits.REFUSED
    said = capsys.readouterr()
    assert "'server.prot'" in said.err and "Did you mean 'server.port'?" in said.err and not said.out
    assert main.run(["config", "explain", "server.port"]) == 0
