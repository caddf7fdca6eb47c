"""Write access to the database, or to an export: every edit is named by the place where it was made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.audit.support import Lab, Noted, verifier
from weighthouse.audit import api
from weighthouse.audit.api.signing import sign_checkpoint
from weighthouse.audit.rules import tiles
from weighthouse.audit.rules.tree import leaf_hash
from weighthouse.core.errors import Conflict, Unavailable
from weighthouse.core.work import read
from weighthouse_verify.tree import tile_name

SIZE = 600  # two full tiles and an unfinished one: three entry bundles, levels 0 and 1


@pytest.fixture
def full(lab: Lab) -> Lab:
    lab.many(SIZE)
    return lab


def outside(lab: Lab, folder: Path, *more: object) -> tuple[int, dict[str, Any]]:
    """Export and check with the separate program; return its exit code and its report."""
    lab.export(folder)
    return judged(lab, folder, *more)


def judged(lab: Lab, folder: Path, *more: object) -> tuple[int, dict[str, Any]]:
    done = verifier(folder, "--key", api.keys(lab.system)[0], "-o", "json", *more)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_an_untouched_log_is_good_inside_and_outside(full: Lab, tmp_path: Path) -> None:
    assert api.verify(full.system) == api.Report(True, SIZE, ())
    code, report = outside(full, tmp_path / "log", "--strict")
    assert (code, report["ok"], report["size"], report["problems"]) == (0, True, SIZE, [])


def test_an_empty_log_is_good_as_well(lab: Lab, tmp_path: Path) -> None:
    assert api.verify(lab.system) == api.Report(True, 0, ())
    assert outside(lab, tmp_path / "log")[0] == 0


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512])
def test_logs_at_the_borders_of_tiles_are_good(lab: Lab, tmp_path: Path, size: int) -> None:
    lab.many(size)
    assert outside(lab, tmp_path / "log")[0] == 0
    assert api.verify(lab.system).ok


def test_a_log_of_two_levels_of_full_tiles_is_good_and_names_a_tile_of_the_upper_one(
    lab: Lab, tmp_path: Path
) -> None:
    """65,900 short entries, written with the log's rules alone: through the database they would take too long."""
    folder, size = tmp_path / "log", 65_900
    entries = [b"%d" % number for number in range(size)]
    growth = tiles.grow(tiles.Edge(), map(leaf_hash, entries))
    for (level, index), hashes in growth.tiles.items():
        put(folder / tiles.tile_path(level, index, len(hashes) // 32), hashes)
    for index, width in tiles.tile_widths(size, 0):
        put(folder / tiles.entries_path(index, width), tiles.pack_bundle(entries[index * 256 : index * 256 + width]))
    put(folder / "checkpoint", sign_checkpoint(lab.system, size, growth.edge.root(), 1).encode())
    assert judged(lab, folder)[0] == 0
    flip(folder / tile_name(1, 0, 256), 32 * 9 + 1)
    code, report = judged(lab, folder)
    assert (code, len(report["problems"])) == (1, 1)
    assert (report["first"]["index"], report["first"]["where"]) == (9 * 256, "tile/1/000")


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


EDITS: dict[str, tuple[list[str], int]] = {
    "edited": (["UPDATE log_entry SET leaf = replace(leaf, 'model', 'modem') WHERE idx = {i}"], 0),
    "deleted": (["DELETE FROM log_entry WHERE idx = {i}"], 0),
    "swapped": (
        [
            "UPDATE log_entry SET idx = -1 WHERE idx = {i}",
            "UPDATE log_entry SET idx = {i} WHERE idx = {i} + 2",
            "UPDATE log_entry SET idx = {i} + 2 WHERE idx = -1",
        ],
        0,
    ),
    "inserted in the middle": (
        [
            "UPDATE log_entry SET idx = idx + 10000 WHERE idx >= {i}",
            "UPDATE log_entry SET idx = idx - 9999 WHERE idx >= 10000",
            "INSERT INTO log_entry SELECT {i}, at, kind, subject, leaf FROM log_entry WHERE idx = 0",
        ],
        0,
    ),
    "deleted and closed up": (
        ["DELETE FROM log_entry WHERE idx = {i}", "UPDATE log_entry SET idx = idx - 1 WHERE idx > {i}"],
        0,
    ),
}


@pytest.mark.parametrize("index", [3, 255, 256, 520, SIZE - 4])
@pytest.mark.parametrize("edit", EDITS)
def test_case_12_the_verifier_names_the_index_of_a_changed_row(
    full: Lab, tmp_path: Path, edit: str, index: int
) -> None:
    for statement in EDITS[edit][0]:
        full.sql(statement.replace("leaf = replace(leaf, 'model', 'modem')", _EDIT).format(i=index))
    report = api.verify(full.system)
    assert not report.ok and min(p.index for p in report.problems) == index
    code, found = outside(full, tmp_path / "log")
    assert code == 1
    assert found["first"]["index"] == index


_EDIT = "leaf = CAST(replace(CAST(leaf AS TEXT), 'model', 'modem') AS BLOB)"


def test_case_12_an_edit_hidden_in_the_tile_as_well_is_named_by_its_tile(full: Lab, tmp_path: Path) -> None:
    full.rewrite_leaf(300, lambda leaf: leaf.replace(b"model", b"modem"))
    leaf = bytes(full.rows("SELECT leaf FROM log_entry WHERE idx = 300")[0][0])
    tile = bytearray(full.rows("SELECT hashes FROM log_tile WHERE level = 0 AND idx = 1")[0][0])
    tile[44 * 32 : 45 * 32] = leaf_hash(leaf)
    full.sql("UPDATE log_tile SET hashes = :h WHERE level = 0 AND idx = 1", h=bytes(tile))
    assert api.verify(full.system).problems[0].index == 256
    _, found = outside(full, tmp_path / "log")
    assert found["first"] == {
        "index": 256,
        "where": "tile/0/001",
        "what": "it does not hash to its place in the tile above",
    }


def test_case_12_bytes_that_are_no_entry_are_named_too(full: Lab) -> None:
    garbage = b"\xff not an entry"
    full.rewrite_leaf(300, lambda leaf: garbage)
    tile = bytearray(full.rows("SELECT hashes FROM log_tile WHERE level = 0 AND idx = 1")[0][0])
    tile[44 * 32 : 45 * 32] = leaf_hash(garbage)
    full.sql("UPDATE log_tile SET hashes = :h WHERE level = 0 AND idx = 1", h=bytes(tile))
    assert {256, 300} <= {problem.index for problem in api.verify(full.system).problems}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [-1, -(2**62), 0, 7, 2**62])
@pytest.mark.parametrize("signed", [True, False])
def test_case_12_a_head_of_an_absurd_size_is_found_and_ends_every_walk(
    full: Lab, tmp_path: Path, size: int, signed: bool
) -> None:
    full.sql("UPDATE log_head SET size = :s", s=size)
    if not signed:
        full.sql("UPDATE log_head SET note = 'no note'")
    report = api.verify(full.system)
    assert not report.ok and report.problems[0].index == -1
    folder = full.export(tmp_path / "log")
    # What is signed is whole, and the row beside it does not leave the house.
    assert verifier(folder).returncode == (0 if signed else 1)
    for act in (lambda: full.head(), lambda: full.many(1), lambda: api.start(full.system)):
        with pytest.raises(Unavailable) as refused:
            act()
        assert refused.value.code == "audit.tampered"


def test_case_17_a_stored_entry_too_long_for_a_bundle_is_named_by_the_export(full: Lab, tmp_path: Path) -> None:
    full.rewrite_leaf(300, lambda leaf: b"x" * 65_536)
    with pytest.raises(Unavailable, match="entry 300 has 65536 bytes"):
        full.export(tmp_path / "log")


def test_case_12_a_history_rewritten_throughout_needs_the_key(full: Lab, tmp_path: Path) -> None:
    """Entries, tiles and root all fit: only the signature, the memory and older checkpoints can tell."""
    full.rewrite_leaf(5, lambda leaf: leaf.replace(b"model", b"modem"))
    leaves = [bytes(row[0]) for row in full.rows("SELECT leaf FROM log_entry ORDER BY idx")]
    growth = tiles.grow(tiles.Edge(), [leaf_hash(leaf) for leaf in leaves])
    for (level, index), hashes in growth.tiles.items():
        full.sql("UPDATE log_tile SET hashes = :h WHERE level = :l AND idx = :i", h=hashes, l=level, i=index)
    full.sql("UPDATE log_head SET root = :r", r=growth.edge.root())
    assert not api.verify(full.system).ok
    code, found = outside(full, tmp_path / "log")
    assert (code, found["first"]["where"]) == (1, "checkpoint")
    assert "agree, but not with its root" in found["first"]["what"]
    with pytest.raises(Exception, match="does not fit its signed head"):
        full.write(Noted())


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "at", "index", "where"),
    [
        ("tile/entries/001", 2 + 30, 256, "entry 256"),
        ("tile/0/000", 32 * 7 + 3, 7, "tile/0/000"),
        ("tile/0/001", 32 * 255, 511, "tile/0/001"),
        ("tile/0/002.p/88", 32 * 11, 512 + 11, "tile/0/002.p/88"),
        ("tile/1/000.p/2", 33, 256, "tile/1/000.p/2"),
    ],
)
def test_one_byte_changed_in_one_file_is_named_alone(
    full: Lab, tmp_path: Path, name: str, at: int, index: int, where: str
) -> None:
    folder = full.export(tmp_path / "log")
    flip(folder / name, at)
    code, found = judged(full, folder)
    assert (code, found["first"]["index"], found["first"]["where"]) == (1, index, where)
    assert len(found["problems"]) == 1


