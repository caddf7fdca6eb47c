"""Every list route pages and says so: found by asking each route of the application, not from a list by hand.

A limit that is not told hides what stands behind it: an active grant behind a hundred ended ones, a request behind
those of thirteen busy people.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.house import source
from tests.house.application import routes
from tests.house.test_doors import address, operation, query
from tests.web.world import World
from weighthouse.access import api as access
from weighthouse.core.caller import SYSTEM, Assurance, Caller
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import begin
from weighthouse.policy import api as policy

PREFIX = "/api/v1/"
# What a route needs to know so that its list is not empty or unknown.
FILLED = {"resource": "model/tern", "model": "model/tern", "person": "ada", "principal": "ada"}
PEOPLE = ("ada", "ben", "chi", "dee", "fay", "gil")
NOT_HERE = {
    # Lists of something that this world has none of; the tests of governance, runs and weights read them page by page.
    "/api/v1/holds/{hold_id}/stopped",
    "/api/v1/runs/{run}/logs",
    "/api/v1/weights/versions/{version}/lineage",
}


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, httpx.Client]]:
    world = World(ManualClock(), tmp_path_factory.mktemp("lists"))
    for person, role, thing in (
        ("ada", "tern-train", "model/tern"),
        ("ada", "tern-load", "model/tern"),
        ("eve", "tern-load", "model/tern"),
        ("ada", "wren-train", "model/wren"),
        ("ada", "wren-train", "model/wren"),
        ("eve", "wren-train", "model/wren"),
    ):
        caller = Caller(
            principal=PrincipalId(person),
            kind="person",
            account=policy.account_ref("dev", person),
            assurance=Assurance(2, world.clock.now(), "otp"),
        )
        with begin(world.system, caller) as unit:
            access.submit(
                unit,
                caller,
                entitlement=role,
                resource=thing,
                duration=HOUR,
                reason="A list needs more than one item.",
            )
    with begin(world.system) as unit:
        for subject in ("model/wren", "eve", "class:public"):
            access.place_hold(unit, SYSTEM, subject, "so that there is one", actions=("weights.save",))
    yield {person: world.browser(person) for person in PEOPLE}
    world.system.database.close()


def ask(client: httpx.Client, path: str, **params: Any) -> httpx.Response:
    filled = {**query("GET", path), **params}
    return client.get(address(path.replace("{person}", "ada")), params={**filled, **_named(path, filled)})


def _named(path: str, filled: dict[str, Any]) -> dict[str, str]:
    declared = {one["name"] for one in operation("GET", path).get("parameters", []) if one["in"] == "query"}
    return {name: value for name, value in FILLED.items() if name in declared and name in query("GET", path)}


def lists(readers: dict[str, httpx.Client]) -> dict[str, httpx.Client]:
    """The routes that answered somebody with items, and who that was."""
    found: dict[str, httpx.Client] = {}
    for method, path in routes():
        if method != "GET" or not path.startswith(PREFIX):
            continue
        for client in readers.values():
            answer = ask(client, path)
            if answer.status_code == 200 and "json" in answer.headers["content-type"] and "items" in answer.json():
                if path not in found or answer.json()["items"]:
                    found[path] = client
                if answer.json()["items"]:
                    break
    return found


def walked(client: httpx.Client, path: str, limit: int) -> list[Any]:
    items: list[Any] = []
    cursor = None
    for _ in range(500):
        page = ask(client, path, limit=limit, **({"cursor": cursor} if cursor else {})).json()
        assert len(page["items"]) <= limit, path
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items
    raise AssertionError(f"{path} has no end")


def test_every_list_route_pages_and_says_so(readers: dict[str, httpx.Client]) -> None:
    found = lists(readers)
    assert {path.rsplit("/", 1)[1] for path in found} >= {
        "grants",
        "requests",
        "inbox",
        "people",
        "holds",
        "sessions",
    }
    for path, client in found.items():
        declared = {one["name"] for one in operation("GET", path)["parameters"]}
        assert {"limit", "cursor"} <= declared, f"{path} takes no cursor or no limit"
        assert "next" in ask(client, path).json(), f"{path} does not say whether more follow"
        whole = walked(client, path, 500)
        if path != "/api/v1/audit/entries":  # reading the log may add to it
            assert walked(client, path, 1) == whole, f"{path} loses or repeats items from page to page"
        if len(whole) > 1:
            first = ask(client, path, limit=1).json()
            assert first["next"] is not None, f"{path} hides {len(whole) - 1} items and does not say so"
        wrong = ask(client, path, cursor="bm90LWEtY3Vyc29y")
        assert wrong.status_code == 400 and wrong.json()["code"] == "core.bad_cursor", path


def test_the_lists_of_this_world_are_longer_than_one(readers: dict[str, httpx.Client]) -> None:
    """Else the walk above would show nothing."""
    for path in ("grants", "requests", "people", "holds", "audit/entries", "search", "advise", "attacks", "evidence"):
        found = lists({name: client for name, client in readers.items() if name in ("ada", "fay")})
        assert len(ask(found[PREFIX + path], PREFIX + path).json()["items"]) > 1, path


def test_no_route_makes_a_list_by_hand(readers: dict[str, httpx.Client]) -> None:
    """Lists are answered by `paging.answer`, and each route that calls it was found above."""
    by_hand, answering = [], set()
    for path in sorted((source.ROOT / "src" / "weighthouse").glob("*/routes/*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                by_hand += [f"{path.name}:{node.lineno}"] if "items" in keys else []
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            text = ast.unparse(function)
            if "paging.answer(" in text or "_all(" in text:
                answering |= {one.args[0].value for one in _gets(function)}
    assert not by_hand, by_hand
    tails = {path.removeprefix(PREFIX) for path in lists(readers) | dict.fromkeys(NOT_HERE)}
    missed = [one for one in answering if not any(tail.endswith(one.lstrip("/")) for tail in tails)]
    assert not missed, f"nobody in this test may read these lists: {missed}"


def _gets(function: ast.FunctionDef) -> list[Any]:
    return [
        one
        for one in function.decorator_list
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == "get"
    ]
