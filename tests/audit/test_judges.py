"""Programs of other projects judge the log: Tessera's fsck, the witness litewitness, x/mod/sumdb and torchwood.

They are built by `make parts` from parts/tlog and run by `make test-tlog`. What two implementations of our own agree
on could be a shared mistake; what these say could not.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.judges import LiteWitness, fsck, judge, private_note_key, served
from tests.audit.support import Lab, Noted, bind_log, verifier
from weighthouse.audit import api
from weighthouse.audit.adapters.witness_http import PolicyWitnesses
from weighthouse.audit.adapters.witness_server import WitnessDesk, server
from weighthouse.audit.ports import Witnesses
from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules import tree
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import System, read

pytestmark = pytest.mark.real_tlog
SEED = b"\x11" * 32


@pytest.fixture
def lite(lab: Lab, tmp_path: Path) -> Iterator[LiteWitness]:
    """litewitness, watching this lab's log, as the only witness of the lab's policy."""
    witness = LiteWitness(tmp_path, "lite.example/w", SEED, [notes.parse_key(api.keys(lab.system)[0])])
    use_policy(lab, tmp_path / "policy", f"witness lite {witness.key.text()} {witness.url}", "lite")
    yield witness
    witness.stop()


def use_policy(lab: Lab, path: Path, witness: str, quorum: str) -> Path:
    path.write_text(f"log {api.keys(lab.system)[0]}\n{witness}\nquorum {quorum}\n")
    lab.system.bind(Witnesses, PolicyWitnesses(path))
    return path


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
def test_fsck_of_another_project_finds_an_export_good(lab: Lab, tmp_path: Path, size: int) -> None:
    lab.many(size)
    folder = lab.export(tmp_path / "log")
    with served(folder) as address:
        assert fsck(address, folder / "log.vkey") is None
    assert fsck(folder.as_uri(), folder / "log.vkey") is None


def test_fsck_of_another_project_finds_a_log_of_three_levels_good(lab: Lab, tmp_path: Path) -> None:
    lab.many(65_536 + 300)
    folder = lab.export(tmp_path / "log")
    assert (folder / "tile/2/000.p/1").is_file() and (folder / "tile/1/001.p/1").is_file()
    assert fsck(folder.as_uri(), folder / "log.vkey") is None


@pytest.mark.parametrize(
    "name",
    ["tile/entries/000", "tile/entries/001.p/44", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "checkpoint"],
)
def test_case_12_one_edited_byte_fails_fsck_and_our_verifier_alike(lab: Lab, tmp_path: Path, name: str) -> None:
    lab.many(300)
    folder = lab.export(tmp_path / "log")
    path = folder / name
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with served(folder) as address:
        assert fsck(address, folder / "log.vkey") is not None
    assert verifier(folder).returncode == 1


def test_checkpoints_and_proofs_are_good_to_the_reference_implementations(
    lite: LiteWitness, lab: Lab, tmp_path: Path
) -> None:
    lab.many(300)
    assert [answer.detail for answer in api.ask_witnesses(lab.system)] == ["cosigned"]
    folder = lab.export(tmp_path / "log")
    cosigned = (folder / "checkpoint.cosigned").read_text()
    found = judge("judge", "checkpoint", api.keys(lab.system)[0], tmp_path / "policy", given=cosigned)
    assert found.returncode == 0, found.stderr
    head = lab.head()
    root = base64.b64encode(bytes.fromhex(head.root_hex)).decode()
    assert found.stdout.splitlines() == ["weighthouse.local/log", "300", root]
    leaf = tmp_path / "leaf"
    for index in (0, 17, 255, 256, 299):
        leaf.write_bytes(lab.entries(start=index, limit=1)[0].leaf)
        proof = lab.prove(index)
        assert judge("judge", "proof", tmp_path / "policy", leaf, given=proof).returncode == 0
        assert (
            judge("judge", "proof", tmp_path / "policy", leaf, given=proof.replace("index ", "index 1")).returncode
            == 1
        )
    leaf.write_bytes(b"another entry")
    assert judge("judge", "proof", tmp_path / "policy", leaf, given=lab.prove(7)).returncode == 1
    # Without the witness's cosignature the same checkpoint is not enough for the policy.
    alone = str(head.checkpoint)
    refused = judge("judge", "checkpoint", api.keys(lab.system)[0], tmp_path / "policy", given=alone)
    assert refused.returncode == 1 and refused.stderr


def test_a_real_witness_follows_a_growing_log(lite: LiteWitness, lab: Lab, tmp_path: Path) -> None:
    for size in (1, 256, 259, 600):
        lab.many(size - lab.head().size)
        assert [(one.size, one.detail) for one in api.ask_witnesses(lab.system)] == [(size, "cosigned")]
        assert lite.sizes() == {"weighthouse.local/log": size}
    assert api.ask_witnesses(lab.system)[0].cosigned  # the same checkpoint again
    done = verifier(lab.export(tmp_path / "log"), "--witness-policy", tmp_path / "policy")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("theirs", "ours"), [(10, 10), (10, 14), (20, 12)], ids=["same-size", "longer", "shorter"])
def test_case_14_a_real_witness_refuses_a_fork_and_the_refusal_is_on_record(
    lite: LiteWitness,
    lab: Lab,
    make_system: Callable[[Database], System],
    tmp_path: Path,
    theirs: int,
    ours: int,
) -> None:
    lab.many(theirs)
    assert api.ask_witnesses(lab.system)[0].cosigned
    # A second history under the same key, as a thief of the key or a restored backup would show it.
    (tmp_path / "fork").mkdir()
    database = Database(f"sqlite:///{tmp_path / 'fork' / 'weighthouse.db'}")
    database.create_all()
    fork = Lab(bind_log(make_system(database), tmp_path / "fork"))
    fork.system.bind(Witnesses, PolicyWitnesses(tmp_path / "policy"))
    fork.write(*(Noted(number=1000 + number) for number in range(ours)))
    (answer,) = api.ask_witnesses(fork.system)
    assert not answer.cosigned and "another history" in answer.detail
    (fact,) = fork.entries(kind="audit.WitnessRefused")
    assert fact.data["size"] == max(theirs, ours)
    assert lite.sizes() == {"weighthouse.local/log": theirs}
    database.close()


def test_another_projects_log_is_cosigned_by_our_witness_and_checked_by_our_verifier(tmp_path: Path) -> None:
    secret, log = private_note_key("tessera.example/log", b"\x12" * 32)
    (tmp_path / "key").write_text(secret)
    desk = WitnessDesk(
        tmp_path / "seen", "ours.example", Ed25519PrivateKey.from_private_bytes(b"\x13" * 32), [log], ManualClock()
    )
    serving = server(desk, ("127.0.0.1", 0))
    threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
    policy = tmp_path / "policy"
    witness = f"witness ours {desk.key.text()} http://127.0.0.1:{serving.server_address[1]}"
    policy.write_text(f"log {log.text()}\n{witness}\ngroup all-of-us all ours\nquorum all-of-us\n")
    (tmp_path / "entries").mkdir()

    def grow(folder: str, first: int, count: int) -> int:
        for path in (tmp_path / "entries").iterdir():
            path.unlink()
        for number in range(first, first + count):
            (tmp_path / "entries" / f"{number:04d}").write_bytes(b"entry %d" % number)
        done = judge(
            "posix-oneshot", f"--storage_dir={tmp_path / folder}", f"--entries={tmp_path / 'entries'}/*",
            f"--private_key={tmp_path / 'key'}", f"--witness_policy_file={policy}", "--witness_timeout=5s",
        )  # fmt: skip
        return done.returncode

    assert grow("log", 0, 40) == 0 and desk._seen(log.name).size == 40
    assert grow("log", 40, 260) == 0 and desk._seen(log.name).size == 300
    done = verifier(tmp_path / "log", "--key", log.text(), "--witness-policy", policy)
    assert done.returncode == 0, done.stdout
    root = desk._seen(log.name).root
    grow("fork", 7, 3)  # another history under the same key: it finds no cosignature
    assert desk._seen(log.name).root == root
    assert not (tmp_path / "fork" / "checkpoint").exists()
    serving.shutdown()
    serving.server_close()


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33, 100, 255, 256, 257])
def test_every_root_and_proof_of_a_tree_is_that_of_the_reference(size: int) -> None:
    hashes = [tree.leaf_hash(b"%d" % number) for number in range(size)]

    def node(height: int, index: int) -> bytes:
        return tree.root_of(hashes[index << height : index + 1 << height])

    expected: dict[tuple[str, int], list[bytes]] = {}
    for line in judge("judge", "tree", size).stdout.splitlines():
        kind, *words = line.split(" ")
        if kind == "root":
            assert base64.b64decode(words[0]) == tree.root_of(hashes)
        else:
            expected[kind, int(words[0])] = [base64.b64decode(word) for word in words[1:]]
    assert len(expected) == 2 * size
    for index in range(size):
        assert tree.inclusion_proof(index, size, node) == expected["leaf", index]
        assert tree.consistency_proof(index + 1, size, node) == expected["from", index + 1]


def test_consistency_proofs_from_the_stored_log_verify_elsewhere(lab: Lab) -> None:
    lab.many(5)
    roots = {5: lab.head().root_hex}
    lab.many(595)
    roots[600] = lab.head().root_hex
    with read(lab.system) as unit:
        proof = api.consistency(unit, 5, 600)
    told = "\n".join(base64.b64encode(item).decode() for item in proof)
    ends = [base64.b64encode(bytes.fromhex(roots[size])).decode() for size in (5, 600)]
    assert judge("judge", "consistency", 5, 600, *ends, given=told).returncode == 0
    assert judge("judge", "consistency", 5, 600, *reversed(ends), given=told).returncode == 1
    assert judge("judge", "consistency", 6, 600, *ends, given=told).returncode == 1