@pytest.mark.parametrize("seed", range(40))
def test_any_one_byte_changed_anywhere_is_found(full: Lab, tmp_path: Path, seed: int) -> None:
    import random

    chance = random.Random(seed)
    folder = full.export(tmp_path / "log")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "log.vkey")
    chosen = chance.choice(files)
    flip(chosen, chance.randrange(chosen.stat().st_size))
    code, found = judged(full, folder)
    assert code == 1, f"a change in {chosen} went unseen"
    assert found["problems"]


def test_a_missing_file_and_a_missing_checkpoint_are_named(full: Lab, tmp_path: Path) -> None:
    folder = full.export(tmp_path / "log")
    (folder / "tile/entries/001").unlink()
    assert judged(full, folder)[1]["first"] == {
        "index": 256,
        "where": "tile/entries/001",
        "what": "the file is missing or cannot be read (No such file or directory)",
    }
    (folder / "checkpoint").unlink()
    assert judged(full, folder)[1]["first"]["where"] == "checkpoint"


def cut(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda folder: cut(folder / "tile/0/001", 32), "tile/0/001"),
        (lambda folder: (folder / "tile/0/001").write_bytes(bytes(8193)), "tile/0/001"),
        (lambda folder: cut(folder / "tile/1/000.p/2", 32), "tile/1/000.p/2"),
        (lambda folder: cut(folder / "tile/entries/001", 1), "tile/entries/001"),
        (lambda folder: _append(folder / "tile/entries/001", b"\x00\x00"), "tile/entries/001"),
        (
            lambda folder: _append(folder / "tile/entries/002.p/88", b"\xff\xff" + bytes(65_535)),
            "tile/entries/002.p/88",
        ),
    ],
)
def test_case_17_partial_tiles_and_bundles_of_the_wrong_length_are_rejected(
    full: Lab, tmp_path: Path, damage: Callable[[Path], object], where: str
) -> None:
    folder = full.export(tmp_path / "log")
    damage(folder)
    code, found = judged(full, folder)
    assert code == 1 and where in {problem["where"] for problem in found["problems"]}


