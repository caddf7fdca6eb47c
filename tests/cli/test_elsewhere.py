"""One person, two servers. The attacker runs the second one, and brings to the first what was signed at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Terminal
from tests.cli.test_sign_in import home_of
from tests.web.world import World

from weighthouse.cli import exits, known
from weighthouse.identity import api as identity
from weighthouse_sdk.client import Client, DeviceKey, ProblemError
from weighthouse_sdk.errors import SdkError

At = Callable[[str], Terminal]


class Second:
    """A server of the attacker's that shows whatever it likes, and keeps what is sent to it."""

    def __init__(self) -> None:
        self.me: dict[str, Any] = {}
        self.devices: list[dict[str, Any]] = []
        self.got: dict[str, dict[str, Any]] = {}
        second = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
                pass

            def _answer(self, value: object) -> None:
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                listed = {"items": second.devices, "next": None}
                self._answer(listed if "/devices" in self.path else second.me)

            def do_POST(self) -> None:
                second.got[self.path] = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self._answer({"ok": 1})

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


@pytest.fixture
def second() -> Iterator[Second]:
    made = Second()
    yield made
    made.close()


def shows(second: Second, me: dict[str, Any], audience: str | None) -> None:
    """The second server says that it is the caller's, with their device of the first, and names an audience."""
    second.me = {name: said for name, said in {**me, "audience": audience}.items() if said is not None}


def signed_in_at(second: Second, home: Path) -> None:
    kept = json.loads((home / "sessions.json").read_text())
    kept["servers"][second.url] = {"token": "wht_there", "person": "chi"}
    (home / "sessions.json").write_text(json.dumps(kept))


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises((ProblemError, SdkError)) as error:
        act()
    return error.value.code


@pytest.fixture
def chi(world: World, at: At) -> Terminal:
    made = at("chi").sign_in()
    made.run("devices", "enrol", "--name", "desk")
    return made


def first_server(world: World, home: Path) -> Client:
    """Chi's session as a program of hers has it, or whoever made it at the provider."""
    token = json.loads((home / "sessions.json").read_text())["servers"][world.origin]["token"]
    return Client(world.origin, DeviceKey.load_or_make(known.key_file(home, world.origin)), token=token)


def test_what_the_command_line_signs_at_a_second_server_confirms_nothing_at_the_first(
    world: World, chi: Terminal, at: At, second: Second
) -> None:
    home = home_of(chi)
    real = first_server(world, home)
    thief = at("ben").sign_in()
    thief.run("devices", "enrol", "--name", "the thief's")
    theirs = thief.json("devices")["items"][-1]
    signed_in_at(second, home)
    key = theirs["thumbprint"]
    command = ("--server", second.url, "devices", "confirm", theirs["id"], "--of", "ben", "--key", key)
    for audience, code in ((identity.audience(world.system), "client.other_server"), (None, "client.no_audience")):
        shows(second, real.get("me"), audience)
        chi.run(*command, status=exits.REFUSED)
        assert code in chi.said and second.got == {}
    log = "A" * 43
    shows(second, real.get("me"), f"{second.url}#{log}")  # an honest name of its own: signed, and worth nothing here
    chi.run(*command)
    (body,) = second.got.values()
    path = f"people/ben/devices/{theirs['id']}/confirm"
    assert refusal(lambda: real.post(path, body)) == "identity.bad_signature"
    assert known.key_file(home, second.url) != known.key_file(home, world.origin)
    assert known.log_of(home, second.url) == log


def test_what_a_program_signs_with_one_key_at_a_second_server_opens_nothing_at_the_first(
    world: World, chi: Terminal, second: Second
) -> None:
    real = first_server(world, home_of(chi))
    hold = real.post("holds", {"subject": "ada", "reason": "Bulk reads are seen and looked at."})["id"]
    there = Client(second.url, real.key, token="wht_there")
    shows(second, real.get("me"), identity.audience(world.system))
    assert refusal(lambda: there.opening("hold.lift", hold)) == "client.other_server"
    shows(second, real.get("me"), f"{second.url}#{real.audience().partition('#')[2]}")
    body = {"reason": "A test's hold.", **there.opening("hold.lift", hold)}
    assert refusal(lambda: real.post(f"holds/{hold}/lift", body)) == "identity.bad_signature"
    assert hold in [one["id"] for one in real.get("holds")["items"]]
    there.close()
    chi.run("hold", "lift", hold, "--reason", "It is explained.")


def test_the_one_key_of_earlier_versions_goes_to_the_server_where_it_was_used(
    world: World, chi: Terminal, second: Second
) -> None:
    home = home_of(chi)
    own, mark = known.key_file(home, world.origin), chi.json("devices")["items"][-1]["thumbprint"]
    own.rename(home / "device.pem")
    chi.run("--server", second.url, "devices", status=exits.SIGN_IN)  # no session: nothing is moved
    assert (home / "device.pem").exists()
    assert chi.json("devices")["items"][-1]["thumbprint"] == mark
    assert own.exists() and not (home / "device.pem").exists() and f"it lies in {own}" in chi.said
    own.rename(home / "device.pem")
    signed_in_at(second, home)
    chi.run("devices", status=exits.CONFLICT)
    assert "cli.key_shared" in chi.said and own.name in chi.said and not own.exists()
    (home / "device.pem").rename(own)  # as the remedy says
    chi.run("devices")


def test_another_log_at_a_known_address_is_refused_until_somebody_reads_out_its_mark(
    world: World, at: At, chi: Terminal
) -> None:
    home = home_of(chi)
    mark = known.log_of(home, world.origin)
    assert (
        mark == identity.audience(world.system).partition("#")[2] == chi.json("whoami")["audience"].partition("#")[2]
    )
    (home / known.LOGS).write_text(json.dumps({world.origin: "B" * 43}))
    chi.run("login", "--headless", status=exits.REFUSED)
    assert "client.other_log" in chi.said and known.log_of(home, world.origin) == "B" * 43
    chi.run("login", "--headless", "--log", "C" * 43, status=exits.REFUSED)
    assert known.log_of(home, world.origin) == "B" * 43
    chi.run("login", "--headless", "--log", mark)
    assert known.log_of(home, world.origin) == mark
    (home / known.LOGS).write_text("{")
    chi.run("whoami", status=exits.CONFLICT)
    assert "cli.bad_logs_file" in chi.said
