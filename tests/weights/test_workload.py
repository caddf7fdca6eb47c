"""A run's own SDK over a Unix socket: token by socket, save, load, lease renewal, refusals with the server's codes.

The bridge stands where the run's gate stands: it hands each request to the real broker as the run whose socket it
is, door and routes; what a header says of another run is nothing. Only the token's source is the test's.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import numpy
import pytest
from fastapi import FastAPI, Request
from tests.weights.lent import Lent
from tests.weights.world import TERN, World, arrays

from weighthouse.access import api as access
from weighthouse.core.clock import HOUR, SECOND
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.policy import api as policy
from weighthouse.runs.routes.broker import Broker
from weighthouse.runs.rules.refusals import Refusals
from weighthouse.web.door import ConsoleDoor
from weighthouse.web.problems import to_problem
from weighthouse.weights import api as weights
from weighthouse.weights.routes import workload as routes
from weighthouse_sdk import workload as sdk
from weighthouse_sdk.errors import CheckpointError, Refused


class Bridge(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path, app: Any, run: str) -> None:
        self.client = httpx.Client(
            transport=InProcess(app.of(run, Refusals(200))), base_url="http://control.weighthouse"
        )
        self.run = run
        super().__init__(str(path), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Bridge

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kept = {name: value for name, value in self.headers.items() if name in ("Authorization", "Content-Type")}
        reply = self.server.client.post(self.path, content=body, headers={**kept, "x-weighthouse-run": new_id("run")})
        self.send_response(reply.status_code)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, *_: Any) -> None: ...


def application(world: World, tokens: dict[str, str]) -> Any:
    app = FastAPI()
    app.include_router(routes.router)
    app.state.door = ConsoleDoor(world.system, None, "http://control.weighthouse", lambda *_: None)  # type: ignore[arg-type]

    @app.exception_handler(WeighthouseError)
    def refused(request: Request, error: WeighthouseError) -> Any:
        return to_problem(request.scope, error)

    @app.post("/workload/v1/token")
    def token(request: Request) -> dict[str, str]:
        return {"token": tokens[request.scope["weighthouse.run"]]}

    return Broker(app)


def lender_of(world: World, run: str, short: Path, out: Path) -> Lent:
    made = Lent(short / f"{run[-6:]}.lent", out)
    weights.lenders(world.system).keep(run, made.process)
    return made


class Inside:
    """A run with its socket and folders, as its sandbox shows them."""

    def __init__(self, world: World, short: Path, person: str = "ada") -> None:
        self.world, self.run = world, new_id("run")
        attributes = {
            "person": person,
            "account": policy.account_ref("dev", person),
            "environment": "frontier",
            "sandbox": "gvisor",
        }
        with begin(world.system) as unit:
            token = identity.issue_workload(unit, run=self.run, attributes=attributes, expires=unit.now + 8 * HOUR)
        self.path = short / f"{self.run[-6:]}.sock"
        self.bridge = Bridge(self.path, application(world, {self.run: token}), self.run)
        threading.Thread(target=self.bridge.serve_forever, args=(0.02,), daemon=True).start()
        out = world.state / "objects" / "runs" / self.run
        out.mkdir(parents=True, exist_ok=True)
        self.lender = lender_of(world, self.run, short, out)
        self.workload = sdk.Workload(self.path, lender=self.lender.client)

    def close(self) -> None:
        self.lender.close()
        self.bridge.shutdown()
        self.bridge.server_close()


@pytest.fixture
def inside(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    world.grant("ada", "tern-train")
    made = Inside(world, tmp_path_factory.mktemp("s"))
    yield made
    made.close()


def test_a_run_saves_and_loads_back_through_its_socket(inside: Inside) -> None:
    parent = inside.workload.save(TERN, arrays(), metadata={"steps": "10"})
    assert parent["counter"] == 1
    mine = {name: numpy.zeros_like(array) for name, array in arrays().items()}
    loaded = inside.workload.load(parent["id"], into=mine)
    assert loaded is mine
    assert all((loaded[name] == array).all() for name, array in arrays().items())
    child = inside.workload.save(TERN, arrays(2), parent=parent["id"])
    assert child["parent"] == {"version": parent["id"], "digest": parent["digest"]}
    assert child["run"] == inside.run
    assert child["person"] == "ada"


def test_a_refusal_reaches_the_run_with_the_servers_code_and_remedy(inside: Inside) -> None:
    with pytest.raises(Refused) as caught:
        inside.workload.load("ver_" + "0" * 26)
    assert (caught.value.code, caught.value.status) == ("weights.no_version", 404)
    assert caught.value.remedy
    with pytest.raises(Refused) as caught:
        inside.workload.save("model/none", arrays())
    assert caught.value.code == "weights.no_model"


def test_a_token_is_worth_nothing_through_another_runs_socket(
    inside: Inside, world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    version = inside.workload.save(TERN, arrays())
    thief = Inside(world, tmp_path_factory.mktemp("t"), person="eve")
    try:
        thief.workload._token = inside.workload._token
        with pytest.raises(Refused) as caught:
            thief.workload.load(version["id"])
        assert caught.value.code == "identity.workload_elsewhere"
        thief.workload._token = None
        with pytest.raises(Refused) as caught:
            thief.workload.load(version["id"])
        assert caught.value.status == 403
    finally:
        thief.close()


def test_weights_case_28_a_load_renews_its_lease_and_stops_when_access_says_no(inside: Inside, world: World) -> None:
    version = inside.workload.save(TERN, arrays())
    with world.unit(caller := _caller(world, inside)) as unit:
        ticket = weights.begin_load(unit, caller, version["id"])
    lease = sdk.Lease(inside.workload, ticket.lease, 0)  # half of its time is over
    world.clock.advance(30 * SECOND)
    lease.check()
    lease.check()
    chi = world.person("chi")
    with world.unit(chi) as unit:
        grants = access.who_has(unit, chi, TERN)
        held = next(each.grant for each in grants if each.grant is not None)
        access.revoke(unit, chi, held, "The laptop was stolen.")
    late = sdk.Lease(inside.workload, ticket.lease, 0)
    with pytest.raises(Refused) as caught:
        late.check()
    assert caught.value.status == 403


def _caller(world: World, inside: Inside) -> Any:
    inside.workload._bearer()
    from weighthouse.core.work import read

    with read(world.system) as unit:
        credential = identity.Credential(
            kind="workload", value=str(inside.workload._token), proof=inside.run, method="POST", url="", address=""
        )
        return identity.authenticate(unit, credential)


def test_a_socket_that_nobody_answers_is_a_plain_refusal(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        sdk.Workload(tmp_path / "missing").load("ver_x")
    assert caught.value.code == "workload.unreachable"


@pytest.mark.parametrize("save", ["../x", "/x", "", ".", "a/b", "A", "x" * 65, "a\0"])
def test_weights_case_31_a_save_named_like_a_path_is_refused(save: str) -> None:
    from weighthouse_sdk import checkpoint

    document = {"save": save, "version": "v", "tenant": "t", "model": "m", "keys": []}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.parse_save(document)
    assert caught.value.code == "checkpoint.ticket"
