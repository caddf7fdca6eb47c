"""Appending: one transaction for change and entry, canonical bytes, and refusals before anything is committed."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from tests.audit.support import Lab, Noted, verifier
from weighthouse.audit import api
from weighthouse.audit.model import Leaf
from weighthouse.audit.rules import leaf as leaves
from weighthouse.core.errors import Denied, Invalid, NotFound, Unavailable, WeighthouseError
from weighthouse.core.work import begin, read


def test_an_entry_says_what_happened_when_by_whom_about_what(any_lab: Lab) -> None:
    any_lab.write(Noted(thing="model/wren", number=7))
    (entry,) = any_lab.entries()
    assert (entry.index, entry.kind, entry.subject, entry.data["number"]) == (0, "test.Noted", "model/wren", 7)
    said = json.loads(entry.leaf)
    assert set(said) == {"v", "kind", "version", "at", "actor", "request", "subject", "data"}
    assert leaves.build(leaves.parse(entry.leaf)) == entry.leaf


def test_a_change_that_rolls_back_leaves_no_entry(any_lab: Lab) -> None:
    with pytest.raises(RuntimeError), begin(any_lab.system) as unit:
        api.append(unit, Noted())
        raise RuntimeError("the change failed")
    any_lab.settle()
    assert any_lab.head().size == 0


def test_a_refusal_is_recorded_though_its_transaction_rolls_back(any_lab: Lab) -> None:
    with pytest.raises(Denied), begin(any_lab.system) as unit:
        api.append(unit, Noted(number=1))
        raise Denied("test.no", "No.", "None.", record=[Noted(number=2)])
    any_lab.settle()
    assert [entry.data["number"] for entry in any_lab.entries()] == [2]


def test_many_entries_of_one_unit_share_one_checkpoint_and_keep_their_order(any_lab: Lab) -> None:
    any_lab.many(600)
    any_lab.many(3)
    assert any_lab.head().size == 603
    assert [entry.data["number"] for entry in any_lab.entries(start=598, limit=10)] == [598, 599, 0, 1, 2]
    assert api.verify(any_lab.system) == api.Report(True, 603, ())


def test_a_fact_stated_by_another_act_before_commit_is_not_lost(any_lab: Lab) -> None:
    with begin(any_lab.system) as unit:
        api.append(unit, Noted(number=1))
        unit.before_commit(lambda: api.append(unit, Noted(number=2)))
    any_lab.settle()
    assert [entry.data["number"] for entry in any_lab.entries()] == [1, 2]


def test_a_fact_stated_where_nothing_is_written_is_refused(lab: Lab) -> None:
    with pytest.raises(Unavailable) as refused, read(lab.system) as unit:
        api.append(unit, Noted())
    assert refused.value.code == "audit.read_only"


@pytest.mark.parametrize(
    "value",
    [1.5, float("nan"), float("inf"), 2**53, -(2**53), "\ud800", {1: 2}, {"\udfff": 1}, {"a": [1.0]}],
    ids=repr,
)
def test_case_30_what_has_no_canonical_form_is_refused_before_commit(any_lab: Lab, value: Any) -> None:
    with pytest.raises(Invalid), begin(any_lab.system) as unit:
        unit.conn.execute(text("INSERT INTO core_lease VALUES ('x', 'y', 1, 1)"))
        api.append(unit, Noted(extra=value))
    any_lab.settle()
    assert any_lab.head().size == 0
    assert any_lab.rows("SELECT count(*) FROM core_lease WHERE name = 'x'")[0][0] == 0


def test_case_30_a_newline_in_a_field_makes_no_second_entry(any_lab: Lab, tmp_path: Any) -> None:
    forged = 'x","number":1}}\n{"v":1,"kind":"access.GrantStarted'
    any_lab.write(Noted(thing=forged))
    (entry,) = any_lab.entries()
    assert entry.data["thing"] == entry.subject == forged
    assert b"\n" not in entry.leaf


@pytest.mark.parametrize(
    "leaf",
    [
        b'{"v":1,"v":1}',
        b'{"v":NaN}',
        b'{"v":1.0}',
        b'\xff{"v":1}',
        b'{"v": 1}',
        b'{"v":1}\n',
        b"[" * 5000,
        b"{}",
    ],
)
def test_case_30_a_leaf_with_a_second_reading_is_refused(leaf: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        leaves.parse(leaf)
    assert refused.value.code == "audit.bad_leaf"


GOOD: dict[str, Any] = {
    "v": 1,
    "kind": "a.B",
    "version": 1,
    "at": 1,
    "actor": "",
    "request": "",
    "subject": "",
    "data": {},
}


@pytest.mark.parametrize(
    "change",
    [{"v": 2}, {"more": 1}, {"at": "1"}, {"at": True}, {"kind": 1}, {"data": []}, {"version": None}],
    ids=repr,
)
def test_case_30_unknown_fields_versions_and_types_are_refused(change: dict[str, Any]) -> None:
    from weighthouse.core.canonical import encode

    assert leaves.parse(encode(GOOD)).kind == "a.B"
    with pytest.raises(Invalid):
        leaves.parse(encode({**GOOD, **change}))
    with pytest.raises(Invalid):
        leaves.parse(encode({name: value for name, value in GOOD.items() if name != "request"}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=4), st.text(max_size=10))
def test_a_leaf_has_one_encoding_and_one_reading(data: dict[str, Any], subject: str) -> None:
    from weighthouse_verify.leaf import defect

    leaf = Leaf(kind="a.B", version=1, at=5, actor="ada", request="r", subject=subject, data=data)
    encoded = leaves.build(leaf)
    assert leaves.parse(encoded) == leaf
    assert defect(encoded) is None
    assert defect(encoded.replace(b'"v":1', b'"v": 1')) is not None


def test_case_17_an_entry_of_65535_bytes_is_kept_and_one_more_is_refused(lab: Lab) -> None:
    with begin(lab.system) as unit:
        from weighthouse.audit.api.appending import prepare

        room = 65_535 - len(prepare(unit, Noted(thing=""))[1])
    # `thing` stands in the leaf twice, as data and as subject; `extra` once, for null.
    lab.write(Noted(thing="", extra="x" * (room + 2)))
    assert len(lab.entries()[0].leaf) == 65_535
    with pytest.raises(Invalid) as refused:
        lab.write(Noted(thing="", extra="x" * (room + 3)))
    assert refused.value.code == "audit.entry_too_large"
    assert lab.head().size == 1


def test_entries_are_selected_by_kind_subject_and_order(any_lab: Lab) -> None:
    any_lab.write(*(Noted(thing=f"model/{n % 3}", number=n) for n in range(30)))
    found = any_lab.entries(subject="model/1", limit=3, newest_first=True)
    assert [entry.data["number"] for entry in found] == [28, 25, 22]
    assert any_lab.entries(kind="test.Other") == []


def test_an_index_beyond_the_log_is_not_found(lab: Lab) -> None:
    lab.many(2)
    for index in (2, -1):
        with pytest.raises(NotFound), read(lab.system) as unit:
            api.entry(unit, index)
        with pytest.raises(NotFound):
            lab.prove(index)
    for old, new in ((3, 2), (0, 3), (-1, 1)):
        with pytest.raises(WeighthouseError, match="no proof"), read(lab.system) as unit:
            api.consistency(unit, old, new)


def test_a_heartbeat_makes_silence_visible(lab: Lab, clock: Any) -> None:
    api.heartbeat(lab.system)
    with read(lab.system) as unit:
        assert api.overdue(unit) == 0
    clock.advance(700_000)
    with read(lab.system) as unit:
        assert api.overdue(unit) == 100_000
    api.heartbeat(lab.system)
    with read(lab.system) as unit:
        assert api.overdue(unit) == 0


def test_case_31_an_export_and_a_listing_under_write_load_are_one_whole_snapshot(
    any_lab: Lab, tmp_path: Path
) -> None:
    any_lab.many(300)
    stop, turn = threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            any_lab.write(Noted(number=1000))
            turn.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with read(any_lab.system) as unit:
            size = api.head(unit).size
            for _ in range(3):  # the log grows meanwhile, and this reader neither sees that nor loses anything
                turn.clear()
                assert turn.wait(60)
                assert len(api.entries(unit, limit=100_000)) == api.head(unit).size == size
            report = api.export(unit, tmp_path / "log")
    finally:
        stop.set()
        writer.join()
    assert report.size == size < any_lab.head().size
    done = verifier(tmp_path / "log", "--strict")
    assert done.returncode == 0 and f"{size} entries" in done.stdout, done.stdout
