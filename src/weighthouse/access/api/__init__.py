"""The public face of access. `require` raises and leaves one line; `explain` says why and writes nothing.

Each function here checks, decides, stores and appends to the log in the one transaction of the unit it is given.
"""

from __future__ import annotations

from weighthouse.access.api.binding import bound
from weighthouse.access.api.calls import answer_calls, called, callers, keep_call, remember_call, waiting_calls
from weighthouse.access.api.cards import card, inbox, inbox_page, waiting
from weighthouse.access.api.catalogue import advise, names, search
from weighthouse.access.api.decision import explain, explain_for, explain_without_key, require
from weighthouse.access.api.doubting import close_on_doubt
from weighthouse.access.api.grants import give_back, grants_of, grants_page, revoke, valid_grant
from weighthouse.access.api.holds import holds, lift_hold, list_holds, log_doubts, place_hold, remembered_holds
from weighthouse.access.api.lasting import bound_lost, held, held_by, lost, refused_for_good, taken_back
from weighthouse.access.api.learning import close_for_good, doubt_after, learnt, learnt_to
from weighthouse.access.api.overtaking import told
from weighthouse.access.api.owing import declare, refuse_for_good, say_for_good, unheard
from weighthouse.access.api.previewing import check_looks, hold_as_asked, stopped_grants, stopped_requests, would_stop
from weighthouse.access.api.publishing import plan_policy, policy_in_force, policy_text, publish_policy
from weighthouse.access.api.requests import my_requests, requests_page, submit, withdraw
from weighthouse.access.api.seating import seating
from weighthouse.access.api.seats import check_silence
from weighthouse.access.api.stopping import stops
from weighthouse.access.api.subjects import holds_about, holds_against
from weighthouse.access.api.tidying import ever_refused, tidy
from weighthouse.access.api.votes import vote
from weighthouse.access.api.who import who_has
from weighthouse.access.model import (
    HELD_ACTIONS,
    WORKLOAD_ENVIRONMENT,
    WORKLOAD_GRANT,
    WORKLOAD_PERSON,
    WORKLOAD_SANDBOX,
    Access,
    Authority,
    AuthorityBallot,
    Card,
    Decision,
    Found,
    Grant,
    Hold,
    HoldCall,
    Names,
    Reason,
    Request,
    Slot,
    Stop,
    Suggestion,
    Vote,
    VoteSignature,
)
from weighthouse.access.rules.reasons import why_moved

__all__ = [
    "HELD_ACTIONS",
    "WORKLOAD_ENVIRONMENT",
    "WORKLOAD_GRANT",
    "WORKLOAD_PERSON",
    "WORKLOAD_SANDBOX",
    "Access",
    "Authority",
    "AuthorityBallot",
    "Card",
    "Decision",
    "Found",
    "Grant",
    "Hold",
    "HoldCall",
    "Names",
    "Reason",
    "Request",
    "Slot",
    "Stop",
    "Suggestion",
    "Vote",
    "VoteSignature",
    "advise",
    "answer_calls",
    "bound",
    "bound_lost",
    "called",
    "callers",
    "card",
    "check_looks",
    "check_silence",
    "close_for_good",
    "close_on_doubt",
    "declare",
    "doubt_after",
    "ever_refused",
    "explain",
    "explain_for",
    "explain_without_key",
    "give_back",
    "grants_of",
    "grants_page",
    "held",
    "held_by",
    "hold_as_asked",
    "holds",
    "holds_about",
    "holds_against",
    "inbox",
    "inbox_page",
    "keep_call",
    "learnt",
    "learnt_to",
    "lift_hold",
    "list_holds",
    "log_doubts",
    "lost",
    "my_requests",
    "names",
    "place_hold",
    "plan_policy",
    "policy_in_force",
    "policy_text",
    "publish_policy",
    "refuse_for_good",
    "refused_for_good",
    "remember_call",
    "remembered_holds",
    "requests_page",
    "require",
    "revoke",
    "say_for_good",
    "search",
    "seating",
    "stopped_grants",
    "stopped_requests",
    "stops",
    "submit",
    "taken_back",
    "tidy",
    "told",
    "unheard",
    "valid_grant",
    "vote",
    "waiting",
    "waiting_calls",
    "who_has",
    "why_moved",
    "withdraw",
    "would_stop",
]
