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
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(root / tree) for tree in TREES)},
        capture_output=True,
        text=True,
        check=False,
    )


def _copy(to: Path) -> Path:
    for tree in TREES:
        shutil.copytree(source.ROOT / tree, to / tree, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(source.ROOT / ".importlinter", to)
    return to


def _module(root: Path, dotted: str) -> Path:
    if dotted == "SDK":
        return root / "sdk/src/weighthouse_sdk/errors.py"
    stem = root / "src/weighthouse" / dotted.replace(".", "/")
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def _verdicts(output: str) -> dict[str, str]:
    return dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", output, re.M))


def test_the_real_tree_keeps_every_contract() -> None:
    done = _lint(source.ROOT)
    verdicts = _verdicts(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert set(verdicts.values()) == {"KEPT"}
    for number in "123456":
        assert any(name.startswith(f"{number}. ") for name in verdicts), f"contract {number} is not checked at all"


@pytest.mark.parametrize(("contract", "name", "module", "line"), PLANTS, ids=[plant[0] for plant in PLANTS])
def test_a_planted_violation_is_reported(contract: str, name: str, module: str, line: str, tmp_path: Path) -> None:
    root = _copy(tmp_path)
    sinner = _module(root, module)
    with sinner.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = _lint(root, contract)
    broken = [found for found, verdict in _verdicts(done.stdout).items() if verdict == "BROKEN"]
    assert done.returncode == 1, done.stdout[-4000:] + done.stderr[-2000:]
    assert len(broken) == 1, done.stdout[-4000:]
    assert broken[0].startswith(name)


def test_a_new_folder_must_be_given_a_floor(tmp_path: Path) -> None:
    root = _copy(tmp_path)
    folder = root / "src/weighthouse/annexe"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A room nobody has placed."""\n', "utf-8")
    done = _lint(root, "floors")
    assert done.returncode == 1
    assert "annexe" in done.stdout + done.stderr


def test_every_room_with_a_face_is_behind_a_faces_contract() -> None:
    """A room added without its own contract 3 would let anybody reach into its store."""
    text = source.text(source.ROOT / ".importlinter")
    guarded = set(re.findall(r"^\[importlinter:contract:faces-([a-z]+)\]", text, re.M))
    with_face = {
        path.relative_to(source.PACKAGE).parts[0]
        for path in source.product()
        if path.relative_to(source.PACKAGE).parts[1:] in {("api.py",), ("api", "__init__.py")}
    }
    assert with_face <= guarded, f"add a faces contract for: {sorted(with_face - guarded)}"
