"""Witnesses: they cosign a log that only grows, and nothing else; their quorum outlives a stolen log key."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.support import Lab, Noted, verifier
from weighthouse.audit import api
from weighthouse.audit.adapters.witness_http import HttpWitness, PolicyWitnesses
from weighthouse.audit.adapters.witness_server import WitnessDesk, server
from weighthouse.audit.api.signing import sign_checkpoint
from weighthouse.audit.ports import Witnesses
from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules import quorum, witnessing
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.errors import Invalid
from weighthouse.core.work import read


class Ring:
    """Three witnesses with HTTP servers, and the quorum policy that names them."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.closed: set[int] = set()
        logs = [notes.parse_key(key) for key in api.keys(lab.system)]
        self.desks = [
            WitnessDesk(
                folder / f"w{n}",
                f"w{n}.example",
                Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32),
                logs,
                ManualClock(),
            )
            for n in (1, 2, 3)
        ]
        self.servers = [server(desk, ("127.0.0.1", 0)) for desk in self.desks]
        for one in self.servers:
            threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
        self.policy = folder / "policy"
        lines = [f"log {key}" for key in api.keys(lab.system)]
        for n, (desk, one) in enumerate(zip(self.desks, self.servers, strict=True), 1):
            lines.append(f"witness w{n} {desk.key.text()} http://127.0.0.1:{one.server_address[1]}/")
        self.policy.write_text("\n".join([*lines, "group most 2 w1 w2 w3", "quorum most", ""]))
        lab.system.bind(Witnesses, PolicyWitnesses(self.policy))

    def close(self, *which: int) -> None:
        for n in which or (0, 1, 2):
            if n not in self.closed:
                self.closed.add(n)
                self.servers[n].shutdown()
                self.servers[n].server_close()


@pytest.fixture
def ring(lab: Lab, tmp_path: Path) -> Iterator[Ring]:
    made = Ring(lab, tmp_path)
    yield made
    made.close()


def submission(lab: Lab, old: int, note: str | None = None) -> bytes:
    head = lab.head()
    with read(lab.system) as unit:
        proof = api.consistency(unit, old, head.size)
    return witnessing.format_submission(old, proof, note or str(head.checkpoint))


def test_witnesses_cosign_a_growing_log_and_the_quorum_verifies_offline(ring: Ring, tmp_path: Path) -> None:
    lab = ring.lab
    lab.many(300)
    assert [answer.cosigned for answer in api.ask_witnesses(lab.system)] == [True] * 3
    lab.many(40)
    assert all(answer.cosigned and answer.size == 340 for answer in api.ask_witnesses(lab.system))
    lab.many(5)
    folder = lab.export(tmp_path / "log")
    done = verifier(folder, "--witness-policy", ring.policy)
    assert done.returncode == 0, done.stdout
    assert "witnesses vouch for the first 340 entries; the last 5 wait" in done.stdout
    proof = tmp_path / "p"
    proof.write_text(lab.prove(17))
    assert verifier(folder, "--proof", proof, "--witness-policy", ring.policy).returncode == 0
    proof.write_text(lab.prove(342))  # too new to be cosigned
    done = verifier(folder, "--proof", proof, "--witness-policy", ring.policy)
    assert done.returncode == 1 and "quorum" in done.stdout


def test_a_witness_that_is_away_is_asked_again_later(ring: Ring, tmp_path: Path) -> None:
    lab = ring.lab
    lab.many(3)
    ring.close(2)
    answers = api.ask_witnesses(lab.system)
    assert [answer.cosigned for answer in answers] == [True, True, False]
    assert verifier(lab.export(tmp_path / "log"), "--witness-policy", ring.policy).returncode == 0


