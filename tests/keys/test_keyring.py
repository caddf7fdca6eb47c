"""The key file's passphrase in the operating system's keyring: a real Secret Service, and every way it can be missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from weighthouse.core.errors import Unavailable
from weighthouse.keys.adapters import os_keyring
from weighthouse.keys.adapters.passphrase import read_passphrase

PASSPHRASE = "four random words here"
BUS = """<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""


class Desk:
    """A login: a session bus, a keyring daemon on it, and its folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {**os.environ, "HOME": str(root)}
        for name, folder in (("XDG_RUNTIME_DIR", "run"), ("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "config")):
            (root / folder).mkdir(mode=0o700)
            self.environ[name] = str(root / folder)
        # A bus that starts no service by itself: after a logout nobody answers, rather than a second, locked keyring.
        (root / "bus.conf").write_text(BUS, "utf-8")
        self.bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={root / 'bus.conf'}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self.environ,
        )  # fmt: skip
        assert self.bus.stdout is not None
        self.address = self.environ["DBUS_SESSION_BUS_ADDRESS"] = self.bus.stdout.readline().strip()
        self.daemon: subprocess.Popen[bytes] | None = None

    def unlock(self) -> None:
        """Start the keyring as a login does, with the password of the login."""
        self.daemon = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environ,
        )  # fmt: skip
        assert self.daemon.stdin is not None
        self.daemon.stdin.write(b"password of the login")
        self.daemon.stdin.close()
        assert self.daemon.stdout is not None
        self.daemon.stdout.readline()  # it prints its control folder once it is ready

    def lock(self) -> None:
        """End the keyring, as a logout does."""
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(10)
            assert self.daemon.stdout is not None
            self.daemon.stdout.close()
            self.daemon = None

    def close(self) -> None:
        self.lock()
        self.bus.terminate()
        self.bus.wait(10)
        assert self.bus.stdout is not None
        self.bus.stdout.close()

    def weighthouse(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("weighthouse")), *map(str, arguments)],
            env={**self.environ, "WEIGHTHOUSE_KEYS_SCRYPT_COST": "1024"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    made = Desk(tmp_path)
    made.unlock()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", made.address)
    yield made
    made.close()


def refused(state: Path) -> str:
    with pytest.raises(Unavailable) as caught:
        read_passphrase("", state)
    assert caught.value.code == "keys.keyring"
    assert "--passphrase-file" in caught.value.remedy
    return caught.value.message


@pytest.mark.parametrize("address", ["", "unix:path=/nowhere/at/all", "nonsense"])
def test_without_a_keyring_the_answer_is_no_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    refused(tmp_path)
    with pytest.raises(Unavailable) as caught:
        os_keyring.remember(tmp_path, PASSPHRASE)
    assert caught.value.code == "keys.keyring"
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    refused(tmp_path)


def test_a_passphrase_file_is_taken_before_the_keyring_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE, "utf-8")
    path.chmod(0o600)
    assert read_passphrase(str(path), tmp_path) == PASSPHRASE


@pytest.mark.real_keyring
def test_the_keyring_gives_back_what_it_was_given_after_a_new_login(desk: Desk) -> None:
    state, other = desk.root / "state", desk.root / "other"
    os_keyring.remember(state, "an older passphrase")
    os_keyring.remember(state, PASSPHRASE)
    assert read_passphrase("", state) == PASSPHRASE
    assert "0 passphrases" in refused(other)
    desk.lock()
    refused(state)
    desk.unlock()
    assert read_passphrase("", state) == PASSPHRASE
    for path in (desk.root / "data").rglob("*"):
        assert not path.is_file() or PASSPHRASE.encode() not in path.read_bytes()


@pytest.mark.real_keyring
def test_what_is_no_text_in_the_keyring_is_refused_by_name(desk: Desk) -> None:
    import secretstorage

    with closing(secretstorage.dbus_init()) as connection:
        collection = secretstorage.collection.get_collection_by_alias(connection, "default")
        collection.create_item("another", os_keyring._attributes(desk.root), b"\xff\xfe", replace=True)
    assert "not text" in refused(desk.root)


@pytest.mark.real_keyring
def test_a_system_is_made_and_opened_with_the_keyring_and_not_without(desk: Desk) -> None:
    state, file = desk.root / "state", desk.root / "passphrase"
    file.write_text(PASSPHRASE, "utf-8")
    file.chmod(0o600)
    made = desk.weighthouse("init", "--state", state, "--passphrase-file", file, "--keyring")
    assert made.returncode == 0, made.stderr
    assert "Keep a copy" in made.stdout
    file.unlink()
    opened = desk.weighthouse("init", "--state", state, "--show-accounts")
    assert opened.returncode == 0, opened.stderr
    for path in state.rglob("*"):
        assert not path.is_file() or PASSPHRASE.encode() not in path.read_bytes()
    desk.lock()
    locked = desk.weighthouse("init", "--state", state, "--show-accounts")
    assert locked.returncode != 0
    assert "keys.keyring" in locked.stderr
    assert "Traceback" not in locked.stderr
