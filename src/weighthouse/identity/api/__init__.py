"""identity's public face: functions only. Each checks, decides, stores and appends to the log in one transaction.

The walks to and from an identity provider (`begin_sign_in`, `begin_step_up`, `finish_sign_in`) take the system
instead of a unit, because no lock may be held while a provider answers.
"""

from __future__ import annotations

from weighthouse.identity.api.accounts import account_holds
from weighthouse.identity.api.acts import check_act, factor_given, require_act
from weighthouse.identity.api.addressed import OUTDATED, audience, outdated, was_ours
from weighthouse.identity.api.authentication import authenticate
from weighthouse.identity.api.confirming import (
    confirm_first_key,
    confirm_others_key,
    confirm_own_key,
    confirmation,
)
from weighthouse.identity.api.devices import (
    check_key,
    device,
    devices_of,
    enrol_device,
    possession,
    thumbprint_of,
    verify_device_signature,
    waiting_keys,
)
from weighthouse.identity.api.directory import is_active, knew, people, person, person_for
from weighthouse.identity.api.disowning import disown
from weighthouse.identity.api.ending import end_device, end_device_of
from weighthouse.identity.api.ends import SIGNED_OUT
from weighthouse.identity.api.freezing import freeze, thaw
from weighthouse.identity.api.freshness import fresh_nonce
from weighthouse.identity.api.keys_aside import gone_by_rule, keys_aside, restore_key
from weighthouse.identity.api.lately import ended_lately, ended_page, lately, news
from weighthouse.identity.api.learning import learnt, learnt_to
from weighthouse.identity.api.new_keys import at_once
from weighthouse.identity.api.openings import opening, require_opening
from weighthouse.identity.api.results import record_sign_in
from weighthouse.identity.api.sessions import (
    disclaimed,
    disowned,
    end_sessions_of,
    ended_by_another,
    sessions_of,
)
from weighthouse.identity.api.settling import adopt_accounts, settle_accounts
from weighthouse.identity.api.sign_in import MOST_BEGUN, SEVERAL, finish_sign_in
from weighthouse.identity.api.signed_before import check_still_ours
from weighthouse.identity.api.starting import begin_sign_in, begin_step_up, callback_of, sign_out_address
from weighthouse.identity.api.tidying import tidy
from weighthouse.identity.api.told import disclaimed_in_log, is_of
from weighthouse.identity.api.typed import end_session
from weighthouse.identity.api.under_way import check_under_way
from weighthouse.identity.api.voices import has_voice, is_only_voice, rests_wholly_on
from weighthouse.identity.api.workloads import end_workload, issue_workload, renew_workload, workload_of
from weighthouse.identity.model import (
    Act,
    Arrival,
    Credential,
    Device,
    KeySignature,
    Person,
    Session,
    SignedIn,
    SignInResult,
    SignInStart,
)
from weighthouse.identity.rules.arrival import (
    DEVICE_COOKIE,
    SESSION_COOKIE,
    START_COOKIE,
    client_address,
    cookie,
    networks,
    read_credential,
)

__all__ = [
    "DEVICE_COOKIE",
    "MOST_BEGUN",
    "OUTDATED",
    "SESSION_COOKIE",
    "SEVERAL",
    "SIGNED_OUT",
    "START_COOKIE",
    "Act",
    "Arrival",
    "Credential",
    "Device",
    "KeySignature",
    "Person",
    "Session",
    "SignInResult",
    "SignInStart",
    "SignedIn",
    "account_holds",
    "adopt_accounts",
    "at_once",
    "audience",
    "authenticate",
    "begin_sign_in",
    "begin_step_up",
    "callback_of",
    "check_act",
    "check_key",
    "check_still_ours",
    "check_under_way",
    "client_address",
    "confirm_first_key",
    "confirm_others_key",
    "confirm_own_key",
    "confirmation",
    "cookie",
    "device",
    "devices_of",
    "disclaimed",
    "disclaimed_in_log",
    "disown",
    "disowned",
    "end_device",
    "end_device_of",
    "end_session",
    "end_sessions_of",
    "end_workload",
    "ended_by_another",
    "ended_lately",
    "ended_page",
    "enrol_device",
    "factor_given",
    "finish_sign_in",
    "freeze",
    "fresh_nonce",
    "gone_by_rule",
    "has_voice",
    "is_active",
    "is_of",
    "is_only_voice",
    "issue_workload",
    "keys_aside",
    "knew",
    "lately",
    "learnt",
    "learnt_to",
    "networks",
    "news",
    "opening",
    "outdated",
    "people",
    "person",
    "person_for",
    "possession",
    "read_credential",
    "record_sign_in",
    "renew_workload",
    "require_act",
    "require_opening",
    "restore_key",
    "rests_wholly_on",
    "sessions_of",
    "settle_accounts",
    "sign_out_address",
    "thaw",
    "thumbprint_of",
    "tidy",
    "verify_device_signature",
    "waiting_keys",
    "was_ours",
    "workload_of",
]
