"""What an operator does beside the server: the fork ceremony over a state folder, and a witness as its own process."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from tests.app.kept import PASSPHRASE, REASON, State
from tests.audit.support import Lab, Noted, bind_log
from tests.audit.test_witness import submission

from weighthouse.app.initialise import load_settings, reopen
from weighthouse.audit import api as audit
from weighthouse.audit.rules import note as notes
from weighthouse.cli import exits, main
from weighthouse.core.caller import SYSTEM, Assurance, Caller
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy
from weighthouse_sdk.client import DeviceKey


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> State:
    return State(tmp_path, monkeypatch, capsys)


def test_init_prints_the_key_that_auditors_and_witnesses_need(state: State, tmp_path: Path) -> None:
    made = ["--state", str(tmp_path / "other"), "--passphrase-file", str(state.passphrase)]
    assert main.run(["init", *made]) == exits.OK
    told = state.printed()
    keys = [notes.parse_key(line) for line in told.splitlines() if line.startswith("  weighthouse.local/log+")]
    settings, home = load_settings({}, state=tmp_path / "other")
    system = reopen(settings, home, PASSPHRASE)
    assert [key.text() for key in keys] == list(audit.keys(system)) != []
    system.database.close()


def set_back(state: State) -> tuple[int, int]:
    """Restore a backup that lacks the newest entry; return how many were signed, and how many are there."""
    there = state.grow()
    shutil.copyfile(state.database, state.backup)
    signed = state.grow()
    state.restore()
    return signed, there


def test_case_11_a_restored_backup_goes_on_only_by_the_ceremony(state: State) -> None:
    signed, there = set_back(state)
    with pytest.raises(Exception, match="already signed"):
        state.opened()
    status, told = state.ceremony("--reason", REASON, typed=f"accept {there} of {signed}")
    assert status == exits.OK, told
    assert f"The database holds {there} log entries, but this signer has already signed {signed}" in told
    system = state.opened()
    with read(system) as unit:
        (fact,) = audit.entries(unit, kind="audit.ForkAccepted")
        assert audit.reveal(unit, fact)["reason"] == REASON
    assert (fact.data["signed_size"], fact.data["found_size"]) == (signed, there)
    assert audit.verify(system).ok
    system.database.close()


@pytest.mark.parametrize("typed", ["yes", "", "accept", "ACCEPT {there} OF {signed}", "accept {signed} of {there}"])
def test_anything_but_the_very_words_changes_nothing(state: State, typed: str) -> None:
    signed, there = set_back(state)
    before = state.database.read_bytes()
    answer = typed.format(signed=signed, there=there) or " "
    status, told = state.ceremony("--reason", REASON, typed=answer)
    assert (status, "Code: app.not_confirmed" in told) == (exits.REFUSED, True)
    assert state.database.read_bytes() == before


def test_a_reason_is_asked_for_and_must_say_something(state: State) -> None:
    signed, there = set_back(state)
    assert "Code: app.bad_reason" in state.ceremony(typed=f"oops\naccept {there} of {signed}")[1]
    assert state.ceremony(typed=f"{REASON}\naccept {there} of {signed}")[0] == exits.OK


def test_who_a_restored_backup_has_locked_out_is_mended_by_the_operator_alone(state: State) -> None:
    system = state.opened()
    with begin(system) as unit:
        identity.freeze(unit, "chi", "on leave", SYSTEM)
        identity.thaw(unit, "chi", "back again", SYSTEM)
    system.database.close()
    there = state.grow()
    shutil.copyfile(state.database, state.backup)
    system = state.opened()
    with begin(system) as unit:  # an honest change of hers, which the backup does not hold
        identity.end_sessions_of(unit, "chi", "signed out everywhere", SYSTEM)
    system.database.close()
    signed = state.grow()
    state.restore()
    assert state.ceremony("--reason", REASON, typed=f"accept {there} of {signed}")[0] == exits.OK
    chosen = ["chi", "--state", str(state.root), "--passphrase-file", str(state.passphrase)]
    assert frozen(state, "chi")
    assert main.run(["sessions", "mend", *chosen, "--reason", "restored last night"]) == exits.OK
    assert not frozen(state, "chi")
    assert main.run(["sessions", "mend", *chosen, "--reason", "once more"]) != exits.OK


def frozen(state: State, person: str) -> bool:
    system = state.opened()
    try:
        with read(system) as unit:
            return identity.person(unit, person).frozen
    finally:
        system.database.close()


def test_the_first_key_of_a_lab_is_confirmed_by_the_operator_who_names_it(state: State) -> None:
    system = state.opened()
    with begin(system, SYSTEM) as unit:
        device, mark = enrol_first(unit, "chi")
    system.database.close()
    chosen = ["chi", device, "--state", str(state.root), "--passphrase-file", str(state.passphrase)]
    for key, status in (("another", exits.REFUSED), (mark, exits.OK)):
        assert main.run(["devices", "confirm-first", *chosen, "--key", key, "--reason", "seen in person"]) == status
    system = state.opened()
    with read(system) as unit:
        lines = audit.entries(unit, kind="identity.DeviceConfirmed")
    system.database.close()
    assert [(one.data["principal"], one.data["by"]) for one in lines] == [("chi", "system")]


def enrol_first(unit: Unit, person: str) -> tuple[str, str]:
    """Enrol a key as its owner would, who has just signed in; return its id and its thumbprint."""
    key = DeviceKey.generate()
    account = sorted(policy.accounts_of(policy.current(unit).lab, person))[0]
    caller = Caller(
        principal=PrincipalId(person), kind="person", account=account,
        assurance=Assurance(2, unit.now, "test"), binding="none",
    )  # fmt: skip
    act = identity.Act(type="device.enrol", subject=key.thumbprint)
    identity.factor_given(unit, caller, [act], method="test", at=unit.now)
    return identity.enrol_device(unit, caller, key.jwk, "laptop").id, key.thumbprint


def test_there_is_no_ceremony_where_nothing_has_forked(state: State) -> None:
    state.grow()
    status, told = state.ceremony("--reason", REASON)
    assert (status, "Code: app.no_fork" in told) == (exits.CONFLICT, True)


def test_a_wrong_passphrase_holds_no_ceremony(state: State) -> None:
    set_back(state)
    state.passphrase.write_text("another passphrase")
    status, told = state.ceremony("--reason", REASON)
    assert status != exits.OK and "Code: keys.passphrase" in told


@pytest.mark.parametrize("missing", [False, True], ids=["set back", "its memory gone"])
def test_an_edited_entry_is_never_accepted(state: State, missing: bool) -> None:
    signed, there = set_back(state)
    engine = create_engine(f"sqlite:///{state.database}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE log_entry SET leaf = CAST('{}' AS BLOB) WHERE idx = 0"))
    engine.dispose()
    if missing:
        (state.root / "memory" / "log").unlink()
    status, told = state.ceremony("--reason", REASON, typed=f"accept {there} of {signed}")
    assert (status, "Code: app.log_damaged" in told) == (exits.UNREACHABLE, True), told


class Process:
    """`weighthouse audit witness` as its operator starts it, ended by its own id."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "weighthouse.cli", "audit", "witness", "--state", str(folder), "--port", "0"]
        self._process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._status: int | None = None
        assert self._process.stdout and self._process.stderr
        self.key = self._process.stdout.readline().strip()
        self.said = self._process.stderr.readline()
        self.url = self.said.split("http://")[-1].split("/.")[0] if "http://" in self.said else ""

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://{self.url}/add-checkpoint", body, {"Content-Type": "text/plain"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    def end(self) -> tuple[int, str]:
        if self._status is not None:
            return self._status, self.said
        if self._process.poll() is None and self.key:
            self._process.send_signal(signal.SIGTERM)
        assert self._process.stdout and self._process.stderr
        self.said += self._process.stderr.read()
        self._status = self._process.wait(timeout=30)
        self._process.stdout.close()
        self._process.stderr.close()
        return self._status, self.said


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start witnesses, and end each that the test leaves running."""
    made: list[Process] = []

    def begun(folder: Path, *arguments: str) -> Process:
        made.append(Process(folder, *arguments))
        return made[-1]

    yield begun
    for one in made:
        one.end()


@pytest.fixture
def log(system: System, tmp_path: Path) -> Lab:
    return Lab(bind_log(system, tmp_path))


def test_a_witness_remembers_across_its_own_restart(log: Lab, start: Start, tmp_path: Path) -> None:
    log.write(*(Noted(number=n) for n in range(4)))
    early = submission(log, 0)
    log.write(Noted(number=9))
    vkey = tmp_path / "log.vkey"
    vkey.write_text("\n".join(audit.keys(log.system)) + "\n")
    first = start(tmp_path / "witness", "--log", str(vkey), "--name", "w.example")
    status, line = first.add_checkpoint(submission(log, 0))
    assert status == 200 and line.decode().startswith("\u2014 w.example ")
    busy = start(tmp_path / "witness", "--log", str(vkey))
    status, told = busy.end()
    assert status == exits.CONFLICT and "app.witness_running" in told
    assert first.end()[0] == exits.OK
    second = start(tmp_path / "witness", "--log", str(vkey), "--name", "w.example")
    assert notes.parse_key(second.key) == notes.parse_key(first.key)
    assert second.add_checkpoint(early)[0] == 409
    assert second.end()[0] == exits.OK


def test_a_witness_key_that_others_can_read_is_not_used(log: Lab, start: Start, tmp_path: Path) -> None:
    (key,) = audit.keys(log.system)[:1]
    assert start(tmp_path / "witness", "--log", key).end()[0] == exits.OK
    file = tmp_path / "witness" / "key"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    status, told = start(tmp_path / "witness", "--log", key).end()
    assert status != exits.OK and "app.witness_key" in told
    assert "app.no_log_key" in start(tmp_path / "other", "--log", "absent.vkey").end()[1]
    assert "audit.malformed" in start(tmp_path / "other", "--log", "no+key").end()[1]
