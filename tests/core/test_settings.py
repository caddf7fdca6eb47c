"""One precedence, every value's source, and a wrong name or type refused with the nearest valid one."""

from __future__ import annotations

from pathlib import Path

import pytest

from weighthouse.core import variables
from weighthouse.core.errors import Invalid
from weighthouse.core.settings import Settings


def test_flag_beats_environment_beats_project_beats_user_beats_default(tmp_path: Path) -> None:
    user, project = tmp_path / "user.toml", tmp_path / "weighthouse.toml"
    user.write_text('state = "/u"\n[server]\nport = 1001\naddress = "127.0.0.2"\n')
    project.write_text("[server]\nport = 1002\n")
    environ = {"WEIGHTHOUSE_SERVER_PORT": "1003", "WEIGHTHOUSE_MODE": "demo"}
    settings = Settings(flags={"server.port": 1004, "mode": None}, environ=environ, project=project, user=user)
    found = {row.name: (row.value, row.source) for row in settings.explain()}
    assert found["server.port"] == ("1004", "flag")
    assert found["mode"] == ("demo", "environment WEIGHTHOUSE_MODE")
    assert found["server.address"] == ("127.0.0.2", str(user))
    assert found["database.url"] == ("", "default")
    assert settings.path("state") == Path("/u")


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("[server]\nprot = 1\n", "core.unknown_setting", "server.port"),
        ('[server]\nport = "high"\n', "core.bad_setting", "0 to 65535"),
        ("[server]\nport = true\n", "core.bad_setting", "0 to 65535"),
        ("[server]\nport = 70000\n", "core.bad_setting", "0 to 65535"),
        ('[server]\nport = "--5"\n', "core.bad_setting", "0 to 65535"),
        ('[server]\nport = "²"\n', "core.bad_setting", "0 to 65535"),
        ('[server]\nport = "' + "9" * 5000 + '"\n', "core.bad_setting", "0 to 65535"),
        ('mode = "prod"\n', "core.bad_setting", "demo or development or production"),
        ("[server\n", "core.bad_settings_file", "weighthouse.toml"),
    ],
)
def test_a_wrong_file_is_refused_with_what_was_expected(tmp_path: Path, text: str, code: str, hint: str) -> None:
    path = tmp_path / "weighthouse.toml"
    path.write_text(text)
    with pytest.raises(Invalid) as caught:
        Settings(project=path)
    assert caught.value.code == code
    assert hint in caught.value.message + caught.value.remedy


def test_a_secret_is_never_shown() -> None:
    settings = Settings(flags={"database.url": "postgresql+psycopg://u:hunter2@h/db"})
    assert all("hunter2" not in row.value for row in settings.explain())


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("WEIGHTHOUSE_SERVER_PROT", "WEIGHTHOUSE_SERVER_PORT"),
        ("WEIGHTHOUSE_DATABSE_URL", "WEIGHTHOUSE_DATABASE_URL"),
        ("WEIGHTHOUSE_server_port", "WEIGHTHOUSE_SERVER_PORT"),
        ("WEIGHTHOUSE_XYZZY", ""),
        ("WEIGHTHOUSE_SERVRE", "WEIGHTHOUSE_SERVER"),
        ("WEIGHTHOUSE_", ""),
    ],
)
def test_a_mistyped_variable_is_refused_as_a_mistyped_line_of_a_file_is(variable: str, near: str) -> None:
    with pytest.raises(Invalid) as caught:
        Settings(environ={variable: "8999"})
    assert caught.value.code == "core.unknown_setting" and f"'{variable}'" in caught.value.message
    assert f"Did you mean '{near}'?" in caught.value.remedy if near else "Did you mean" not in caught.value.remedy
    assert near == "" or Settings(environ={near: "8999"}).explain()  # the remedy, followed


def test_variables_that_others_read_are_left_alone() -> None:
    ours = [variables.PREFIX + name for names in variables.OTHERS.values() for name in names]
    kubernetes = ["PORT", "PORT_8040_TCP", "PORT_8040_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP"]
    environ = dict.fromkeys([*ours, *(variables.PREFIX + name for name in kubernetes), "HOME", "_WEIGHTHOUSE_X"], "1")
    assert {row.source for row in Settings(environ=environ).explain()} == {"default"}
