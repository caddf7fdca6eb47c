"""The import contracts hold, and each would notice: a violation planted in a copy of the source is reported by name.

The copy lies in the test's own folder; the real tree is never touched. One run of the linter a plant, so that a
contract is seen broken by its own violation and not by a neighbour's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import source

LINTER = Path(sys.executable).parent / "lint-imports"
TREES = ("src", "sdk/src", "verifier/src")

INNER = {"store", "rules", "model", "ports", "adapters", "routes", "jobs"}

# contract id, what its name begins with, the module that sins, the line that is its sin
PLANTS = [
    ("floors", "1. Floors", "core.clock", "from weighthouse.access import api as planted"),
    ("inside", "2. Inside a room", "policy.model", "from weighthouse.policy import api as planted"),
    ("faces-access", "3. Faces: access", "weights.api", "from weighthouse.access import store as planted"),
    ("faces-identity", "3. Faces: identity", "access.api", "from weighthouse.identity import rules as planted"),
    ("adapters", "4. Adapters", "runs.api", "from weighthouse.keys import adapters as planted"),
    ("pure", "5. Pure", "access.rules", "from weighthouse.core import database as planted"),
    ("sql", "6. SQL only in store", "access.api", "import sqlalchemy as planted"),
    ("apart", "The SDK and the verifier", "SDK", "import weighthouse.core.canonical as planted"),
]


def _lint(root: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    chosen = [part for contract in contracts for part in ("--contract", contract)]
    return subprocess.run(
        [str(LINTER), "--config", str(root / ".importlinter"), "--no-cache", *chosen],
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(root / tree) for tree in TREES), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of every tree, for each test to sin in and to put right again."""
    to = tmp_path_factory.mktemp("copy")
    for path in source.python():
        if path.relative_to(source.ROOT).as_posix().startswith(tuple(tree + "/" for tree in TREES)):
            target = to / path.relative_to(source.ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    shutil.copy(source.ROOT / ".importlinter", to)
    return to


def _module(root: Path, dotted: str) -> Path:
    if dotted == "SDK":
        return root / "sdk/src/weighthouse_sdk/errors.py"
    stem = root / "src/weighthouse" / dotted.replace(".", "/")
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def _verdicts(output: str) -> dict[str, str]:
    return dict(re.findall(r"^(.+?) ?(KEPT|BROKEN)\b", output, re.M))


def test_the_real_tree_keeps_every_contract() -> None:
    done = _lint(source.ROOT)
    verdicts = _verdicts(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert set(verdicts.values()) == {"KEPT"}
    for number in "123456":
        assert any(name.startswith(f"{number}. ") for name in verdicts), f"contract {number} is not checked at all"


@pytest.mark.parametrize(("contract", "name", "module", "line"), PLANTS, ids=[plant[0] for plant in PLANTS])
def test_a_planted_violation_is_reported(contract: str, name: str, module: str, line: str, copy: Path) -> None:
    sinner = _module(copy, module)
    innocent = sinner.read_text("utf-8")
    sinner.write_text(f"{innocent}\n{line}\n", "utf-8")
    try:
        done = _lint(copy, contract)
    finally:
        sinner.write_text(innocent, "utf-8")
    broken = [found for found, verdict in _verdicts(done.stdout).items() if verdict == "BROKEN"]
    assert done.returncode == 1, done.stdout[-4000:] + done.stderr[-2000:]
    assert len(broken) == 1, done.stdout[-4000:]
    assert broken[0].startswith(name)
    importer = "weighthouse_sdk.errors" if module == "SDK" else f"weighthouse.{module}"
    assert importer in done.stdout, f"broken, but not by the planted line in {importer}"


def test_a_new_folder_must_be_given_a_floor(copy: Path) -> None:
    folder = copy / "src/weighthouse/annexe"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A room nobody has placed."""\n', "utf-8")
    try:
        done = _lint(copy, "floors")
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 1
    assert "annexe" in done.stdout + done.stderr


def test_every_room_with_a_face_is_behind_a_faces_contract() -> None:
    """A room, or a part of one, that no contract 3 names could be reached into by anybody."""
    text = source.text(source.ROOT / ".importlinter")
    rooms = {
        path.relative_to(source.PACKAGE).parts[0]
        for path in source.product()
        if path.relative_to(source.PACKAGE).parts[1:] in {("api.py",), ("api", "__init__.py")}
    } - {"web"}
    for room in sorted(rooms):
        contract = re.search(rf"^\[importlinter:contract:faces-{room}\]\n(.*?)^allowed", text, re.M | re.S)
        assert contract, f"add a faces contract for {room}"
        inner = {
            path.relative_to(source.PACKAGE / room).parts[0].removesuffix(".py")
            for path in source.product()
            if path.is_relative_to(source.PACKAGE / room)
        } & INNER
        listed = set(re.findall(rf"weighthouse\.{room}\.([a-z]+)$", contract.group(1), re.M))
        assert listed == inner, f"faces-{room}: not protected: {inner - listed}; does not exist: {listed - inner}"
