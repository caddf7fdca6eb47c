"""The main job at terminals, against a served control plane: ask, approve twice, explain, verify, hold, lift.

One story, told in order: each test goes on where the one before it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Terminal
from tests.web.world import World

from weighthouse.cli import exits

TOLD: dict[str, Any] = {}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.fixture
def seat(world: World, home: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Seat a person; they sign in and enrol their key the first time, with one second factor for both."""

    def sit(person: str) -> Terminal:
        terminal = Terminal(world, person, home, capsys)
        if not (home / person).exists():
            terminal.run("login", "--headless", "--enrol", f"{person}'s machine")
        return terminal

    yield sit


def test_1_a_researcher_finds_the_narrowest_role(seat: Any) -> None:
    ada = seat("ada")
    found = ada.json("search", "tern")
    assert found["items"][0]["resource"] == "model/tern"
    ranks = [(role["broad"], role["danger"], role["excess"]) for role in found["roles"]]
    assert ranks == sorted(ranks) and len(ranks) > 1
    assert "tern-train" in {role["entitlement"] for role in found["roles"]}
    why = ada.json("why", "weights.load", "model/tern")
    assert why["allowed"] is False
    assert why["remedy"]


def test_2_she_asks_and_is_told_what_is_missing(seat: Any) -> None:
    ada = seat("ada")
    ada.run("request", "new", "tern-train", "model/tern", "--for", "9d", "--reason", "too long", status=exits.REFUSED)
    assert "Code: access." in ada.said
    TOLD["request"] = ada.run(
        "request", "new", "tern-train", "model/tern", "--for", "2h", "--reason", "Continue the ablation of run 12"
    ).strip()
    assert "waits for" in ada.said
    (row,) = ada.json("request", "list")["items"]
    assert (row["id"], row["state"]) == (TOLD["request"], "pending")
    shown = ada.run("request", "show", TOLD["request"])
    assert "Continue the ablation of run 12" in shown


def test_3_she_cannot_approve_it_herself(seat: Any) -> None:
    ada = seat("ada")
    digest = ada.json("request", "show", TOLD["request"])["digest"]
    ada.run("review", "approve", TOLD["request"], "--digest", digest, status=exits.REFUSED)
    assert "access.self_approval" in ada.said


def test_4_without_a_terminal_nothing_is_approved_unread(seat: Any) -> None:
    ben = seat("ben")
    ben.run("review", "approve", TOLD["request"], status=exits.USAGE)
    ben.run("review", "approve", TOLD["request"], "--digest", "sha256:" + "0" * 64, status=exits.CONFLICT)
    assert "cli.card_changed" in ben.said


@pytest.mark.parametrize("approver", ["ben", "chi"])
def test_5_two_people_approve_what_they_have_read(seat: Any, approver: str) -> None:
    terminal = seat(approver)
    (card,) = [one for one in terminal.json("review")["items"] or [] if one["request"]["id"] == TOLD["request"]]
    assert "Continue the ablation of run 12" in terminal.run("review", "show", TOLD["request"])
    terminal.run("review", "approve", TOLD["request"], "--digest", card["digest"])
    assert "Your vote" in terminal.said


def test_6_the_grant_stands_and_is_explained(seat: Any) -> None:
    ada = seat("ada")
    (grant,) = ada.json("grant", "list")["items"]
    assert grant["state"] == "active"
    TOLD["grant"] = grant["id"]
    why = ada.json("why", "run.submit", "model/tern")
    assert why["allowed"] is True
    assert why["grant"] == grant["id"]
    outside = ada.json("why", "weights.load", "model/tern")
    assert outside["reasons"][0]["code"] == "access.outside_run"
    assert "weighthouse run submit" in outside["remedy"]
    assert "ada" in seat("chi").run("who", "model/tern")