def test_case_11_a_witness_refuses_a_log_that_lost_its_tail(ring: Ring, caplog: pytest.LogCaptureFixture) -> None:
    lab = ring.lab
    lab.many(10)
    api.ask_witnesses(lab.system)
    short = sign_checkpoint(lab.system, 7, bytes(32), 1)
    caplog.clear()
    for old, status in ((10, 400), (7, 409), (0, 409)):
        assert ring.desks[0].add_checkpoint(witnessing.format_submission(old, [], short))[0] == status
    told = [record.getMessage() for record in caplog.records]
    assert told == ["refused weighthouse.local/log with 409: it has 7 entries, and had 10"] * 2
    caplog.clear()
    lab.many(1)
    api.ask_witnesses(lab.system)
    assert caplog.records == [], "a round in which a log that grows asks where the witness stands alarms nobody"


def test_case_11_and_14_a_fork_is_refused_shouted_about_and_put_on_record(
    ring: Ring, caplog: pytest.LogCaptureFixture
) -> None:
    lab = ring.lab
    lab.many(10)
    api.ask_witnesses(lab.system)
    desk = ring.desks[0]
    split = sign_checkpoint(lab.system, 10, b"\x05" * 32, 1)  # the same size, another root: a split view
    assert desk.add_checkpoint(witnessing.format_submission(10, [], split))[0] == 422
    longer = sign_checkpoint(lab.system, 12, b"\x06" * 32, 1)
    assert desk.add_checkpoint(witnessing.format_submission(10, [bytes(32)] * 4, longer))[0] == 422
    # The witness has meanwhile seen a longer history under the same key than this log holds.
    other = sign_checkpoint(lab.system, 90, b"\x07" * 32, 1)
    desk._persist("weighthouse.local/log", other)
    caplog.clear()
    assert [answer.cosigned for answer in api.ask_witnesses(lab.system)] == [False, True, True]
    (fact,) = lab.entries(kind="audit.WitnessRefused")
    assert (fact.subject, fact.data["size"]) == ("w1", 90)
    assert [record.levelname for record in caplog.records if record.name == "weighthouse.audit"] == ["CRITICAL"]


def test_case_15_a_thief_of_the_log_key_does_not_get_past_the_quorum(ring: Ring, tmp_path: Path) -> None:
    lab = ring.lab
    lab.many(20)
    api.ask_witnesses(lab.system)
    folder = lab.export(tmp_path / "log")
    # He rewrites history and signs it with the real key: everything fits but the cosignatures.
    from weighthouse.audit.rules import tiles, tree

    forged = [b'{"forged":%d}' % n for n in range(20)]
    growth = tiles.grow(tiles.Edge(), [tree.leaf_hash(leaf) for leaf in forged])
    (folder / "tile/entries/000.p/20").write_bytes(tiles.pack_bundle(forged))
    (folder / "tile/0/000.p/20").write_bytes(growth.tiles[0, 0])
    (folder / "checkpoint").write_text(sign_checkpoint(lab.system, 20, growth.edge.root(), 1))
    assert verifier(folder, "--key", api.keys(lab.system)[0]).returncode == 0
    done = verifier(folder, "--witness-policy", ring.policy)
    assert done.returncode == 1 and "checkpoint.cosigned" in done.stdout and "forked" in done.stdout
    (folder / "checkpoint.cosigned").unlink()
    done = verifier(folder, "--witness-policy", ring.policy)
    assert done.returncode == 1 and "the quorum of witnesses has not cosigned it" in done.stdout


