"""No secret is a kept answer: each use of `once` names the type it keeps, and none of those has a field for a secret.

The list is read by eye when a type is added. What hands out a bundle, a key or a token is repeated by `once_told`,
which keeps that it was done.
"""

from __future__ import annotations

import ast
import importlib
import types
import typing
from pathlib import Path

import msgspec
import pytest

from tests.house import source
from weighthouse.policy.api import Tally  # which a model names for the type checker alone

KEPT = {
    "weighthouse.access.model.Grant",
    "weighthouse.access.model.Hold",
    "weighthouse.access.model.Request",
    "weighthouse.access.routes.api.Published",
    "weighthouse.core.answers.Done",
    "weighthouse.detect.model.Alert",
    "weighthouse.governance.model.Ballot",
    "weighthouse.governance.model.MotionView",
    "weighthouse.governance.model.ReleaseStatus",
    "weighthouse.identity.model.Device",
    "weighthouse.runs.model.Run",
    "weighthouse.weights.model.Exported",
}
SECRET = {
    "bundle", "code", "cookie", "key", "keys", "lease", "manifest", "otp", "passphrase", "password", "private",
    "proof", "sealed", "secret", "seed", "token", "wrapped",
}  # fmt: skip
# A run's order names the files of its own code, which its owner sent and may read; `code` is their texts.
KNOWN = {("Order", "code")}
ONE, HOME = {"once", "once_told"}, "src/weighthouse/core/answers.py"


def uses() -> list[tuple[Path, ast.Call]]:
    return [
        (path, node)
        for path in source.product()
        if source.shown(path) != HOME
        for node in source.nodes(path)
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) in ONE
    ]


def kept(path: Path, call: ast.Call) -> type:
    """The type that a use names, as its module knows it."""
    name = next(one.value for one in call.keywords if one.arg == "keeps")
    module = importlib.import_module(".".join(path.relative_to(source.PACKAGE.parent).with_suffix("").parts))
    found = eval(compile(ast.Expression(name), str(path), "eval"), vars(module))
    assert isinstance(found, type)
    return found


def inside(kind: object) -> typing.Iterator[tuple[type, str, object]]:
    """Every field of a type, and of the types inside it."""
    for part in typing.get_args(kind):
        yield from inside(part)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for name, of in typing.get_type_hints(kind, localns={"Tally": Tally}).items():
            if typing.get_origin(of) is not typing.ClassVar:
                yield kind, name, of
                yield from inside(of)


def secrets(kind: type) -> list[str]:
    return sorted(
        f"{owner.__name__}.{name}"
        for owner, name, of in inside(kind)
        if (owner.__name__, name) not in KNOWN
        and (of is bytes or bytes in typing.get_args(of) or SECRET & set(name.split("_")))
    )


def named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def test_every_kept_answer_is_of_a_type_that_was_read() -> None:
    found = uses()
    assert len(found) >= 15, "the uses of once are not found any more"
    assert {named(kept(path, call)) for path, call in found} == KEPT


def test_no_kept_answer_has_a_field_for_a_secret() -> None:
    wrong = {named(kind): secrets(kind) for kind in (kept(path, call) for path, call in uses()) if secrets(kind)}
    assert wrong == {}


def test_nothing_else_writes_the_table_of_kept_answers() -> None:
    writing = {
        source.shown(path)
        for path in source.product()
        for node in source.nodes(path)
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id) in {"keep_answer", "claim_answer", "answers"}
        and "weighthouse/core" in source.shown(path)
    }
    assert writing == {HOME, "src/weighthouse/core/store.py"}


@pytest.mark.parametrize(
    ("module", "name", "fields"),
    [
        ("weights", "Export", ["Export.bundle"]),
        ("weights", "LoadTicket", ["LoadTicket.keys", "LoadTicket.lease", "LoadTicket.manifest", "TicketKey.sealed"]),
        ("keys", "ReleasedKey", ["ReleasedKey.sealed"]),
    ],
)
def test_a_secret_is_seen(module: str, name: str, fields: list[str]) -> None:
    found: types.ModuleType = importlib.import_module(f"weighthouse.{module}.model")
    assert set(fields) <= set(secrets(getattr(found, name)))
