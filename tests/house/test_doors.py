"""Every route is tried by nobody and by somebody without rights; who gets in is a list that is reviewed by eye.

The lists are tests/house/golden/open_routes.txt (no sign-in at all) and common_routes.txt (any person of the lab). A new
route that lets somebody in without being on its list fails here, whatever its author believed about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.house import source
from tests.house.application import routes, whole_schema
from tests.web.world import World, field
from weighthouse.core.clock import ManualClock

GOLDEN = source.ROOT / "tests" / "house" / "golden"
REFUSED = {400, 401, 403, 404, 405, 409, 429, 503}
# Ids that are well-formed but name nothing, so that a route gets past parsing to its own question.
NAMES = {
    "index": "0",
    "resource": "model/tern",
    "version": "ver_",
    "run": "run_",
    "grant": "grt_",
    "motion": "mot_",
    "request": "req_",
}
# What a route asks for by name, where a name of nothing would be the reason to refuse.
QUERIES = {("/api/v1/releases", "model"): "model/tern"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(ManualClock(), tmp_path_factory.mktemp("doors"))
    yield made
    made.system.database.close()


def golden(name: str) -> set[tuple[str, str]]:
    lines = (GOLDEN / name).read_text("utf-8").splitlines()
    return {(line.split()[0], line.split()[1]) for line in lines if line and not line.startswith("#")}


def address(path: str) -> str:
    """Return the path with every parameter filled in."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1).split(":")[0].removesuffix("_id")
        named = NAMES.get(name, "x")
        return named + "0" * 26 if named.endswith("_") else named

    return re.sub(r"\{([^}]+)\}", fill, path)


def example(shape: dict[str, Any], parts: dict[str, Any]) -> Any:
    """Return a value of the shape that a schema describes, so that validation is not what refuses."""
    if "$ref" in shape:
        return example(parts[shape["$ref"].rsplit("/", 1)[1]], parts)
    for several in ("anyOf", "allOf", "oneOf"):
        if several in shape:
            return example(shape[several][0], parts)
    if "const" in shape or "enum" in shape:
        return shape.get("const", shape.get("enum", [None])[0])
    kind = shape.get("type")
    if kind == "object":
        wanted = shape.get("required", [])
        return {name: example(shape["properties"][name], parts) for name in wanted}
    if kind == "array":
        return [example(shape["items"], parts)] * shape.get("minItems", 0)
    if kind == "string":
        length, pattern = max(1, shape.get("minLength", 0)), shape.get("pattern", "")
        for text in ("x" * length, "A" * length, "EC", "P-256", "sha256:" + "0" * 64):
            if re.search(pattern, text) and len(text) >= length:
                return text
        raise AssertionError(f"no example for the pattern {pattern}")
    return {"integer": int(shape.get("minimum", 1)), "boolean": False, "number": 1, "null": None}[str(kind)]


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = whole_schema()["paths"][path.replace(":path}", "}")][method.lower()]
    return found


def body(method: str, path: str) -> dict[str, Any]:
    """Return what to send to a route: a JSON body or a form that fits, so that its shape is not what refuses."""
    content = operation(method, path).get("requestBody", {}).get("content", {})
    parts = whole_schema()["components"]["schemas"]
    for media, kind in (("application/json", "json"), ("application/x-www-form-urlencoded", "data")):
        if media in content:
            return {kind: example(content[media]["schema"], parts)}
    return {}


def query(method: str, path: str) -> dict[str, Any]:
    given = operation(method, path).get("parameters", [])
    wanted = {one["name"]: one["schema"] for one in given if one["in"] == "query" and one.get("required")}
    return {name: QUERIES.get((path, name)) or example(shape, {}) for name, shape in wanted.items()}


def attempt(client: httpx.Client, method: str, path: str, *, csrf: str = "", **headers: str) -> httpx.Response:
    fits = body(method, path)
    if method != "GET" and "json" not in fits:
        fits = {"data": {"csrf": csrf, **fits.get("data", {})}}
    return client.request(method, address(path), params=query(method, path), headers=headers, **fits)