def test_the_protocol_answers_as_the_specification_says(ring: Ring) -> None:
    lab, desk = ring.lab, ring.desks[0]
    lab.many(5)
    good = submission(lab, 0)
    other = lab.head().checkpoint or ""
    unknown = other.replace("weighthouse.local/log", "example.com/unknown")
    unsigned = other.replace(other.rsplit(" ", 1)[1], "AAAAAAAA" + other.rsplit(" ", 1)[1][8:])
    spoilt = other[:-6] + ("A" if other[-6] != "A" else "B") + other[-5:]
    cases = [
        (b"", 400),
        (good.replace(b"old 0", b"old 00"), 400),
        (good.replace(b"old 0", b"new 0"), 400),
        (good.replace(b"old 0", b"old 6"), 400),
        (good.replace(b"old 0\n", b"old 0\nAAAA\n"), 400),
        (good.replace(b"old 0\n", b"old 0\n" + b"A" * 43 + b"=\n" * 1), 422),
        (good.replace(b"old 0\n", b"old 0\n" + (b"A" * 43 + b"=\n") * 64), 400),
        (b"old 0\n\n" + unknown.encode(), 404),
        (b"old 0\n\n" + unsigned.encode(), 403),
        (b"old 0\n\n" + spoilt.encode(), 403),
        (good.replace(b"old 0", b"old 3"), 409),
    ]
    for body, status in cases:
        assert desk.add_checkpoint(body)[0] == status, (status, body[:40])
    status, kind, body = desk.add_checkpoint(good.replace(b"old 0", b"old 3"))
    assert (status, kind, body) == (409, "text/x.tlog.size", b"0\n")
    assert desk.add_checkpoint(good)[0] == 200
    assert desk.add_checkpoint(submission(lab, 5))[0] == 200  # the same checkpoint again is no fork
    assert desk.add_checkpoint(good)[2] == b"5\n"


def test_the_empty_log_has_one_root_only(ring: Ring) -> None:
    from weighthouse.audit.rules.checkpoint import Checkpoint
    from weighthouse.audit.rules.tree import EMPTY_ROOT
    from weighthouse.core.signing import Signers

    desk, signer = ring.desks[0], ring.lab.system.part(Signers).signer("log")
    key = notes.parse_key(api.keys(ring.lab.system)[0])
    for root, status in ((bytes(32), 422), (EMPTY_ROOT, 200)):
        text = Checkpoint("weighthouse.local/log", 0, root).text()
        note = notes.Note(text, (notes.Signature(key.name, key.id, signer.sign(text.encode())),))
        assert desk.add_checkpoint(witnessing.format_submission(0, [], str(note)))[0] == status


def test_the_witness_remembers_across_restarts_and_serves_monitors(ring: Ring, tmp_path: Path) -> None:
    import hashlib
    import http.client

    lab = ring.lab
    lab.many(5)
    api.ask_witnesses(lab.system)
    again = WitnessDesk(
        tmp_path / "w1",
        "w1.example",
        Ed25519PrivateKey.from_private_bytes(b"\x01" * 32),
        [notes.parse_key(key) for key in api.keys(lab.system)],
        ManualClock(),
    )
    assert again.add_checkpoint(submission(lab, 0))[2] == b"5\n"
    name = hashlib.sha256(b"weighthouse.local/log").hexdigest()
    connection = http.client.HTTPConnection("127.0.0.1", int(ring.servers[0].server_address[1]), timeout=5)
    for path, status in ((f"/{name}/checkpoint", 200), ("/00/checkpoint", 404), ("/", 404)):
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == status
        if status == 200:
            assert text.count("— ") == 2 and text.startswith("weighthouse.local/log\n5\n")
    connection.request("POST", "/add-checkpoint", b"", {"Content-Length": "999999999"})
    assert connection.getresponse().status == 400
    connection.close()


def test_two_requests_at_once_never_roll_the_witness_back(ring: Ring) -> None:
    lab, desk = ring.lab, ring.desks[0]
    lab.many(2)
    small = submission(lab, 0)
    lab.many(2)
    large = submission(lab, 0)
    for _ in range(20):
        desk._path("weighthouse.local/log").unlink(missing_ok=True)
        gate = threading.Barrier(2)
        answers: list[tuple[int, int]] = []

        def ask(
            size: int, body: bytes, gate: threading.Barrier = gate, answers: list[tuple[int, int]] = answers
        ) -> None:
            gate.wait()
            answers.append((size, desk.add_checkpoint(body)[0]))

        threads = [threading.Thread(target=ask, args=pair) for pair in ((2, small), (4, large))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status for _, status in answers) == [200, 409]
        won = next(size for size, status in answers if status == 200)
        assert desk._seen("weighthouse.local/log").size == won


