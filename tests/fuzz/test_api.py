"""Schemathesis over the application's own OpenAPI: whatever it invents, by whoever sends it, is answered as promised.

Promised is: no server error; a refusal is an RFC 9457 problem with a stable, documented code; what the schema forbids
is refused, what it allows is never refused for its shape; an answer has the shape, type and status that the schema
says; a method that is not there is a 405 that names the others; and nobody gets in without a session.

`make test` sends a few cases to each operation, as nobody and as one of four people in turn, the same every time.
WEIGHTHOUSE_EXAMPLES (make soak) sets how many, each as everybody, and adds every boundary of every parameter.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from tests.fuzz.conftest import House
from tests.house import source
from tests.house.application import schema
from tests.house.test_doors import golden

CASES = int(os.environ.get("WEIGHTHOUSE_EXAMPLES", "2"))
PEOPLE = {"nobody": "", "researcher": "ada", "security": "chi", "auditor": "fay", "committee": "gil"}
API = schemathesis.openapi.from_dict(schema())
OPERATIONS = {found.ok().label: found.ok() for found in API.get_all_operations()}
# It ends the session that the other cases use; the identity tests try it.
LEFT_OUT = {"POST /api/v1/logout"}
# These hang on a part that this world does not have, and say so.
MISSING_PARTS = {"POST /api/v1/attacks/run": "core.part_missing"}
# The door's own judgement of a request's shape: what the schema allows must pass it.
SHAPE = re.compile(r"web\.(bad_address|bad_form|bad_json|doubled_header|invalid_body|media_type|unknown_parameter)")
REFERENCE = source.ROOT / "docs" / "reference" / "errors"
pytestmark = [pytest.mark.timeout(3000), *([pytest.mark.soak] if CASES > 2 else [])]


class People:
    """Somebody's session for each kind of person, begun again when a case has ended it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._headers = {kind: house.headers(person) if person else {} for kind, person in PEOPLE.items()}
        self._line = requests.Session()
        self._line.trust_env = False

    def send(self, kind: str, case: Case) -> Response:
        answer = self._send(kind, case)
        if answer.status_code == 401 and PEOPLE[kind] and not case.path.startswith(("/workload/", "/api/v1/token")):
            self._headers[kind] = self.house.headers(PEOPLE[kind])
            answer = self._send(kind, case)
        return answer

    def _send(self, kind: str, case: Case) -> Response:
        self._line.cookies.clear()
        return case.call(
            base_url=self.house.origin, session=self._line, headers=self._headers[kind], allow_redirects=False
        )

    def close(self) -> None:
        self._line.close()


@pytest.fixture(scope="module")
def people(house: House) -> Iterator[People]:
    made = People(house)
    yield made
    made.close()


@pytest.fixture(scope="module")
def known(house: House) -> dict[str, list[str]]:
    """Ids that name something, by the parameter that takes them, so that cases get past "there is no such thing"."""
    ada = house.headers("ada")

    def ask(entitlement: str, resource: str) -> dict[str, Any]:
        wanted = {"entitlement": entitlement, "resource": resource, "duration": 3_600_000, "reason": "To be fuzzed."}
        made = requests.post(house.origin + "/api/v1/requests", json=wanted, headers=ada, timeout=20)
        assert made.status_code == 201, made.text
        return dict(made.json())

    waiting = ask("tern-load", "model/tern")["id"]
    ask("wren-train", "model/wren")
    grants = requests.get(house.origin + "/api/v1/grants", headers=ada, timeout=20).json()["items"]
    people = ["eve", "kim"]
    return {"request_id": [waiting], "grant_id": [grants[0]["id"]], "person": people, "index": ["0", "3"]}


def codes() -> set[str]:
    """Every error code that the reference explains."""
    return {code for page in REFERENCE.glob("*.md") for code in re.findall(r"^## `([^`]+)`", page.read_text(), re.M)}


DOCUMENTED = codes()


