"""Personal values: never in a leaf, shown while kept, gone for good when erased, and every proof still valid."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.audit.support import Lab, Told, verifier
from weighthouse.audit import api
from weighthouse.core.clock import SECOND, ManualClock
from weighthouse.core.errors import Conflict
from weighthouse.core.work import begin, read

REASON = "I need the weights because my cat walked over the keyboard"


def shown(lab: Lab, index: int) -> dict[str, object]:
    with read(lab.system) as unit:
        return api.reveal(unit, api.entry(unit, index))


def test_free_text_stays_out_of_the_leaf_and_is_shown_from_beside_it(any_lab: Lab) -> None:
    any_lab.write(Told(person="ada", reason=REASON))
    entry = any_lab.entries()[0]
    assert REASON.encode() not in entry.leaf
    assert set(entry.data["reason"]) == {"commitment"}
    assert shown(any_lab, 0) == {"person": "ada", "reason": REASON, "address": ""}


def test_case_29_an_erased_person_is_gone_and_all_proofs_hold(any_lab: Lab, tmp_path: Path) -> None:
    any_lab.write(Told(person="ada", reason=REASON, address="10.0.0.1"), Told(person="ben", reason="other"))
    leaf = any_lab.entries()[0].leaf
    (tmp_path / "before.tlog-proof").write_text(any_lab.prove(0))
    with begin(any_lab.system) as unit:
        assert api.erase(unit, "ada") == 2
    any_lab.settle()
    assert any_lab.rows("SELECT count(*) FROM log_personal WHERE owner = 'ada'")[0][0] == 0
    assert shown(any_lab, 0) == {"person": "ada", "reason": {"erased": True}, "address": {"erased": True}}
    assert shown(any_lab, 1)["reason"] == "other"
    assert any_lab.entries(kind="audit.PersonErased")[0].data == {"person": "ada", "values": 2}
    assert any_lab.entries()[0].leaf == leaf
    assert api.verify(any_lab.system).ok

    (tmp_path / "after.tlog-proof").write_text(any_lab.prove(0))
    (tmp_path / "leaf").write_bytes(leaf)
    key = api.keys(any_lab.system)[0]
    for name in ("before", "after"):
        done = verifier("--proof", tmp_path / f"{name}.tlog-proof", "--leaf", tmp_path / "leaf", "--key", key)
        assert done.returncode == 0, done.stdout


def test_case_29_the_committed_value_cannot_be_guessed_without_the_salt(lab: Lab) -> None:
    lab.write(Told(person="ada", reason="yes"), Told(person="ada", reason="yes"))
    first, second = (entry.data["reason"]["commitment"] for entry in lab.entries())
    assert first != second
    guesses = {"sha256:" + hashlib.sha256(prefix + b'"yes"').hexdigest() for prefix in (b"", bytes(32), b"ada")}
    assert first not in guesses
    salts = {bytes(row[0]) for row in lab.rows("SELECT salt FROM log_personal")}
    assert {len(salt) for salt in salts} == {32} and len(salts) == 2


def test_case_29_erased_bytes_are_gone_from_the_file(lab: Lab, tmp_path: Path) -> None:
    lab.write(Told(person="ada", reason=REASON))
    with begin(lab.system) as unit:
        api.erase(unit, "ada")
    lab.system.database.close()  # the last connection to go writes the WAL back into the file
    files = b"".join(path.read_bytes() for path in tmp_path.glob("weighthouse.db*"))
    assert REASON.encode() not in files


def test_an_edited_clear_value_is_refused_and_not_shown(any_lab: Lab) -> None:
    any_lab.write(Told(person="ada", reason="I approve"))
    any_lab.sql("UPDATE log_personal SET clear = :c", c='"I deny"')
    with pytest.raises(Conflict) as refused:
        shown(any_lab, 0)
    assert refused.value.code == "audit.personal_altered"


def test_a_person_who_never_said_anything_is_erased_on_record_too(any_lab: Lab) -> None:
    with begin(any_lab.system) as unit:
        assert api.erase(unit, "nobody") == 0
    any_lab.settle()
    assert any_lab.entries()[0].kind == "audit.PersonErased"


def test_a_value_that_is_gone_without_a_line_is_missing_and_never_erased(any_lab: Lab, clock: ManualClock) -> None:
    any_lab.write(Told(person="ada", reason=REASON), Told(person="ben", reason="other"))
    with begin(any_lab.system) as unit:
        api.erase(unit, "ben")
    any_lab.settle()
    clock.advance(SECOND)
    any_lab.write(Told(person="ben", reason="said after he was erased"))
    assert api.verify(any_lab.system).ok and api.look(any_lab.system).unkept == -1
    any_lab.sql("DELETE FROM log_personal")
    assert shown(any_lab, 0)["reason"] == {"missing": True}
    assert shown(any_lab, 1)["reason"] == {"erased": True}
    report = api.verify(any_lab.system)
    assert [one.index for one in report.problems] == [0, 3]
    assert not report.ok and "no line says" in report.problems[0].what


def test_the_running_check_tells_once_of_a_value_that_is_gone_and_refuses_nothing_for_it(any_lab: Lab) -> None:
    any_lab.write(Told(person="ada", reason=REASON), Told(person="ben", reason="other"))
    any_lab.settle()
    kept = any_lab.rows("SELECT commitment, owner, salt, clear FROM log_personal WHERE owner = 'ada'")[0]
    any_lab.sql("DELETE FROM log_personal WHERE owner = 'ada'")
    for _ in range(3):
        assert api.look(any_lab.system).unkept == 0
        any_lab.settle()
    assert [one.data for one in any_lab.entries(kind="audit.PersonalMissing")] == [{"index": 0}]
    with read(any_lab.system) as unit:
        assert any("no line says" in one for one in api.condition(unit).problems)
    values = dict(zip(("commitment", "owner", "salt", "clear"), kept, strict=True))
    any_lab.sql(
        "INSERT INTO log_personal (commitment, owner, salt, clear) VALUES (:commitment, :owner, :salt, :clear)",
        **values,
    )
    assert api.look(any_lab.system).unkept == -1
    assert api.verify(any_lab.system).ok