def _append(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)


def test_case_13_an_older_checkpoint_shows_a_cut_tail_and_a_fork(full: Lab, tmp_path: Path) -> None:
    old = tmp_path / "seen-before"
    early = full.export(tmp_path / "early")
    full.many(40)
    late = full.export(tmp_path / "late")
    old.write_bytes((early / "checkpoint").read_bytes())
    assert judged(full, late, "--old-checkpoint", old)[0] == 0
    old.write_bytes((late / "checkpoint").read_bytes())
    code, found = judged(full, early, "--old-checkpoint", old)
    assert code == 1 and "it once had 640, now 600" in found["first"]["what"]


def test_case_14_two_checkpoints_of_one_size_prove_the_fork(lab: Lab, tmp_path: Path) -> None:
    lab.many(300)
    other = tmp_path / "other"
    other.write_text(sign_checkpoint(lab.system, 280, bytes(32), 1))
    code, found = outside(lab, tmp_path / "log", "--old-checkpoint", other)
    assert code == 1 and "the log was forked" in found["first"]["what"]


def test_a_proof_is_checked_with_nothing_but_the_entry_and_the_key(full: Lab, tmp_path: Path) -> None:
    proof, leaf = tmp_path / "300.tlog-proof", tmp_path / "leaf"
    proof.write_text(full.prove(300))
    leaf.write_bytes(full.entries(start=300, limit=1)[0].leaf)
    key = api.keys(full.system)[0]
    assert verifier("--proof", proof, "--leaf", leaf, "--key", key).returncode == 0
    folder = full.export(tmp_path / "log")
    assert verifier(folder, "--proof", proof, "--key", key).returncode == 0
    leaf.write_bytes(leaf.read_bytes().replace(b"300", b"301"))
    done = verifier("--proof", proof, "--leaf", leaf, "--key", key)
    assert done.returncode == 1 and "entry 300 is not this one" in done.stdout
    proof.write_text(full.prove(300).replace("index 300", "index 301"))
    assert verifier("--proof", proof, "--leaf", leaf, "--key", key).returncode == 1


