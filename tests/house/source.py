"""The project as the house tests see it: which files there are, their syntax trees, what they declare and raise.

Each file is read and parsed once for all tests. Files are what git tracks plus what it would track; without git (a
source archive) everything outside build folders counts, so the rules hold there too.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "weighthouse"
CODE = re.compile(r"[a-z]+\.[a-z][a-z0-9_]*")
KIND = re.compile(r"[a-z]+\.[A-Z][A-Za-z0-9]*")
_BUILT = {
    ".git",
    ".venv",
    ".parts",
    "build",
    "dist",
    "_build",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    "mutants",
    "node_modules",
}


@functools.cache
def files() -> tuple[Path, ...]:
    """Return every file of the project, sorted."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        found = [p for p in ROOT.rglob("*") if not _BUILT.intersection(p.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in found if path.is_file()))


def shown(path: Path) -> str:
    """Return a path as a reader of the failure wants it."""
    return path.relative_to(ROOT).as_posix()


@functools.cache
def text(path: Path) -> str:
    return path.read_text("utf-8")


@functools.cache
def python() -> tuple[Path, ...]:
    return tuple(path for path in files() if path.suffix == ".py")


@functools.cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(text(path), filename=str(path))


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return every node of a file's syntax tree, walked once for all tests."""
    return tuple(ast.walk(syntax(path)))


@functools.cache
def rooms() -> tuple[str, ...]:
    """Return the rooms: the folders of the package that hold Python."""
    return tuple(sorted({p.relative_to(PACKAGE).parts[0] for p in product() if p.parent != PACKAGE}))


@functools.cache
def product() -> tuple[Path, ...]:
    """Return the Python files of the server."""
    return tuple(path for path in python() if PACKAGE in path.parents)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield the last part of the callee's name, and the call."""
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield _name(node.func), node


@functools.cache
def error_classes() -> frozenset[str]:
    """Return the names of every error class of the server, found by following base classes."""
    bases: dict[str, set[str]] = {}
    for path in product():
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                bases.setdefault(node.name, set()).update(_name(base) for base in node.bases)
    found = {"WeighthouseError"}
    while grown := {name for name, of in bases.items() if of & found} - found:
        found |= grown
    return frozenset(found)


def _texts(node: ast.expr) -> Iterator[str]:
    """Yield the texts an argument can be: itself, or either branch of a condition."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


# Texts of the shape of a code that are something else: names of followers and timers, keys of a unit's memory, and
# types of signed statements. A new text of that shape is either documented as a code or added here on purpose.
NOT_CODES = {
    "access.member",
    "audit.backlog",
    "audit.heartbeat",
    "audit.pending",
    "audit.sequencer",
    "audit.witnesses",
    "detect.bulk",
    "detect.elsewhere",
    "detect.new-key",
    "detect.opened",
    "detect.output",
    "detect.destroying",
    "detect.published",
    "detect.spray",
    "detect.written",
    "egress.tidy",
    "governance.charter",
    "policy.current",
    "runs.stop",
}


@functools.cache
def error_codes() -> dict[str, str]:
    """Return every code that is raised, or kept in the room's own code as a reason to give, with its file."""
    found: dict[str, str] = {}
    for path in product():
        for name, call in calls(path):
            places = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
            if name in error_classes() or name in {"Reason", "__init__"}:
                places += call.args[:1]
            for place in places:
                for code in _texts(place):
                    if CODE.fullmatch(code) and code.split(".")[0] in rooms():
                        found.setdefault(code, shown(path))
    for path in product():
        room = path.relative_to(PACKAGE).parts[0]
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                other = node.value in NOT_CODES or node.value in settings() or node.value in actions()
                if node.value.startswith(room + ".") and not other:
                    found.setdefault(node.value, shown(path))
    return found


@functools.cache
def actions() -> frozenset[str]:
    """Return the actions that policy knows, which have the shape of codes."""
    from weighthouse.policy.model import ACTIONS, IMPLIED

    return frozenset({*ACTIONS, *IMPLIED})


@functools.cache
def event_kinds() -> dict[str, str]:
    """Return every event kind that a room declares, with its file."""
    found: dict[str, str] = {}
    for path in product():
        for node in nodes(path):
            if isinstance(node, ast.AnnAssign) and _name(node.target) == "KIND" and node.value is not None:
                for kind in _texts(node.value):
                    found.setdefault(kind, shown(path))
    return found


@functools.cache
def settings() -> dict[str, str]:
    """Return every declared setting, with its file."""
    found: dict[str, str] = {}
    for path in product():
        for name, call in calls(path):
            if name == "Setting":
                named = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
                for place in call.args[:1] or named:
                    for setting in _texts(place):
                        found.setdefault(setting, shown(path))
    return found


@functools.cache
def constants() -> frozenset[str]:
    """Return every text that occurs in the server's code."""
    return frozenset(
        node.value
        for path in product()
        for node in nodes(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