def test_a_witness_answer_that_is_not_its_own_signature_is_not_kept(ring: Ring) -> None:
    lab = ring.lab
    lab.many(3)

    class Liar:
        name, key = "w1", ring.desks[0].key.text()

        def __init__(self, body: bytes) -> None:
            self.body = body

        def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
            return 200, self.body

    class Liars:
        def __init__(self, *bodies: bytes) -> None:
            self.bodies = bodies

        def all(self) -> tuple[Liar, ...]:
            return tuple(Liar(body) for body in self.bodies)

    foreign = ring.desks[1].add_checkpoint(submission(lab, 0))[2]
    lab.system.bind(Witnesses, Liars(b"", b"nonsense\n", foreign))
    assert [answer.cosigned for answer in api.ask_witnesses(lab.system)] == [False] * 3
    assert lab.rows("SELECT count(*) FROM log_cosigned")[0][0] == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://w.example",
        "https://user@w.example",
        "w.example",
        "http://w.example:99999",
        "http://[w",
        "http://w/é",
    ],
)
def test_a_witness_without_a_usable_address_is_refused_at_start(ring: Ring, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        HttpWitness(quorum.Named("w1", ring.desks[0].key, url))
    assert refused.value.code == "audit.bad_witness_url"


def test_an_event_of_the_log_itself_is_cosigned_in_the_next_round(ring: Ring) -> None:
    ring.lab.write(Noted())
    assert api.ask_witnesses(ring.lab.system)[0].size == 1
    assert api.ask_witnesses(ring.lab.system)[0].cosigned


class Scripted:
    """A witness that answers from a script, whatever it is asked."""

    def __init__(self, ring: Ring, *answers: tuple[int, bytes]) -> None:
        self.name, self.key = "w1", ring.desks[0].key.text()
        self.answers = list(answers)

    def all(self) -> tuple[Scripted, ...]:
        return (self,)

    def satisfied(self, note: str) -> bool:
        return False

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        return self.answers.pop(0)


def refusals(lab: Lab) -> int:
    return len(lab.entries(kind="audit.WitnessRefused"))


def test_a_second_process_that_was_faster_is_no_fork(ring: Ring) -> None:
    lab = ring.lab
    lab.many(3)

    class Faster(Scripted):
        def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
            lab.many(4)  # another process wrote, and had its larger checkpoint cosigned, while this one was asking
            return 409, b"7\n"

    lab.system.bind(Witnesses, Faster(ring))
    (answer,) = api.ask_witnesses(lab.system)
    assert (answer.cosigned, answer.detail) == (False, "it has cosigned 7 already; asked again next round")
    assert refusals(lab) == 0


def test_case_11_a_witness_of_an_earlier_draft_refuses_a_fork_with_409(ring: Ring) -> None:
    ring.lab.many(3)
    ring.lab.system.bind(Witnesses, Scripted(ring, (409, b"3\n"), (409, b"3\n")))
    (answer,) = api.ask_witnesses(ring.lab.system)
    assert answer.detail == "refused: it saw another history up to 3" and refusals(ring.lab) == 1


@pytest.mark.parametrize(
    "answers",
    [
        [(409, b"0\n")],
        [(409, b"x")],
        [(409, b"1\n"), (409, b"2\n"), (409, b"1\n")],
        [(404, b"")],
        [(500, b"")],
        [(200, b"")],
    ],
)
def test_an_answer_that_proves_nothing_is_no_fork(ring: Ring, answers: list[tuple[int, bytes]]) -> None:
    ring.lab.many(3)
    ring.lab.system.bind(Witnesses, Scripted(ring, *answers))
    assert not api.ask_witnesses(ring.lab.system)[0].cosigned
    assert refusals(ring.lab) == 0


def test_a_refusal_that_lasts_is_written_once_an_hour_not_once_a_round(ring: Ring, clock: ManualClock) -> None:
    lab = ring.lab
    lab.many(3)
    lab.system.bind(Witnesses, Scripted(ring, *[(409, b"90\n")] * 9))
    for _ in range(3):
        assert "another history" in api.ask_witnesses(lab.system)[0].detail
    assert refusals(lab) == 1
    clock.advance(HOUR)
    api.ask_witnesses(lab.system)
    assert refusals(lab) == 2


def test_a_cosignature_without_a_time_is_not_kept(ring: Ring) -> None:
    ring.lab.many(3)
    ring.desks[0]._clock = ManualClock(0)
    assert [one.cosigned for one in api.ask_witnesses(ring.lab.system)] == [False, True, True]


def test_fewer_cosignatures_never_take_the_place_of_a_quorum(ring: Ring, tmp_path: Path) -> None:
    lab = ring.lab
    for size in (4, 9):
        lab.many(size - lab.head().size)
        api.ask_witnesses(lab.system)
    ring.close(1, 2)
    lab.many(3)
    assert sum(one.cosigned for one in api.ask_witnesses(lab.system)) == 1
    assert lab.rows("SELECT size FROM log_cosigned ORDER BY size") == [(9,), (12,)]  # 4 is replaced, 9 is not
    done = verifier(lab.export(tmp_path / "log"), "--witness-policy", ring.policy)
    assert done.returncode == 0 and "vouch for the first 9 entries; the last 3 wait" in done.stdout
    proof = tmp_path / "p"
    proof.write_text(lab.prove(8))
    assert verifier(tmp_path / "log", "--proof", proof, "--witness-policy", ring.policy).returncode == 0
    assert "\n12\n" in lab.prove(10)  # no quorum covers it: the newest that anybody cosigned


def test_a_witness_that_drips_its_answer_is_hung_up_on(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighthouse.audit.adapters.witness_http.DEADLINE_S", 0.3)
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
            while not ended.wait(0.02):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(OSError, match="longer than"):
            HttpWitness(quorum.Named("w1", ring.desks[0].key, url)).add_checkpoint(b"")
        ended.set()
        thread.join()


@pytest.mark.parametrize("damage", ["noise", "folder"])
def test_a_witness_whose_memory_is_damaged_says_so_and_cosigns_nothing(ring: Ring, damage: str) -> None:
    lab, desk = ring.lab, ring.desks[0]
    lab.many(3)
    api.ask_witnesses(lab.system)
    path = desk._path("weighthouse.local/log")
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"noise")
    lab.many(3)
    assert api.ask_witnesses(lab.system)[0].detail == "answered 500"


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /add-checkpoint HTTP/1.1\r\nContent-Length: " + "9" * 5000,
        "POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1",
        "POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked",
        "POST /other HTTP/1.1\r\nContent-Length: 60",
    ],
)
def test_what_follows_a_refused_request_is_not_read_as_another(ring: Ring, request_text: str) -> None:
    smuggled = f"GET /{'0' * 64}/checkpoint HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(ring.servers[0].server_address[1])), timeout=10) as connection:
        connection.sendall(f"{request_text}\r\nHost: x\r\n\r\n{smuggled}".encode())
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while got := connection.recv(65536):
                answer += got
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.split(b" ")[1] in (b"400", b"404")


def test_a_policy_file_that_cannot_be_read_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        PolicyWitnesses(tmp_path / "none")
    assert refused.value.code == "audit.bad_policy_file"
    (tmp_path / "policy").write_bytes(b"# \xff\nquorum none\n")
    assert PolicyWitnesses(tmp_path / "policy").all() == ()
