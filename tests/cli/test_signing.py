"""A person signs what they were shown, even when the server that shows it has been taken over.

The attacker here is the server: it shows one request and asks for a signature over another one.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from weighthouse.cli import committee, review
from weighthouse.core.canonical import digest
from weighthouse.core.errors import WeighthouseError
from weighthouse.governance.model import Motion

Change = Callable[[dict[str, Any]], object]


def card() -> dict[str, Any]:
    request = {
        "id": "req_1",
        "entitlement": "wren-train",
        "resource": "model/wren",
        "person": "ada",
        "duration": 7_200_000,
        "reason": "Continue the ablation.",
        "slots": [{"name": "steward", "team": "weights-stewards", "count": 1}],
    }
    kept = {"state": "pending", "digest": "", "settled": None, "settled_why": "", "row": 7}
    named = digest(request)
    return {
        "request": {**request, **kept, "digest": named},
        "digest": named,
        "policy_digest": "sha256:" + "p" * 64,
        "statement": {
            "type": "weighthouse/vote/3",
            "request": "req_1",
            "request_digest": named,
            "policy_digest": "sha256:" + "p" * 64,
            "verdict": "approve",
            "voter": "ben",
            "device": "",
            "at": 1,
        },
    }


def test_an_honest_card_is_signed() -> None:
    shown = card()
    review.check_card(shown, shown["digest"])


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["request"].update(resource="model/tern"),
        lambda c: c["request"].update(duration=1),
        lambda c: c["request"].update(surprise="x"),
        lambda c: c["statement"].update(request_digest="sha256:" + "0" * 64),
        lambda c: c["statement"].update(request="req_2"),
        lambda c: c["statement"].update(policy_digest="sha256:" + "q" * 64),
        lambda c: c["statement"].update(type="weighthouse/grant/1"),
        lambda c: c["statement"].clear(),
    ],
    ids=["resource", "duration", "extra-field", "digest", "id", "policy", "type", "nothing"],
)
def test_a_server_that_shows_one_request_and_has_another_signed_is_refused(change: Change) -> None:
    shown = card()
    read = shown["digest"]
    change(shown)
    with pytest.raises(WeighthouseError) as caught:
        review.check_card(shown, read)
    assert caught.value.code == "cli.card_does_not_match"


def test_another_request_with_a_statement_to_match_is_refused_too() -> None:
    """The server swaps both the request and what is to be signed, and leaves only the digest that was read."""
    shown = card()
    read = shown["digest"]
    shown["request"]["resource"] = "model/tern"
    content = {name: value for name, value in shown["request"].items() if name not in review._NOT_SIGNED}
    shown["statement"]["request_digest"] = digest(content)
    with pytest.raises(WeighthouseError) as caught:
        review.check_card(shown, read)
    assert caught.value.code == "cli.card_does_not_match"


def test_a_request_that_has_moved_on_is_read_again() -> None:
    shown = card()
    with pytest.raises(WeighthouseError) as caught:
        review.check_card(shown, "sha256:" + "0" * 64)
    assert caught.value.code == "cli.card_changed"


def motion(cls: str) -> dict[str, Any]:
    made = Motion(
        id="mot_1", cls=cls, subject="hld_1", text="Lift it.", opened_by="gil", opened_at=1, charter="sha256:c"
    )  # type: ignore[arg-type]
    fields = {name: getattr(made, name) for name in made.__struct_fields__}
    fields["class"] = fields.pop("cls")
    return {"motion": fields, "digest": digest(made.statement())}


@pytest.mark.parametrize("cls", ["lift_hold", "ordinary"])
def test_an_honest_motion_is_signed_and_an_edited_one_is_not(cls: str) -> None:
    shown = motion(cls)
    committee._check_motion(shown, shown["digest"])
    for field in shown["motion"]:
        edited = copy.deepcopy(shown)
        edited["motion"][field] = "ordinary" if (field, cls) == ("class", "lift_hold") else "something else"
        with pytest.raises(WeighthouseError) as caught:
            committee._check_motion(edited, shown["digest"])
        assert caught.value.code == "cli.motion_changed"


def test_the_sdk_and_the_server_have_one_canonical_form() -> None:
    """Digests computed at a terminal must be those of the server, also beyond the first Unicode plane."""
    from weighthouse_sdk.client.http import canonical

    value = {"b": [1, True, None], "a": "Zürich \U0001f9ee", "\U0001f9ee": "x", "\uffff": "y"}
    assert "sha256:" + hashlib.sha256(canonical(value)).hexdigest() == digest(value)
