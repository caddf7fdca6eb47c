"""The run form and the run's pages, as a browser without JavaScript sees them: helped, kept, refused with a reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.web.world import World, field
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import ManualClock
from weighthouse.core.work import begin, read
from weighthouse.runs import api as runs
from weighthouse.runs import store
from weighthouse.runs.api import executing
from weighthouse.runs.model import Line, Point
from weighthouse.runs.routes.form import EXAMPLE
from weighthouse.runs.rules.curves import HEIGHT, WIDTH, draw

WREN = "model/wren"
Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture
def world(clock: ManualClock, tmp_path: Path) -> Iterator[World]:
    made = World(clock, tmp_path)
    yield made
    made.system.database.close()


@pytest.fixture
def ada(world: World) -> httpx.Client:
    """Ada, who may train Wren."""
    client = world.browser("ada")
    wanted = {
        "resource": WREN,
        "entitlement": "wren-train",
        "duration": 3_600_000,
        "reason": "A test of the run form.",
    }
    assert world.send(client, "/request", "/request", wanted).status_code == 303
    return client


def send(world: World, client: httpx.Client, files: Files | None = None, **change: Any) -> httpx.Response:
    """Fill the form in as it stands, change some fields, and send it as a browser sends a form with files."""
    page = client.get("/runs/new").text
    chosen = re.search(r'<option value="(sha256:[0-9a-f]{64})"', page)
    assert chosen is not None
    data = {
        "csrf": field(page, "csrf"), "model": WREN, "environment": chosen.group(1), "dataset": "dataset/stdlib",
        "parent": "", "risk": "high", "egress_profile": "none", "command": "python main.py --steps '2 0'",
        "minutes": "10", "name": "main.py", "code": "print(1)\r\n", **change,
    }  # fmt: skip
    sent = files if files is not None else [("files", ("", b""))]
    return client.post("/runs/new", data=data, files=sent, headers={"Origin": world.origin})


def only(world: World) -> runs.Run:
    with read(world.system) as unit:
        (found,) = store.page(unit.conn, owner=None, place=None, limit=10)
    assert found.run is not None
    return found.run


def test_a_run_is_submitted_with_pasted_and_uploaded_code(world: World, ada: httpx.Client) -> None:
    assert "No run yet" in ada.get("/runs").text and 'href="/runs/new"' in ada.get("/runs").text
    uploaded = [("files", ("model.py", b"WIDTH = 8\n")), ("files", ("settings.toml", b"[a]\n"))]
    answer = send(world, ada, uploaded)
    assert answer.status_code == 303, answer.text
    run = only(world)
    assert answer.headers["location"] == f"/runs/{run.id}?done=submitted"
    assert run.order.code == {"main.py": "print(1)\n", "model.py": "WIDTH = 8\n", "settings.toml": "[a]\n"}
    assert run.order.command == ("python", "main.py", "--steps", "2 0") and run.order.parent is None
    shown = ada.get(answer.headers["location"]).text
    assert "Submitted." in shown and "nothing else" in shown and "Run again" in shown
    assert [fact["run"] for fact in world.facts("runs.RunSubmitted")] == [run.id]


@pytest.mark.parametrize(
    ("change", "files", "status", "said"),
    [
        ({"command": "sh -c id"}, None, 400, "begins with &#39;python&#39;"),
        ({"command": "python 'main.py"}, None, 400, "never closed"),
        ({"code": " "}, None, 400, "is empty"),
        ({"name": "../up.py"}, None, 400, "names a file"),
        ({}, [("files", ("main.py", b"x"))], 400, "two files named"),
        ({}, [("files", ("weights.py", b"\xff\xfe"))], 400, "not UTF-8"),
        ({}, [("files", ("weights.bin", b"x"))], 400, "names a file"),
        ({"code": "x" * 200_000}, [("files", ("more.py", b"x" * 100_000))], 400, "larger than"),
        ({"parent": "model/tern"}, None, 400, "core.bad_id"),
        ({"egress_profile": "elsewhere"}, None, 404, "runs.unknown_profile"),
        ({"dataset": "dataset/none"}, None, 404, "runs.no_dataset"),
        ({"model": "model/tern"}, None, 403, "<code>"),
        ({"risk": "none"}, None, 400, "low or high"),
    ],
)
def test_what_is_refused_says_why_keeps_what_was_typed_and_changes_nothing(
    world: World, ada: httpx.Client, change: dict[str, str], files: Files | None, status: int, said: str
) -> None:
    answer = send(world, ada, files, **{"code": "print('kept')", **change})
    assert answer.status_code == status and said in answer.text, answer.text
    assert 'role="alert"' in answer.text and "What you typed is still here" in answer.text
    if "code" not in change:
        assert "print(&#39;kept&#39;)" in answer.text
    for _, (name, _) in files or ():
        assert name in answer.text, "a browser keeps no files, so the page says which to choose again"
    assert world.facts("runs.RunSubmitted") == []


def test_a_form_with_files_needs_the_token_of_the_session_like_any_other(world: World, ada: httpx.Client) -> None:
    eve = world.browser("eve")
    stolen = field(eve.get("/sessions").text, "csrf")
    for token in ("", "guessed", stolen):
        answer = send(world, ada, csrf=token)
        assert answer.status_code == 403 and "web.form_token" in answer.text
    good = field(ada.get("/runs/new").text, "csrf")
    for files in ([("csrf", ("x", good.encode()))], [("files", ("a.py", f'name="csrf"\r\n\r\n{good}'.encode()))]):
        assert send(world, ada, files, csrf="").status_code == 403
    assert world.facts("runs.RunSubmitted") == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.replace(b'; name="model"', b'; name="model"; name="dataset"'),
        lambda body: body.replace(b'name="model"\r\n', b'name="model"\r\nContent-Transfer-Encoding: base64\r\n'),
        lambda body: body.replace(b'name="model"', b"name=model"),
        lambda body: body.replace(b"model/wren", b"model/\x00wren"),
        lambda body: body.replace(b"model/wren", b"model/\xffwren"),
        lambda body: body[:-30],
        lambda body: b"preamble\r\n" + body,
        lambda body: body + b"epilogue",
    ],
)
def test_a_form_with_files_that_has_two_readings_is_not_read(world: World, ada: httpx.Client, spoil: Any) -> None:
    page = ada.get("/runs/new").text
    asked = ada.build_request(
        "POST", "/runs/new", data={"csrf": field(page, "csrf"), "model": WREN}, files=[("files", ("a.py", b"1"))]
    )
    sent = {"Content-Type": asked.headers["content-type"], "Origin": world.origin}
    answer = ada.post("/runs/new", content=spoil(asked.read()), headers=sent)
    assert (answer.status_code, "web.bad_form" in answer.text) == (400, True), answer.text
    assert world.facts("runs.RunSubmitted") == []
    elsewhere = ada.post(f"/runs/{'run_' + '0' * 26}/stop", content=asked.read(), headers=sent)
    assert elsewhere.status_code == 415, "files belong to one form alone"


def test_a_body_beyond_the_limit_is_not_read(world: World, ada: httpx.Client) -> None:
    assert send(world, ada, [("files", ("a.py", b"x" * 3_000_000))]).status_code == 413


def test_who_may_train_nothing_is_led_to_a_request_and_not_into_a_wall(world: World) -> None:
    page = world.browser("gil").get("/runs/new").text
    assert "You may not submit runs to any model yet" in page and 'href="/request?q=train"' in page
    assert "<textarea" not in page


def test_the_example_and_an_earlier_order_fill_the_form(world: World, ada: httpx.Client) -> None:
    assert EXAMPLE.splitlines()[2] in ada.get("/runs/new?example=true").text
    send(world, ada, [("files", ("model.py", b"WIDTH = 8\n"))], risk="low", minutes="30")
    run = only(world)
    page = ada.get(f"/runs/new?again={run.id}").text
    for text in ("WIDTH = 8", "print(1)", "--steps", 'name="more" value="model.py"', 'value="30" selected'):
        assert text in page.replace("&#39;", "'"), text
    assert world.browser("eve").get(f"/runs/new?again={run.id}").status_code == 404
    again = send(world, ada, more="model.py", more_code="WIDTH = 9\r\n")
    assert again.status_code == 303
    with read(world.system) as unit:
        newest = store.page(unit.conn, owner=None, place=None, limit=1)[0].run
    assert newest is not None and newest.order.code["model.py"] == "WIDTH = 9\n"


def running(world: World, ada: httpx.Client) -> str:
    send(world, ada)
    run = only(world).id
    with begin(world.system, SYSTEM) as unit:
        store.change(unit.conn, run, expect=("queued",), state="running")
    return run


def test_long_output_is_paged_from_its_first_line_and_the_page_shows_its_last(
    world: World, ada: httpx.Client
) -> None:
    run = running(world, ada)
    with begin(world.system, SYSTEM) as unit:
        executing.keep_lines(unit, run, [Line("out", f"line {number} end") for number in range(1, 1301)])
        executing.keep_lines(unit, run, [Line("err", "<script>alert(1)</script> \u202e \x1b[2J")])
    page = ada.get(f"/runs/{run}").text
    assert "line 1300 end" in page and "line 1000 end" not in page, "the last lines, not those before the 1000th"
    first, last = ada.get(f"/runs/{run}/output").text, ada.get(f"/runs/{run}/output?after=1000").text
    assert "line 1 end" in first and "line 500 end" in first and "line 501 end" not in first
    assert "1 to 500 of 1301" in first and f"/runs/{run}/output?after=500" in first and 'rel="prev"' not in first
    assert "line 1300 end" in last and 'rel="next"' not in last and f"/runs/{run}/output?after=500" in last
    for text in (page, last):
        assert "<script>alert" not in text and "\u202e" not in text and "\x1b" not in text and "U+202E" in text
    live = ada.get(f"/runs/{run}/live?after=1300").json()
    assert live["lines"] == ["<script>alert(1)</script> ⟦U+202E⟧ ⟦U+001B⟧[2J"] and not live["done"]
    assert world.browser("eve").get(f"/runs/{run}/output").status_code == 404


def test_the_loss_is_drawn_by_the_server_without_style_or_script(world: World, ada: httpx.Client) -> None:
    run = running(world, ada)
    assert "The curve appears after the second report" in ada.get(f"/runs/{run}").text
    with begin(world.system, SYSTEM) as unit:
        for number in range(1, 1500):
            store.add_point(unit.conn, run, Point(0, unit.now, 500, 4_000_000 - number * 1000), 512)
    with read(world.system) as unit:
        kept = store.points_of(unit.conn, run)
    assert 256 <= len(kept) <= 512 and kept[0].loss_micro == 3_999_000 and kept[-1].loss_micro == 2_501_000
    page = ada.get(f"/runs/{run}").text
    assert 'role="img" aria-label="Loss from 3.9990 to 2.5010 over' in page and "<polyline" in page
    assert "style=" not in page.partition('<svg class="curve"')[2].partition("</svg>")[0]
    assert ada.get(f"/runs/{run}/live").json()["curve"].count(",") == len(kept)


def test_a_run_that_is_only_watched_keeps_no_session_from_ending_idle(world: World, ada: httpx.Client) -> None:
    run = running(world, ada)
    assert isinstance(world.clock, ManualClock)
    world.clock.advance(60_000)
    assert ada.get(f"/runs/{run}").status_code == 200  # the last use by a person
    for _ in range(29):
        world.clock.advance(60_000)
        assert ada.get(f"/runs/{run}/live").status_code == 200
    world.clock.advance(60_000)
    assert ada.get(f"/runs/{run}/live").headers["location"].startswith("/sign-in")


@pytest.mark.parametrize("losses", [[1, 2], [5, 5, 5], [-(2**52), 2**52, 0], [3] * 512])
def test_a_curve_never_leaves_its_frame(losses: list[int]) -> None:
    curve = draw([Point(number, 0, 0, loss) for number, loss in enumerate(losses, 1)])
    assert curve is not None and draw([]) is None and draw([Point(1, 0, 0, 1)]) is None
    for pair in curve.line.split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT
