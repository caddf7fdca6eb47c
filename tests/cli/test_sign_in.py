"""Signing in at a terminal: a session bound to this machine's key, kept for its owner only, and gone after logout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
from tests.cli.conftest import Terminal

from weighthouse.app import doctor
from weighthouse.app.truth import LogTold
from weighthouse.cli import audit, exits

At = Callable[[str], Terminal]


def test_nobody_is_signed_in_at_first(at: At) -> None:
    ada = at("ada")
    ada.run("whoami", status=exits.SIGN_IN)
    assert "weighthouse login" in ada.said
    assert "cli.not_signed_in" in ada.said


def test_sign_in_look_and_sign_out(at: At) -> None:
    ada = at("ada").sign_in()
    me = ada.json("whoami")
    assert me["principal"] == "ada"
    assert me["binding"] == "dpop"
    assert [one["current"] for one in ada.json("sessions")["items"]].count(True) == 1
    ada.run("logout")
    ada.run("whoami", status=exits.SIGN_IN)


def home_of(terminal: Terminal) -> Path:
    return Path(terminal._environment["WEIGHTHOUSE_HOME"])


def test_key_and_session_are_readable_by_their_owner_only(at: At) -> None:
    home = home_of(at("chi").sign_in())
    assert home.stat().st_mode & 0o077 == 0
    (key,) = home.glob("device-127.0.0.1-*.pem")
    assert {path.name: path.stat().st_mode & 0o077 for path in home.iterdir()} == {
        key.name: 0,
        "logs.json": 0,
        "nonces.json": 0,
        "sessions.json": 0,
    }


def test_a_copied_session_file_opens_nothing_without_the_key(at: At) -> None:
    """Case: somebody copies the file with the token to another machine, which has a key of its own."""
    dee, thief = at("dee").sign_in(), at("eve")
    home_of(thief).mkdir(mode=0o700)
    shutil.copy(home_of(dee) / "sessions.json", home_of(thief) / "sessions.json")
    thief.run("whoami", status=exits.SIGN_IN)
    assert "Code: identity." in thief.said


def test_a_broken_sessions_file_is_named(at: At) -> None:
    fay = at("fay").sign_in()
    (home_of(fay) / "sessions.json").write_text("{")
    fay.run("whoami", status=exits.REFUSED)
    assert "cli.bad_sessions_file" in fay.said


def test_a_server_that_does_not_answer_is_unreachable(at: At) -> None:
    gil = at("gil").sign_in()
    kept = json.loads((home_of(gil) / "sessions.json").read_text())
    (only,) = kept["servers"].values()
    (home_of(gil) / "sessions.json").write_text(json.dumps({"current": "", "servers": {"http://127.0.0.1:9": only}}))
    gil.run("--server", "http://127.0.0.1:9", "whoami", status=exits.UNREACHABLE)
    assert "client.unreachable" in gil.said


def test_a_token_never_leaves_over_plain_http(at: At) -> None:
    at("ada").run("--server", "http://weighthouse.lab", "login", "--headless", status=exits.REFUSED)


def test_no_password_is_taken_from_the_command_line(at: At) -> None:
    at("ada").run("login", "--headless", "--password", "x", status=exits.USAGE)


def test_a_wrong_password_is_refused(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    eve = at("eve")
    eve._environment["WEIGHTHOUSE_PASSWORD"] = "wrong"
    eve.run("login", "--headless", status=exits.REFUSED)
    eve.run("whoami", status=exits.SIGN_IN)


def test_a_key_is_enrolled_listed_and_ended(at: At) -> None:
    ben = at("ben").sign_in()
    ben.run("devices", "enrol", "--name", "Ben's laptop")
    (device,) = [one for one in ben.json("devices")["items"] if one["name"] == "Ben's laptop"]
    ben.run("devices", "end", device["id"])
    ben.run("devices", status=exits.SIGN_IN)
    assert "identity.session_ended" in ben.said  # the session of that very key went with it
    assert device["id"] not in at("ben").sign_in().run("devices", "-o", "json")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--retired"], "Nothing is said against"),
        (["--since", "2026-01-02T03:04"], "since 2026-01-02 03:04 UTC is taken back"),
        ([], "in the week before it ended is taken back"),
    ],
)
def test_a_key_is_ended_as_retired_or_as_stolen_and_not_both(at: At, words: list[str], said: str) -> None:
    ben = at("ben").sign_in()
    ben.run("devices", "enrol", "--name", "old")
    (device,) = [one for one in ben.json("devices")["items"] if one["name"] == "old"]
    ben.run("devices", "end", device["id"], "--retired", "--since", "2026-01-02", status=exits.USAGE)
    ben.run("devices", "end", device["id"], *words)
    assert said in ben.said
    ben.run("devices", status=exits.SIGN_IN)


def test_another_persons_key_is_confirmed_with_ones_own_over_what_they_read_out(at: At) -> None:
    ben, chi = at("ben").sign_in(), at("chi").sign_in()
    ben.run("devices", "enrol", "--name", "laptop")
    theirs = ben.json("devices")["items"][-1]
    confirm = ("devices", "confirm", theirs["id"], "--of", "ben")
    chi.run(*confirm, status=exits.USAGE)
    chi.run(*confirm, "--key", theirs["thumbprint"], status=exits.REFUSED)
    assert "identity.device_unknown" in chi.said, "a session and a factor confirm nothing without a key"
    chi.run("devices", "enrol", "--name", "desk")
    chi.run(*confirm, "--key", theirs["thumbprint"][::-1], status=exits.REFUSED)
    assert "identity.bad_signature" in chi.said
    chi.run(*confirm, "--key", theirs["thumbprint"])
    assert f"Confirmed {theirs['id']}" in chi.said


def test_a_session_of_this_program_says_so_in_the_list(at: At) -> None:
    ada = at("ada").sign_in()
    shown = [one["user_agent"] for one in ada.json("sessions")["items"] if one["current"]]
    assert shown == [f"weighthouse-cli/{version('weighthouse')}"]


def test_the_account_of_a_login_is_the_one_of_its_step_up(at: At) -> None:
    """Nobody types ahead and no variable names the account: it was said once, and is kept with the session."""
    ben = at("ben")
    account = ben._environment.pop("WEIGHTHOUSE_ACCOUNT")
    ben.run("login", "--headless", "--account", account, "--enrol", "laptop")
    assert "Enrolled this machine's key" in ben.said
    ben.run("login", "--headless", "--step-up")
    ben._environment["WEIGHTHOUSE_ACCOUNT"] = "somebody-else"  # of another sign-in, in the same shell
    ben.run("login", "--headless", "--step-up")
    assert ben.json("whoami")["principal"] == "ben"


def test_an_empty_log_is_called_empty() -> None:
    scan = {"place": 0, "rounds": 3}
    assert audit._told(0, 2, scan) == ["The log is empty: it holds no entry yet, and 2 wait to join it."]
    assert "entry 4" in audit._told(9, 0, {"place": 4, "rounds": 1})[1]
    told = LogTold(process=1, started="1", looked=0.0, size=0, rounds=3, place=0, problems=[])
    assert doctor.how_whole(told) == "empty: it holds no entry yet"
    assert "now at entry 0;" in doctor.how_whole(msgspec.structs.replace(told, size=9))
