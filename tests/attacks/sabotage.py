"""Building with one guard removed, and running what must notice. Guards the list of removals from only being a list."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parents[2] / "src"
LIMIT_S = 240
CATALOGUE = """
import sys
from weighthouse.app.demo.stage import Stage
from weighthouse.assurance import api as assurance

with Stage() as stage:
    outcome = assurance.run(stage.system, [sys.argv[1]], stage.ground)[0]
print(f"{outcome.status} {outcome.rule}: {outcome.reason}")
sys.exit(0 if outcome.held else 1)
"""
SCRIPT = "import sys; from weighthouse.app.demo.play import play; sys.exit(play(script=True))"


class Removal(NamedTuple):
    """One guard taken out. `scenario` is the attack of the catalogue that it stops; `also` and `besides` name what is
    taken out of which other file, where a second and a third guard stop the same attack."""

    scenario: str
    file: str
    line: str
    instead: str
    also: tuple[str, str, str] | None = None
    besides: tuple[str, str, str] | None = None


def build(removal: Removal, folder: Path) -> Path:
    """Copy the source and take the guard out; return what PYTHONPATH must begin with.

    Bytecode comes along: it names the moment and size of its source, and the file that is changed has others.
    """
    copy = folder / "src"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("*.egg-info"), copy_function=_linked)
    shutil.copytree(SOURCE.parent / "examples", folder / "examples", copy_function=_linked)
    for file, line, instead in filter(None, (removal[1:4], removal.also, removal.besides)):
        path = copy / "weighthouse" / file
        text = path.read_text("utf-8")
        assert text.count(line) == 1, f"{file} no longer has this line exactly once: {line!r}"
        path.unlink()  # its name in the copy alone: the file is the source's own until here
        path.write_text(text.replace(line, instead))
    return copy


def _linked(source: str, target: str) -> None:
    """Have what is only read lie in the copy without being copied, where one file system holds both."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def run(
    program: str, *arguments: str, source: Path | None = None, limit_s: float = LIMIT_S
) -> subprocess.CompletedProcess[str]:
    """Run a program against the given build, or against the real one."""
    environment = {**os.environ, **({"PYTHONPATH": str(source)} if source else {})}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment, capture_output=True, text=True, timeout=limit_s, check=False,
    )  # fmt: skip
