"""Reasons in words. Guards people from a bare no: each says what decided, and what to do about it."""

from __future__ import annotations

from weighthouse.access.model import Reason
from weighthouse.core.ids import GrantId

# Rules of policy in the order in which they decide. These speak before the lack of a grant does, _LATER after it.
_RULES: tuple[tuple[str, str, str], ...] = (
    ("held", "access.held", "A hold stands against this; a hold beats every grant."),
    ("inactive", "access.person_inactive", "The person or workload is frozen, has ended or left the lab."),
    ("unclassified", "access.resource_unclassified", "The resource has no sensitivity class, so nobody may use it."),
    ("workload-unbound", "access.workload_unbound", "The workload did not come through its run's own socket."),
    ("workload-reach", "access.workload_action", "A workload may only do what a run needs."),
)
_LATER: tuple[tuple[str, str, str], ...] = (
    ("workload-environment", "access.environment_mismatch", "The run is in another environment than the resource."),
    ("other-environment", "access.environment_mismatch", "The grant is for another environment."),
    ("not-now", "access.grant_expired", "The grant is not valid at this time; it has ended or not begun."),
    ("operation", "access.operation_differs", "The grant is for one operation, and this is another one."),
    (
        "image",
        "access.image_not_listed",
        "The class of the resource lists the images it may be used in; not this one.",
    ),
    ("sandbox", "access.sandbox_too_weak", "The class of the resource asks for a stronger sandbox."),
    (
        "outside-run",
        "access.outside_run",
        "This is for runs; the class does not list it under `outside_runs`.",
    ),
    ("assurance", "access.assurance_stale", "The class of the resource asks for a fresh second factor."),
    ("step-up", "access.assurance_stale", "This action asks for a second factor of the last fifteen minutes."),
)

_REMEDIES = {
    "access.held": "Ask who placed the hold; only lifting it opens this again.",
    "access.person_inactive": "Ask security; a frozen person is thawed by them.",
    "access.resource_unclassified": "Give the resource a class in the lab configuration.",
    "access.environment_mismatch": "Ask for an entitlement of the right environment.",
    "access.grant_expired": "Ask again; access ends by itself and is renewed by a new approval.",
    "access.base_moved": "Compare it anew (`weighthouse policy check FILE`), carry over what changed, and ask again.",
    "access.grant_ended": "Ask again, if you still need it.",
    "access.operation_differs": "Ask for exactly the operation you mean to do.",
    "access.image_not_listed": "Use a listed environment; `weighthouse run environments` shows yours.",
    "access.run_bound": "Submit another run; it is bound anew, to what it uses first.",
    "access.sandbox_too_weak": "Run it in the sandbox the class names.",
    "access.assurance_stale": "Confirm with your second factor, then do it again.",
    "access.no_such_resource": "Search for the resource; its name is spelt as the lab configuration spells it.",
    "access.workload_unbound": "Use the SDK inside the run; a run's token works nowhere else.",
    "access.workload_action": "Do this as a person.",
    "access.ordered_below": "Submit the run on this model, with a device key that counts.",
    "identity.key_missing": "Do it with the `weighthouse` command on a machine whose key is enrolled, and counts.",
    "identity.key_young": "Have it confirmed (`weighthouse devices confirm DEVICE`), or use an older key's machine.",
    "identity.device_not_certified": "Enrol the device again; tell security if you did not touch it.",
    "identity.device_unknown": "Sign in with a device that you have now.",
    "policy.evaluation_error": "Tell the operator; the rules failed, so the answer is no.",
}

_GRANT_TEXTS = {
    "access.grant_seal": "The grant in the database was not sealed by this control plane.",
    "access.grant_row_differs": "The grant's row says something else than its sealed statement.",
    "access.grant_ended": "The grant was ended before its time.",
    "access.run_bound": "The run has used this grant of its owner first and is bound to it; it does not give this.",
    "access.vote_signature": "A vote of this grant does not carry its voter's signature.",
    "access.vote_void": "A vote of this grant was cast by whoever held a session that was ended, so it is void.",
    "access.voter_inactive": "Somebody whose vote gave this grant no longer counts, so it is suspended.",
    "access.voter_device_ended": "A device that signed a vote of this grant was ended.",
    "access.voter_account_moved": "An account that voted for this grant is no longer its voter's.",
    "access.account_voted": "One account voted for this grant under two names.",
    "access.account_moved": "The account that asked for this is no longer its person's.",
    "access.voter_held": "A hold stands on somebody whose vote is needed.",
    "access.not_an_approver": "Somebody whose vote gave this grant is no longer in a team that may give it.",
    "access.attested_not_enough": "The class now asks for votes signed by devices.",
    "access.quorum_missing": "Policy now asks for approvals that this grant does not have.",
    "access.not_eligible": "The person is no longer in a team that may have this.",
    "access.policy_narrowed": "Policy no longer gives this.",
    "access.no_such_entitlement": "The entitlement or the resource is no longer in policy.",
    "access.separation": "Policy keeps this apart from something that the person holds and was given before.",
    "access.base_moved": "Another policy is in force now; the text would change what its approvers were not shown.",
    "access.operation_missing": "Policy now asks to name the operation.",
    "access.environment_mismatch": "The resource has moved to another environment.",
    "access.person_inactive": "The person is frozen or has left the lab.",
    "identity.key_young": "A key that signed a vote is new, and nobody has confirmed it yet.",
    "identity.device_not_certified": "A device that signed a vote does not carry this server's certificate.",
}


