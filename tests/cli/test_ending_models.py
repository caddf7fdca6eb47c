"""`weighthouse weights destroy-model` and `undestroy-model` as they are typed: what is sent, and what is shown of it."""

from __future__ import annotations

from typing import Any

import pytest

from weighthouse.cli import exits, main, weights

ORDER = {
    "order": "dst_1",
    "model": "model/wren",
    "newest": "ver_1",
    "person": "eve",
    "approvers": ["ben", "chi"],
    "final": 1_790_000_000_000,
    "state": "being_destroyed",
}


class Connection:
    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer, self.sent = answer, list[tuple[str, dict[str, Any]]]()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.sent.append((path, body))
        return self.answer


@pytest.mark.parametrize(
    ("command", "answer", "shown"),
    [
        ("destroy", ORDER, ("model/wren", "ver_1", "eve", "ben, chi", "2026-09-21")),
        ("undestroy", {"model": "model/wren", "state": "kept"}, ("model/wren", "kept")),
    ],
)
def test_a_model_is_named_once_and_its_people_are_shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    answer: dict[str, Any],
    shown: tuple[str, ...],
) -> None:
    there = Connection(answer)
    monkeypatch.setattr(weights, "connect", lambda _: there)
    assert main.run(["weights", f"{command}-model", "model/wren", "--reason", "It must."]) == exits.OK
    assert there.sent == [(f"/weights/models/{command}", {"model": "model/wren", "reason": "It must."})]
    said = capsys.readouterr().out
    assert all(one in said for one in shown), said