def test_7_a_table_is_for_people(seat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = seat("ada").run("grant", "list", "-o", "table")
    assert TOLD["grant"] in shown
    assert "(in 1 h 59 min)" in shown or "(in 2 h)" in shown


def test_8_an_auditor_reads_proves_and_verifies(seat: Any, tmp_path: Path) -> None:
    fay = seat("fay")
    (entry,) = fay.json("audit", "log", "--kind", "access.GrantStarted")["items"]
    assert entry["subject"] == TOLD["grant"]
    fay.run("audit", "prove", str(entry["index"]), "-o", str(tmp_path / "proof"))
    fay.run("audit", "export", str(tmp_path / "log"))
    fay.run("audit", "verify", str(tmp_path / "log"))
    key = str(tmp_path / "log" / "log.vkey")
    fay.run("audit", "verify", str(tmp_path / "log"), "--key", key, "--proof", str(tmp_path / "proof"))
    assert "GrantStarted" in fay.run("audit", "show", str(entry["index"]))
    assert fay.json("audit", "head")["size"] > entry["index"]


def test_8_an_edited_byte_of_the_export_is_named(seat: Any, tmp_path: Path) -> None:
    fay = seat("fay")
    fay.run("audit", "export", str(tmp_path / "log"))
    bundle = next(
        path for path in sorted((tmp_path / "log").rglob("*")) if "entries" in path.parts and path.is_file()
    )
    data = bytearray(bundle.read_bytes())
    at = data.index(b"ada")
    data[at : at + 3] = b"eve"
    bundle.write_bytes(data)
    report = json.loads(fay.run("audit", "verify", str(tmp_path / "log"), "-o", "json", status=exits.CHECK_FAILED))
    assert report["problems"]


def test_9_an_export_never_overwrites(seat: Any, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    seat("fay").run("audit", "export", str(tmp_path), status=exits.CONFLICT)


def test_9_who_may_not_read_the_log_is_told_so(seat: Any) -> None:
    eve = seat("eve")
    eve.run("audit", "log", status=exits.REFUSED)
    assert "Code: access." in eve.said


def test_10_security_freezes_a_person_and_nothing_works_for_them(seat: Any) -> None:
    chi, ada = seat("chi"), seat("ada")
    chi.run("sessions", "freeze", "ada", "--reason", "Her laptop was reported stolen.")
    ada.run("grant", "list", status=exits.SIGN_IN)
    assert "ada" in {one["id"] for one in chi.json("sessions", "people")["items"] if one["frozen"]}
    assert [one["id"] for one in chi.json("sessions", "frozen")["items"] if one["frozen_reason"]] == ["ada"]
    chi.run("sessions", "thaw", "ada", "--reason", "The laptop was found.")
    assert chi.json("why", "run.submit", "model/tern", "--person", "ada")["allowed"] in (True, False)


def test_11_a_hold_stops_the_lab_until_it_is_lifted(seat: Any) -> None:
    chi = seat("chi")
    place = ("hold", "place", "model/tern", "--reason", "Odd reads last night.", "-o", "table")
    assert "No hold stands." in chi.run("hold", "list", "-o", "table")
    chi.run(*place, typed="n\n", status=exits.INTERRUPTED)
    assert "It is on model/tern and on what was made from it." in chi.said
    assert "No hold stands." in chi.run("hold", "list", "-o", "table")
    hold = chi.json("hold", "place", "model/tern", "--reason", "Odd reads last night.")
    assert hold["id"] in {one["id"] for one in chi.json("hold", "list")["items"]}
    assert "It has stopped nothing so far." in chi.run("hold", "show", hold["id"], "-o", "table")
    assert chi.json("hold", "show", hold["id"])["stopped"] == 0
    asked = ("request", "new", "tern-train", "model/tern", "--for", "1h", "--reason", "To go on with it.")
    seat("eve").run(*asked, status=exits.REFUSED)
    shown = chi.json("hold", "show", hold["id"])
    assert (shown["stopped"], [one["by"] for one in shown["items"]]) == (1, ["eve"])
    chi.run("hold", "lift", hold["id"], "--reason", "It was the nightly evaluation.")
    assert hold["id"] not in chi.run("hold", "list")


def test_12_the_committee_holds_a_release_and_only_a_quorate_vote_lifts_it(seat: Any) -> None:
    gil, hana = seat("gil"), seat("hana")
    assert len(gil.json("committee", "seats")["seats"]) == 3
    assert gil.json("committee", "hold", "model/tern", "--reason", "Open criticals.")["held"] is True
    motion = gil.json("committee", "lift", "model/tern", "--text", "The criticals are closed.")
    name, digest = motion["motion"]["id"], motion["digest"]
    gil.run("committee", "vote", name, "for", "--digest", "sha256:" + "1" * 64, status=exits.CONFLICT)
    gil.run("committee", "vote", name, "for", "--digest", digest)
    gil.run("committee", "close", name, status=exits.CONFLICT)
    assert gil.json("committee", "status", "model/tern")["held"] is True
    hana.run("committee", "vote", name, "for", "--digest", digest)
    assert gil.json("committee", "close", name)["outcome"] == "carried"
    assert gil.json("committee", "status", "model/tern")["held"] is False
    assert name in gil.run("committee", "motions")


def test_13_lists_of_the_other_nouns_answer(seat: Any) -> None:
    ada, chi, fay, kim = seat("ben"), seat("chi"), seat("fay"), seat("kim")
    assert {one["id"] for one in ada.json("weights", "models")["items"]} >= {"model/tern"}
    ada.run("run", "list")
    assert "lab" in ada.run("egress", "budgets")
    ada.run("egress", "allowed")
    assert chi.json("alerts")["items"] == []
    assert kim.json("redteam", "list")["items"]
    kim.run("redteam", "results", status=exits.CHECK_FAILED)
    fay.run("policy", "show")
    assert fay.run("weights", "show", "nonsense", status=exits.REFUSED) == ""


def test_14_a_policy_is_checked_before_it_is_published(seat: Any, tmp_path: Path, world: World) -> None:
    from weighthouse.app.initialise import EXAMPLE_LAB

    dee = seat("dee")
    text = EXAMPLE_LAB.read_text("utf-8")
    (tmp_path / "lab.yaml").write_text(text)
    assert dee.json("policy", "check", str(tmp_path / "lab.yaml"))["difference"] == []
    digest = dee.json("policy", "show")["digest"]
    assert dee.run("policy", "text", digest) == (tmp_path / "lab.yaml").read_text("utf-8")
    dee.run("policy", "text", "sha256:" + "0" * 64, status=exits.REFUSED)
    assert "policy.no_such_text" in dee.said
    dee.run("policy", "text", "../policy", status=exits.USAGE)
    (tmp_path / "bad.yaml").write_text(text.replace("entitlements:", "entitlments:", 1))
    dee.run("policy", "check", str(tmp_path / "bad.yaml"), status=exits.REFUSED)
    assert "bad.yaml" in dee.said
    assert "Code: policy." in dee.said


def test_15_step_by_step_asks_everything_before_it_sends_anything(seat: Any) -> None:
    eve = seat("eve")
    eve.run("request", status=exits.USAGE)
    shown = eve.run("request", typed="tern\n1\n1\n1h\nRead one checkpoint for the comparison\nn\n")
    assert "model/tern" in shown
    assert eve.json("request", "list")["items"] == []
    eve.run("request", typed="tern\n1\n1\n1h\nRead one checkpoint for the comparison\ny\n")
    (TOLD["second"],) = [one["id"] for one in eve.json("request", "list")["items"]]


def test_16_at_a_terminal_the_card_is_shown_before_the_question(seat: Any) -> None:
    ben = seat("ben")
    shown = ben.run("review", "approve", TOLD["second"], typed="n\n", status=exits.INTERRUPTED)
    assert "Read one checkpoint for the comparison" in shown
    assert ben.json("review", "show", TOLD["second"])["votes"] == []
    ben.run("review", "deny", TOLD["second"], "--comment", "Use the small one.", typed="y\n")
    assert seat("eve").json("request", "show", TOLD["second"])["request"]["state"] == "denied"