def remedy_of(code: str) -> str:
    """What to do about a refusal with this code."""
    return _REMEDIES.get(code, "Ask for an entitlement that gives this; the request page ranks them.")


ORDERED_BELOW = Reason(
    "access.ordered_below",
    "The run was ordered for a model whose class asks for no device key; this class does.",
    "key",
)


def inside(may_submit: bool, missing: tuple[str, ...]) -> str:
    """What to do about `access.outside_run`: how whoever asks comes to do the same inside a run."""
    said = "Do it in a run: `weighthouse run submit --model MODEL --dataset DATASET --code FOLDER -- python main.py`."
    if may_submit:
        return said
    return f"{said} Ask for '{missing[0]}' first, which lets you." if missing else f"{said} You need access for that."


def grant_reason(code: str, grant: str) -> Reason:
    """The reason why one grant does not count."""
    return Reason(code, _GRANT_TEXTS.get(code, "The grant does not count."), "grant", GrantId(grant))


def why_moved(code: str) -> str:
    """What policy no longer allows about a request, in words."""
    return _GRANT_TEXTS.get(code, f"({code}).")


def vote_lost(voter: str, code: str) -> str:
    """Why somebody's vote on an open request does not count, in words that call a forgery one and nothing else."""
    said = _LOST_VOTES.get(code, "A vote in the name of {voter} does not count").format(voter=voter)
    return f"{said} ({code})."


_AGAIN = "The vote of {voter} counts no more, since "
_FORGED = "A vote in the name of {voter} does not count: "
_LOST_VOTES = {
    "access.voter_device_ended": _AGAIN + "the device that signed it was ended; they may give it again",
    "access.vote_void": _AGAIN + "the session it was cast in was ended from elsewhere; they may give it again",
    "access.voter_account_moved": _AGAIN + "the account that gave it is no longer theirs",
    "access.account_voted": _FORGED + "the same account has voted under another name",
    "access.voter_inactive": _AGAIN + "they are frozen or have left the lab",
    "access.base_moved": _AGAIN
    + "it was given while another policy was in force than the one that this text follows",
    "access.voter_held": "The vote of {voter} does not count while a hold on them stands",
    "access.not_an_approver": _AGAIN + "they are not in a team that is asked now",
    "access.attested_not_enough": _AGAIN + "the class now asks for their device; they may give it again",
    "access.vote_signature": _FORGED + "it does not carry their signature, so somebody else may have written it",
    "access.vote_row_differs": _FORGED + "it is another's or for another request; somebody wrote the database",
    "identity.device_not_certified": _FORGED + "nobody enrolled its device here; somebody wrote the database",
}


def plain(code: str, text: str) -> Reason:
    """A reason that no rule of policy gave."""
    return Reason(code, text)


def order(
    policies: frozenset[str], basis: bool, problems: tuple[Reason, ...], grant: str | None, key: Reason | None = None
) -> tuple[Reason, ...]:
    """Order what forbade, what was wrong with grants, and the lack of any, the deciding reason first.

    What is wrong with the key that a person acts by comes last: to have it confirmed helps if nothing else forbids.
    """
    found = [Reason(code, text, rule, _id(grant)) for rule, code, text in _RULES if rule in policies]
    if not basis:
        found.extend(problems)
        if not problems:
            found.append(Reason("access.no_grant", "No grant and no standing entitlement gives this.", "default"))
    found += [Reason(code, text, rule, _id(grant)) for rule, code, text in _LATER if rule in policies]
    if key is not None and "key" in policies:
        found.append(key)
    return tuple(found)


def _id(grant: str | None) -> GrantId | None:
    return GrantId(grant) if grant else None