def judge(kind: str, case: Case, answer: Response) -> None:
    """Fail if the answer is not what the schema and the reference promise."""
    problem: dict[str, Any] = answer.json() if answer.status_code >= 400 and case.method != "HEAD" else {}
    code = str(problem.get("code", ""))
    told = f"{kind}: {case.method} {case.formatted_path} → {answer.status_code} {answer.content[:400]!r}"
    if answer.status_code >= 500:
        assert answer.status_code == 503 and MISSING_PARTS.get(case.operation.label) == code, told
    if problem:
        assert answer.headers["content-type"] == ["application/problem+json"], told
        assert code in DOCUMENTED and problem["type"] == f"urn:weighthouse:error:{code}", told
        assert problem["status"] == answer.status_code and problem["detail"] and problem["remedy"], told
    if kind == "nobody" and answer.status_code < 400:
        method, path = case.operation.label.split(" ")
        assert (method, path) in golden("open_routes.txt"), f"let in: {told}"
    allowed = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if allowed and answer.status_code != 405 and not _fraction(case.body):
        assert not SHAPE.fullmatch(code), f"the schema allows it: {told}"
    case.validate_response(answer, checks=CHECKS)


CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
]


def _fraction(value: object) -> bool:
    """JSON Schema calls 524.0 an integer. Here it is none: what may be signed has whole numbers only (RFC 8785)."""
    if isinstance(value, dict):
        return any(map(_fraction, value.values()))
    return any(map(_fraction, value)) if isinstance(value, list) else isinstance(value, float)


def name_something(case: Case, known: dict[str, list[str]]) -> None:
    """Let half of the cases that fit name something that exists."""
    parameters = case.path_parameters or {}
    chance = zlib.crc32(repr(sorted(parameters.items())).encode())
    if case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE and chance % 2:
        for name in set(parameters) & set(known):
            parameters[name] = known[name][chance // 2 % len(known[name])]


def senders(case: Case) -> list[str]:
    """Everybody when there is time; else nobody, and one of the others in turn."""
    if CASES > 2:
        return list(PEOPLE)
    return ["nobody", list(PEOPLE)[1 + zlib.crc32(repr((case.path_parameters, case.body)).encode()) % 4]]


def tries() -> list[Any]:
    """What the schema allows, and what it forbids where it forbids anything."""
    found = []
    for label in sorted(OPERATIONS):
        method, path = label.split(" ")
        said = schema()["paths"][path][method.lower()]
        takes = "parameters" in said or "requestBody" in said
        modes = (("allowed", GenerationMode.POSITIVE), ("forbidden", GenerationMode.NEGATIVE))
        found += [pytest.param(label, mode, id=f"{word}-{label}") for word, mode in modes[: 1 + takes]]
    return [one for one in found if one.values[0] not in LEFT_OUT]


@pytest.mark.parametrize(("label", "mode"), tries())
def test_every_operation_keeps_its_promises(
    house: House, people: People, known: dict[str, list[str]], label: str, mode: GenerationMode
) -> None:
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(
        max_examples=CASES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    def attempt(case: Case) -> None:
        name_something(case, known)
        for kind in senders(case):
            judge(kind, case, people.send(kind, case))

    house.surprised()
    attempt()
    assert house.surprised() == []


@pytest.mark.soak
@pytest.mark.parametrize("kind", [kind for kind in PEOPLE if PEOPLE[kind]])
def test_every_boundary_of_every_parameter(house: House, tmp_path: Path, kind: str) -> None:
    """Schemathesis' own coverage phase: each limit, each missing part, each method that an address does not have."""
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(schema()), "utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(described), "--url", house.origin]
    command += ["--phases", "coverage", "--continue-on-failure", "--checks", "all", "--generation-deterministic"]
    # Whether allowed data is acceptable is the rooms' to judge; that the door accepts it is tried above.
    command += ["--exclude-checks", "positive_data_acceptance"]
    # A missing session cannot be told from one that the headers below add, and the last path ends it.
    command += ["--exclude-path-regex", "^/workload/|/attacks/run$|/logout$"]
    for name, value in house.headers(PEOPLE[kind]).items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=1500)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert house.surprised() == []
