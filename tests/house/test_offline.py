"""Commands that work on a state folder without asking a server: each that changes it takes the folder's lock first.

`sessions mend` once changed the database under a running server, which neither saw it nor was asked. A new command
that imports `app` fails here until it is on one of the lists.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.kept import PASSPHRASE, REASON, State
from tests.house import source
from weighthouse.app.home import Home
from weighthouse.cli import exits, main

REASONED = ("--reason", REASON)
WRITING: dict[str, tuple[str, ...]] = {
    "init": (),
    "serve": ("--port", "0"),
    "audit accept-fork": REASONED,
    "audit forget-server": ("wri_" + "0" * 26, *REASONED),
    "sessions mend": ("chi", *REASONED),
    "devices confirm-first": ("chi", "dev_" + "0" * 26, "--key", "x", *REASONED),
    "keys status": (),
    "keys rotate": ("model/tern",),
    "keys rewrap": ("model/tern",),
    "keys verify": ("model/tern",),
    "keys minimum": ("model/tern", "1"),
    "keys new-passphrase": (),
}
LOCKING = {"init.command", "serve.command", "operate.accept_fork", "operate._alone", "keys._opened"}
"""Where the commands above take the lock; the last is for whatever commits one unit of work."""
UNLOCKED = {
    "config.explain": "reads settings",
    "doctor.command": "reads what is there",
    "demo.command": "makes a folder of its own and removes it",
    "init._accounts": "prints, for a command that has opened the system",
    "keys.new_passphrase": "inside of _opened",
    "operate._accepted": "inside of accept-fork",
    "operate.confirm_clock": "leaves a word for the server that runs, in one rename",
    "operate.witness": "keeps a folder of its own, with a lock of its own",
}


def importers() -> Iterator[str]:
    """Every function of the command line that imports `app`, as module.function."""
    for path in sorted((source.PACKAGE / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(source.text(path))):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(part, ast.ImportFrom) and str(part.module).startswith("weighthouse.app")
                for part in ast.walk(node)
            ):
                yield f"{path.stem}.{node.name}"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    with pytest.MonkeyPatch.context() as patch:
        yield State(tmp_path_factory.mktemp("kept"), patch)


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file() and path.name != "lock"
    }


def test_every_command_that_imports_app_is_on_a_list() -> None:
    assert set(importers()) == LOCKING | UNLOCKED.keys()


@pytest.mark.parametrize("name", WRITING)
def test_an_offline_command_that_writes_is_refused_while_somebody_holds_the_folder(
    kept: State, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert kept.passphrase.read_text() == PASSPHRASE
    held = Home(kept.root).lock
    held.take("serve")
    before = contents(kept.root)
    try:
        chosen = ("--state", str(kept.root), "--passphrase-file", str(kept.passphrase))
        status = main.run([*name.split(), *WRITING[name], *chosen])
    finally:
        held.release()
    assert status == exits.CONFLICT and "Code: app.state_in_use" in capsys.readouterr().err
    assert contents(kept.root) == before
