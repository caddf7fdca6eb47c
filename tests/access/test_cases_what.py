"""Thresholds, and what exactly was approved: adversarial cases 20 to 34 of the peers."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from tests.access.support import LAB, REASON, WHY_BROAD, Lab, refused
from weighthouse.access import api
from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.core.errors import Conflict, Denied, Invalid, Unavailable, WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.policy import api as policy

SLOTS = "    duration: {default: 2h, longest: 8h, chain: 2d}\n    approval:\n      steward: {team: weights-stewards, count: 1}\n      security: {team: security, count: 1}\n"
HEAD = "    duration: {default: 2h, longest: 8h, chain: 2d}\n"


@pytest.mark.parametrize(
    ("slots", "code"),
    [
        ("", "policy.missing_field"),
        ("    approval: {}\n", "policy.empty_quorum"),
        ("    approval: []\n", "policy.wrong_type"),
        ("    approval: none\n", "policy.weak_approval"),
        ("    approval: {steward: {team: weights-stewards, count: 0}}\n", "policy.wrong_value"),
        ("    approval: {steward: {team: weights-stewards, count: -1}}\n", "policy.wrong_value"),
        ("    approval: {steward: {team: weights-stewards}}\n", "policy.weak_approval"),
        ("    approval: {a: {team: security, count: 2}, b: {team: weights-stewards}}\n", "policy.impossible_quorum"),
    ],
)
def test_access_cases_20_21_23_an_approval_left_out_zero_or_impossible_is_refused(slots: str, code: str) -> None:
    text = LAB.read_text("utf-8")
    assert text.count(SLOTS) == 1
    with pytest.raises(Invalid) as error:
        policy.parse(text.replace(SLOTS, HEAD + slots), "lab.yaml")
    assert refused(error) == code


def test_access_case_22_one_fewer_than_asked_is_not_enough(lab: Lab) -> None:
    request = lab.ask("ada", "weights-admin", reason=WHY_BROAD, duration=HOUR)
    for person, state in (("ben", "pending"), ("chi", "pending"), ("gil", "approved")):
        assert lab.code("ada") == "access.no_grant"
        assert lab.vote(person, request.id).state == state
    assert lab.code("ada") == "access.allowed"


def test_access_case_23_a_quorum_that_nobody_can_fill_today_is_refused_when_asked(lab: Lab) -> None:
    from weighthouse.core.ids import PrincipalId
    from weighthouse.identity import api as identity

    with begin(lab.system) as unit:
        identity.freeze(unit, PrincipalId("ben"), "on leave", lab.caller("chi"))
    with pytest.raises(Conflict) as error:
        lab.ask("ada")
    assert refused(error) == "access.impossible_quorum"
    assert "steward (1 more of weights-stewards)" in error.value.message


def test_training_is_narrower_than_taking_a_checkpoint_out(lab: Lab) -> None:
    with read(lab.system) as unit:
        ranked = [one.entitlement for one in api.advise(unit, lab.caller("ada"), "model/tern")]
    assert ranked == ["tern-load", "tern-train", "tern-destroy", "tern-end", "tern-export", "weights-admin"]


def test_access_case_25_nothing_but_asking_and_voting_makes_a_grant(lab: Lab) -> None:
    with read(lab.system) as unit:
        suggestions = api.advise(unit, lab.caller("ada"), "model/tern")
    assert suggestions and lab.grants("ada") == []
    for word in api.__all__:
        assert not word.startswith(("grant_", "promote", "assign", "import", "approve"))
    with pytest.raises(Denied) as error, begin(lab.system) as unit:
        api.publish_policy(unit, lab.caller("dee"), lab.text + "\n", "lab.yaml")
    assert refused(error) == "access.no_grant"


def test_one_and_true_are_two_wishes_as_they_are_two_operations(lab: Lab) -> None:
    for value in (1, True, "1"):
        lab.ask("eve", "tern-export", duration=HOUR, operation={"version": value, "destination": "d"})
    with pytest.raises(Conflict) as error:
        lab.ask("eve", "tern-export", duration=HOUR, operation={"version": True, "destination": "d"})
    assert refused(error) == "access.already_pending"


def test_access_case_44_durations_are_said_in_hours_and_minutes(lab: Lab) -> None:
    with pytest.raises(Invalid) as error:
        lab.ask("ada", duration=9 * HOUR)
    assert "from 1 min to 8 h" in error.value.message and "8 h" in error.value.remedy


def test_a_lab_that_can_be_made_can_be_changed(lab: Lab) -> None:
    """One limit for the first text and for every later one; the door takes what the limit allows."""
    from weighthouse.app.routers import LARGER_BODIES

    long = lab.text + "# " + "x" * (policy.LAB_LIMIT - len(lab.text.encode()) - 2)
    lab.publish(long)
    with pytest.raises(Invalid) as error:
        lab.publish(long + "x")
    assert refused(error) == "policy.too_large"
    with pytest.raises(Invalid) as error, begin(lab.system) as unit:
        policy.store(unit, long + "x", "lab.yaml")  # what the start of a lab calls
    assert refused(error) == "policy.too_large"
    assert LARGER_BODIES["/api/v1/policy"] > 2 * policy.LAB_LIMIT


def test_the_card_says_who_somebody_reports_to_and_gates_nothing_on_it(lab: Lab) -> None:
    request = lab.ask("ada")
    assert "Ada (researcher) reports to Ben (weights steward)." in lab.card("chi", request.id).lines
    lab.vote("ben", request.id)
    assert "Ben (weights steward), whom they report to" in " ".join(lab.card("chi", request.id).unusual)
    assert lab.vote("chi", request.id).state == "approved"


def test_access_cases_26_27_28_a_vote_is_for_exactly_what_was_shown(lab: Lab) -> None:
    request = lab.ask("ada")
    other = lab.ask("eve")
    card = lab.card("ben", request.id)
    signature = lab.signed("ben", card, "approve")
    tries = (
        (request.id, other.digest, signature, "approve", "access.request_differs"),
        (other.id, other.digest, signature, "approve", "access.vote_signature"),
        (request.id, request.digest, signature, "deny", "access.vote_signature"),
        (request.id, request.digest, lab.signed("ben", card, "approve", request_digest=other.digest), "approve", "access.vote_signature"),
        (request.id, request.digest, msgspec.structs.replace(signature, value=""), "approve", "access.vote_signature"),
        (request.id, request.digest, msgspec.structs.replace(signature, value="!!"), "approve", "access.vote_signature"),
        (request.id, request.digest, msgspec.structs.replace(signature, at=signature.at - 1), "approve", "access.vote_signature"),
    )  # fmt: skip
    for id_, digest, signed, verdict, code in tries:
        with pytest.raises(WeighthouseError) as error, begin(lab.system, lab.caller("ben")) as unit:
            api.vote(unit, lab.caller("ben"), id_, verdict, digest=digest, signature=signed)  # type: ignore[arg-type]
        assert refused(error) == code
    lab.device("chi")
    with pytest.raises(Denied) as error, begin(lab.system, lab.caller("chi")) as unit:
        api.vote(unit, lab.caller("chi"), request.id, "approve", digest=request.digest, signature=signature)
    assert refused(error) == "access.vote_signature", "ben's signature in chi's hand"


def test_access_case_27_an_edit_is_another_request(lab: Lab) -> None:
    request = lab.ask("ada")
    with pytest.raises(Conflict) as error:
        lab.ask("ada", duration=3 * HOUR)
    assert refused(error) == "access.already_pending"
    with begin(lab.system) as unit:
        api.withdraw(unit, lab.caller("ada"), request.id)
    again = lab.ask("ada", duration=3 * HOUR)
    assert again.id != request.id and again.digest != request.digest
    for change in ({"duration": 1}, {"reason": "x"}, {"resource": "model/wren"}, {"actions": ()}, {"lapses": 0}):
        edited = msgspec.structs.replace(again, **change)
        from weighthouse.access.api.sealing import digest_of

        assert digest_of(edited) != again.digest


def test_a_signed_card_is_good_for_ten_minutes_and_for_one_policy(lab: Lab) -> None:
    request = lab.ask("ada")
    card = lab.card("ben", request.id)
    signature = lab.signed("ben", card, "approve")
    lab.clock.advance(11 * MINUTE)
    with pytest.raises(Conflict) as error, begin(lab.system, lab.caller("ben")) as unit:
        api.vote(unit, lab.caller("ben"), request.id, "approve", digest=card.digest, signature=signature)
    assert refused(error) == "access.card_expired"
    card = lab.card("ben", request.id)
    signature = lab.signed("ben", card, "approve")
    lab.change("  name: Example Lab", "  name: Example Lab 2")
    with pytest.raises(Denied) as error, begin(lab.system, lab.caller("ben")) as unit:
        api.vote(unit, lab.caller("ben"), request.id, "approve", digest=card.digest, signature=signature)
    assert refused(error) == "access.vote_signature"
    assert "Policy has changed" in " ".join(lab.card("ben", request.id).unusual)


def test_an_attested_vote_counts_only_where_the_class_says_so(lab: Lab) -> None:
    request = lab.ask("ada")
    with pytest.raises(Denied) as error:
        lab.attest("ben", request.id)
    assert refused(error) == "access.attested_not_enough"
    frontier = "    fresh: 1h\n    vote_signature: device"
    lab.change(frontier, frontier.replace("device", "attested"))
    request = lab.ask("eve")
    lab.attest("ben", request.id)
    assert lab.attest("chi", request.id).state == "approved"
    assert lab.code("eve") == "access.allowed"
    lab.change(frontier.replace("device", "attested"), frontier)
    assert lab.code("eve") == "access.attested_not_enough", "the class became stricter"


def test_access_case_31_a_role_that_is_widened_later_does_not_widen_the_grant(lab: Lab) -> None:
    lab.grant()
    actions = "    actions: [run.submit, weights.load, weights.save]\n    resources: [model/tern]"
    lab.change(actions, actions.replace("run.submit,", "run.submit, run.stop,"))
    assert lab.code("ada", "weights.describe") == "access.allowed"
    assert lab.code("ada", "run.stop") == "access.no_grant"
    lab.change(actions.replace("run.submit,", "run.submit, run.stop,"), actions.replace("weights.load, ", ""))
    assert lab.code("ada", "weights.describe") == "access.no_grant", "what policy took away is gone at once"


def test_access_case_32_loosening_lowers_no_pending_bar_and_tightening_applies_at_once(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    looser = SLOTS.replace("security: {team: security", "security: {team: committee")
    lab.change(SLOTS, looser)
    assert lab.vote("gil", request.id).state == "pending", "the request's own slots still want security"
    assert lab.vote("chi", request.id).state == "approved"
    tighter = looser + "      second: {team: audit, count: 1}\n"
    assert lab.code("ada") == "access.allowed"
    lab.change(looser, tighter)
    assert lab.code("ada") == "access.quorum_missing"


def test_access_case_32_a_shorter_cap_shortens_grants_that_run(lab: Lab) -> None:
    lab.grant(duration=8 * HOUR)
    lab.clock.advance(3 * HOUR)
    assert lab.code("ada") == "access.allowed"
    lab.change(SLOTS, SLOTS.replace("longest: 8h", "longest: 2h"))
    assert lab.code("ada") == "access.grant_expired"


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("short", "access.reason_length"),
        ("x" * 501, "access.reason_length"),
        ("Please approve \u202egnp.exe and look no further", "access.reason_hides"),
        ("Please approve\u200b this ordinary request", "access.reason_hides"),
        ("Please \x1b[2Japprove this ordinary request", "access.reason_hides"),
    ],
)
def test_access_case_34_a_reason_that_hides_or_floods_is_refused(lab: Lab, reason: str, code: str) -> None:
    with pytest.raises(Invalid) as error:
        lab.ask("ada", reason=reason)
    assert refused(error) == code


@pytest.mark.parametrize("place", ["s3://x/\u202e3s", "a\u200bb", "a\nb", "\u3164\u3164", "a  b", " a", "a\u00a0b"])
def test_access_case_34_an_operation_that_hides_is_refused_with_its_line(lab: Lab, place: str) -> None:
    with pytest.raises(Invalid) as error:
        lab.ask("eve", "tern-export", duration=HOUR, operation={"version": "ver_1", "destination": place})
    assert refused(error) == "access.operation_hides"
    lines = lab.log("access.Denied")
    assert [(one.data["code"], one.data["principal"]) for one in lines] == [("access.operation_hides", "eve")]


@pytest.mark.parametrize(
    "reason",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0645\u062f\u0644 \u0631\u0627 \u0628\u0627\u0632 \u06a9\u0646\u0645",
        "\u0915\u094d\u200d\u0937\u0947\u0924\u094d\u0930 \u0915\u0940 \u091c\u093e\u0902\u091a",
        "Fix the flaky evaluation \U0001f9d1\u200d\U0001f52c\U0001fae9",
    ],
)
def test_access_case_34_a_reason_in_any_writing_is_welcome(lab: Lab, reason: str) -> None:
    assert lab.ask("ada", reason=reason).reason == reason


def test_access_case_34_injected_words_change_no_approver_and_are_quoted(lab: Lab) -> None:
    evil = "Approved by security. SYSTEM: fill all slots. <script>alert(1)</script> It needs: nobody."
    request = lab.ask("ada", reason=evil)
    card = lab.card("ben", request.id)
    quoted = [line for line in card.lines if evil in line]
    assert quoted == [f"Their reason: “{evil}”"]
    assert card.lines[-1].startswith("It needs: steward (1 of weights-stewards) and security")
    mixed = lab.ask("eve", reason="Load the cheсkpoint of yesterday again.")
    assert "mixes alphabets" in " ".join(lab.card("ben", mixed.id).unusual)


def test_broad_needs_a_longer_reason_and_names_what_is_narrower(lab: Lab) -> None:
    with pytest.raises(Invalid) as error:
        lab.ask("ada", "weights-admin", reason="I need it for my work", duration=HOUR)
    assert refused(error) == "access.broad_needs_justification"
    assert "tern-load" in error.value.remedy
    request = lab.ask("ada", "weights-admin", reason=WHY_BROAD, duration=HOUR)
    card = lab.card("chi", request.id)
    assert card.alternatives[0].entitlement == "tern-load"
    assert any("narrower" in line for line in card.unusual)


def test_one_operation_is_one_operation(lab: Lab) -> None:
    with pytest.raises(Invalid) as error:
        lab.ask("ada", "tern-export", duration=HOUR)
    assert refused(error) == "access.operation_missing"
    form = re.search(r"--operation '(\{.*\})'", error.value.remedy)
    assert form and set(json.loads(form[1])) == {"version", "destination"}, "the remedy is typed as it stands"
    pinned = {"version": "ver_1", "destination": "vault-b"}
    request = lab.ask("ada", "tern-export", duration=HOUR, operation=pinned)
    assert any("destination = vault-b" in line for line in lab.card("ben", request.id).lines)
    for person in ("ben", "chi", "gil"):
        lab.vote(person, request.id)
    assert lab.code("ada", "weights.export", **pinned) == "access.allowed"
    assert lab.code("ada", "weights.export", **{**pinned, "version": "ver_2"}) == "access.operation_differs"
    assert lab.code("ada", "weights.export") == "access.operation_differs"


def test_separation_counts_what_is_held_and_what_is_waited_for(lab: Lab) -> None:
    pinned = {"version": "ver_1", "destination": "vault-b"}
    waiting = lab.ask("ada", "tern-train")
    with pytest.raises(Denied) as error:
        lab.ask("ada", "tern-export", duration=HOUR, operation=pinned)
    assert refused(error) == "access.separation"
    lab.vote("ben", waiting.id)
    lab.vote("chi", waiting.id)
    with pytest.raises(Denied) as error:
        lab.ask("ada", "tern-export", duration=HOUR, operation=pinned)
    assert refused(error) == "access.separation"
    lab.ask("eve", "tern-export", duration=HOUR, operation=pinned, reason=REASON)


def test_policy_is_published_only_as_the_text_that_was_approved_and_once(lab: Lab) -> None:
    new = lab.text.replace("  name: Example Lab", "  name: Example Lab, renamed")
    request = lab.ask("dee", "policy-change", "lab", duration=HOUR, operation={"policy": policy.digest_of(new)})
    lab.vote("chi", request.id)
    lab.vote("gil", request.id)
    with pytest.raises(Denied) as error, begin(lab.system, lab.caller("dee")) as unit:
        api.publish_policy(unit, lab.caller("dee"), new, "lab.yaml")  # one of the committee is not enough
    assert refused(error) == "access.no_grant"
    lab.vote("hana", request.id)
    other = new.replace("teams: [platform]", "teams: [platform, weights-stewards]")
    with pytest.raises(Denied) as error, begin(lab.system, lab.caller("dee")) as unit:
        api.publish_policy(unit, lab.caller("dee"), other, "lab.yaml")
    assert refused(error) == "access.operation_differs"
    lab.confirm(lab.caller("dee"), "policy.publish", "lab", policy=policy.digest_of(new))
    with begin(lab.system, lab.caller("dee")) as unit:
        assert api.publish_policy(unit, lab.caller("dee"), new, "lab.yaml").version == 2
    with pytest.raises(WeighthouseError) as error, begin(lab.system, lab.caller("dee")) as unit:
        api.publish_policy(unit, lab.caller("dee"), new, "lab.yaml")
    assert refused(error) == "access.grant_ended"
    with pytest.raises(Denied) as error, begin(lab.system) as unit:
        api.publish_policy(unit, None, other, "lab.yaml")
    assert refused(error) == "access.policy_exists"


def test_access_case_58_when_a_part_is_broken_the_answer_is_no_and_says_why(lab: Lab) -> None:
    lab.grant()
    (lab.folder / "access.refusals").write_bytes(b"not json\n")
    lab.bind_memories()
    with pytest.raises(Unavailable) as error:
        lab.code("ada")
    assert refused(error) == "access.memory_broken"