def test_case_15_a_log_signed_with_another_key_is_refused(full: Lab, tmp_path: Path) -> None:
    from weighthouse.core.signing import MemorySigners, Signers

    folder = full.export(tmp_path / "log")
    full.system.bind(Signers, MemorySigners(b"\x08" * 32))
    code, found = judged(full, folder)
    assert code == 1 and "no known key" in found["first"]["what"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["/nowhere"],
        ["--proof", "/nowhere", "--key", "x"],
        [".", "--key", "x+y+z"],
        [".", "--witness-policy", "/no"],
    ],
)
def test_wrong_usage_exits_2_and_says_why(arguments: list[str]) -> None:
    done = verifier(*arguments)
    assert done.returncode == 2 and done.stderr.startswith("weighthouse-verify: ")


def test_a_key_taken_from_the_folder_is_said_to_be_so(full: Lab, tmp_path: Path) -> None:
    done = verifier(full.export(tmp_path / "log"))
    assert done.returncode == 0 and "the log's key was taken from the folder itself" in done.stdout


def test_the_text_names_the_first_problem_first(full: Lab, tmp_path: Path) -> None:
    folder = full.export(tmp_path / "log")
    flip(folder / "tile/entries/002.p/88", 40)
    flip(folder / "tile/0/000", 40)
    done = verifier(folder, "--key", api.keys(full.system)[0])
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("PROBLEM")
    assert done.stdout.splitlines()[1].startswith("  tile/0/000 (from entry 1)")


def test_an_export_never_writes_over_other_files(full: Lab, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(Conflict) as refused, read(full.system) as unit:
        api.export(unit, tmp_path / "mine")
    assert refused.value.code == "audit.folder_in_use"
    full.export(tmp_path / "log")
    full.many(10)
    assert outside(full, tmp_path / "log")[0] == 0  # an earlier export is brought up to date


def test_ml_dsa_signatures_are_made_and_checked_when_asked_for(lab: Lab, tmp_path: Path) -> None:
    from weighthouse.core.settings import DECLARED, Settings

    flags = {"state": tmp_path, "log.ml_dsa": True, "mode": "development"}
    lab.system.settings = Settings((*DECLARED, *api.settings), flags=flags)
    lab.many(3)
    plain, safe = api.keys(lab.system)
    assert lab.head().checkpoint.count("— ") == 2  # type: ignore[union-attr]
    folder = lab.export(tmp_path / "log")
    for key in (plain, safe):
        assert verifier(folder, "--key", key).returncode == 0
    note = folder / "checkpoint"
    note.write_text(note.read_text().replace("\n3\n", "\n4\n"))
    assert verifier(folder, "--key", safe).returncode == 1