def sent_away(answer: httpx.Response) -> bool:
    """Whether a page sent somebody to sign in instead of answering."""
    return answer.status_code == 303 and answer.headers["location"].startswith(("/sign-in", "/login"))


@pytest.mark.parametrize(("method", "path"), routes(), ids=[f"{m} {p}" for m, p in routes()])
def test_nobody_gets_in_without_signing_in(world: World, method: str, path: str) -> None:
    answer = attempt(world.visitor(), method, path, Origin=world.origin)
    if (method, path) in golden("open_routes.txt"):
        assert answer.status_code not in {401, 500}, (
            "this route is on the list of open ones, but is not open: take it off"
        )
        assert not sent_away(answer)
        return
    if path.startswith("/workload/"):
        # On the network's listener they are not there at all; tests/runs tries them on the run's own socket.
        assert answer.status_code == 404 and answer.json()["code"] == "web.not_found"
        return
    assert answer.status_code != 422, f"could not try it, the form or body does not fit: {answer.text[:500]}"
    assert answer.status_code == 401 or sent_away(answer), f"{answer.status_code}: {answer.text[:500]}"


@pytest.fixture(scope="module")
def eve(world: World) -> httpx.Client:
    """Eve, a contractor of the training team, signed in properly and entitled to nothing but the catalogue."""
    return world.browser("eve")


@pytest.mark.parametrize(("method", "path"), routes(), ids=[f"{m} {p}" for m, p in routes()])
def test_somebody_without_rights_gets_only_what_is_everybodys(
    world: World, eve: httpx.Client, method: str, path: str
) -> None:
    if path.endswith(("/logout", "/not-me", "/login", "/sign-in", "/step-up", "/callback", "/token")):
        return  # these change the session that the other cases use; the identity tests try them
    token = field(eve.get("/sessions").text, "csrf")
    answer = attempt(eve, method, path, csrf=token, **{"Origin": world.origin, "x-csrf-token": token})
    got_in = answer.status_code < 400
    if (method, path) in golden("common_routes.txt"):
        assert got_in, f"on the list of what everybody may do, but refused: {answer.status_code} {answer.text[:500]}"
    else:
        assert answer.status_code in REFUSED | {422}, f"{answer.status_code}: {answer.text[:300]}"


def unbounded(shape: dict[str, Any]) -> bool:
    """Whether a schema takes a whole number of any size."""
    several = [part for word in ("anyOf", "allOf", "oneOf") for part in shape.get(word, [])]
    if shape.get("type") == "integer":
        return not ({"maximum", "exclusiveMaximum"} & set(shape)) or not (
            {"minimum", "exclusiveMinimum"} & set(shape)
        )
    return any(unbounded(part) for part in several)


def test_every_number_in_an_address_or_a_form_has_bounds() -> None:
    """A number beyond 64 bits breaks a database's driver; JSON bodies have one bound for all, in web.reading."""
    parts = whole_schema()["components"]["schemas"]
    found = [
        f"{method} {path}: {one['name']}"
        for method, path in routes()
        for one in operation(method, path).get("parameters", [])
        if unbounded(one["schema"])
    ]
    found += [
        f"{name}: {field}"
        for name, shape in parts.items()
        if name.startswith("Body_")
        for field, inner in shape.get("properties", {}).items()
        if unbounded(inner)
    ]
    assert not found, found


@pytest.mark.parametrize("name", ["open_routes.txt", "common_routes.txt"])
def test_a_golden_list_names_only_routes_that_exist(name: str) -> None:
    assert golden(name) <= set(routes())


def test_a_golden_list_gives_a_reason_for_each_route() -> None:
    for name in ("open_routes.txt", "common_routes.txt"):
        for line in Path(GOLDEN / name).read_text("utf-8").splitlines():
            assert not line or line.startswith("#") or "# " in line, f"{name}: no reason for {line}"
