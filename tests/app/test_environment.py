"""The environment is not believed: homes, proxies, locales, addresses, ports, broken packages, folders that are not there."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.serving import PASSPHRASE
from weighthouse.app import provider
from weighthouse.app.home import SOCKET_LIMIT, Home
from weighthouse.app.initialise import load_settings
from weighthouse.app.origin import check_address, origin, with_port
from weighthouse.cli import exits
from weighthouse.core import written
from weighthouse.core.errors import Invalid, Unavailable
from weighthouse.runs.adapters.ground import own_environment
from weighthouse_sdk.client import Client, DeviceKey
from weighthouse_sdk.errors import SdkError

CLEAN = {"PATH": os.environ.get("PATH", ""), "WEIGHTHOUSE_KEYS_SCRYPT_COST": "1024"}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.touch(mode=0o600)
    path.write_text(PASSPHRASE)
    return path


def weighthouse(
    *arguments: str, prefix: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "weighthouse.cli", *arguments]
    return subprocess.run(
        command, env={**CLEAN, **environment}, capture_output=True, encoding="utf-8", timeout=120, check=False
    )


def test_a_user_without_a_name_or_home_can_init_and_is_told_what_a_sign_in_needs(
    tmp_path: Path, secret: Path
) -> None:
    nobody_knows = ("unshare", "--user", "--map-user=54321")
    made = weighthouse("init", "--state", str(tmp_path / "s"), "--passphrase-file", str(secret), prefix=nobody_knows)
    assert made.returncode == 0, made.stderr
    told = weighthouse("whoami", prefix=nobody_knows)
    assert told.returncode == exits.REFUSED and "cli.no_home" in told.stderr
    assert written.configuration_folder({"HOME": "/h", "XDG_CONFIG_HOME": "here"}) == Path("/h/.config")


class Counted(http.server.BaseHTTPRequestHandler):
    """Notes every path that it is asked for, as a proxy or as the host itself."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def listening() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (Counted,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://[bad", "proxy", "http://127.0.0.1:9"])
def test_proxies_of_the_environment_are_neither_used_nor_able_to_stop_a_start(
    listening: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    url, asked = listening
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    settings, _ = load_settings({}, state=tmp_path)
    with provider.http_client(settings, url) as client:
        assert client.get(url + "/keys").status_code == 404
    sdk = Client(url, DeviceKey.load_or_make(tmp_path / "device.pem"))
    with pytest.raises(SdkError) as refused:
        sdk.get("me")
    assert refused.value.code != "client.unreachable"
    sdk.close()
    assert asked[0] == "/keys" and len(asked) == 2


def test_a_proxy_that_is_set_is_used_but_never_for_this_machine(
    listening: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = listening
    settings, _ = load_settings({"identity.proxy": url}, state=tmp_path)
    with provider.http_client(settings, "http://issuer.example") as client:
        assert client.get("http://issuer.example/keys").status_code == 404
    assert asked == ["http://issuer.example/keys"]
    for host in ("127.0.0.1", "localhost", "[::1]"):
        with (
            provider.http_client(settings, f"http://{host}:1") as client,
            pytest.raises(Exception, match=r"refused|assign"),
        ):
            client.get(f"http://{host}:1/")
    assert len(asked) == 1
    with pytest.raises(Invalid) as refused:
        provider.http_client(settings.changed(identity__proxy="socks5://x:1"), url)
    assert refused.value.code == "app.bad_proxy"


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}]
)
def test_no_byte_depends_on_the_locale(tmp_path: Path, secret: Path, locale: dict[str, str]) -> None:
    lab = tmp_path / "lab.yaml"
    example = Path("src/weighthouse/app/lab.yaml").resolve().read_text("utf-8")
    lab.write_bytes(("# Zürich, Łódź, 東京\n" + example).encode())
    state = tmp_path / "Zürich"
    done = weighthouse("init", "--state", str(state), "--lab", str(lab), "--passphrase-file", str(secret), **locale)
    assert done.returncode == 0, done.stderr
    assert (state / "lab.yaml").read_bytes() == lab.read_bytes()
    assert str(state) in done.stdout


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("::1", "http://[::1]:"),
        ("[::1]", "http://[::1]:"),
        ("localhost", "http://localhost:"),
    ],
)
def test_any_address_of_this_machine_is_listened_on_and_port_0_prints_the_real_one(
    tmp_path: Path, secret: Path, address: str, expected: str
) -> None:
    state = str(tmp_path / "state")
    assert weighthouse("init", "--state", state, "--passphrase-file", str(secret)).returncode == 0
    command = [
        sys.executable,
        "-u",
        "-m",
        "weighthouse.cli",
        "serve",
        "--state",
        state,
        "--passphrase-file",
        str(secret),
    ]
    with subprocess.Popen(
        [*command, "--address", address, "--port", "0"],
        env=CLEAN,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            url = re.findall(r"serves (\S+) from", process.stdout.readline())[0]
            assert url.startswith(expected) and not url.endswith(":0")
            key = DeviceKey.load_or_make(tmp_path / "device.pem")
            with Client(url, key) as client, pytest.raises(SdkError) as refused:
                client.get("me")
            assert refused.value.code.startswith("identity."), refused.value
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0, process.stderr.read()


def test_a_name_is_not_listened_on(tmp_path: Path) -> None:
    settings, _ = load_settings({"server.address": "lab.example"}, state=tmp_path)
    with pytest.raises(Invalid) as refused:
        check_address(settings)
    assert refused.value.code == "app.bad_address"
    free = with_port(settings.changed(server__address="::1", server__port=0))
    assert free.integer("server.port") > 0 and origin(free).startswith("http://[::1]:")


def test_a_broken_package_beside_ours_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = own_environment().digest
    for name, files in (("cut-1.0.dist-info", {}), ("odd.dist-info", {"METADATA": b"\xff\xfe\x00"})):
        folder = tmp_path / name
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert own_environment().digest != whole
    version = subprocess.run(
        [sys.executable, "-m", "weighthouse.cli", "--version"], env={**CLEAN, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "weighthouse" in version.stdout


def test_paths_of_sockets_are_counted_in_bytes_and_have_somewhere_short_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = Path("/tmp") / ("ü" * 26)
    assert len(str(deep / "sockets")) < SOCKET_LIMIT < len(os.fsencode(deep / "sockets")), "else this shows nothing"
    assert len(os.fsencode(Home(deep).sockets)) <= SOCKET_LIMIT
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    home = Home(tmp_path / ("deep" * 30))
    assert home.sockets.parent == Path("/tmp")


def test_sockets_that_cannot_be_made_are_a_no_with_its_own_name(tmp_path: Path) -> None:
    home = Home(tmp_path / ("deep" * 30))
    home.make()
    home.sockets.touch()
    with pytest.raises(Unavailable) as refused:
        home.make_sockets()
    home.sockets.unlink()
    assert refused.value.code == "app.no_sockets"


def test_what_is_missing_here_has_an_exit_of_its_own(tmp_path: Path, secret: Path) -> None:
    state = str(tmp_path / "state")
    for command in ("serve", "doctor"):
        done = weighthouse(command, "--state", state)
        assert done.returncode == (exits.NO_SYSTEM if command == "serve" else exits.CHECK_FAILED), done.stderr
    assert weighthouse("init", "--state", state, "--passphrase-file", str(secret)).returncode == 0
    secret.write_text("quite another passphrase")
    done = weighthouse("serve", "--state", state, "--passphrase-file", str(secret))
    assert done.returncode == exits.KEYS_CLOSED and "keys.passphrase" in done.stderr
