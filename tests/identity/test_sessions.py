"""Sessions in use: bound, ended, sealed. Every theft of one fails, ends it, and is in the log once."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import threading

import httpx
import msgspec
import pytest

from tests.identity import forge
from tests.identity.support import AGENT, LAB, ORIGIN, Lab
from weighthouse.core.clock import DAY, MINUTE, SECOND
from weighthouse.core.errors import NotFound, Unauthenticated
from weighthouse.core.ids import new_id
from weighthouse.core.signing import MemorySigners
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api.states import change_state, state_of
from weighthouse.identity.ports import Memory
from weighthouse.identity.store.memory import ProcessMemory
from weighthouse_sdk.client import Client, DeviceKey, ProblemError

ME = ORIGIN + "/api/v1/me"


def code_of(client: Client) -> str:
    """What `me` answers this client: its refusal's code, or nothing."""
    try:
        client.get("me")
    except ProblemError as error:
        return error.code
    return ""


def credential(lab: Lab, client: Client, proof: str = "", **changes: str) -> api.Credential:
    given = {"kind": "dpop", "value": client.token, "method": "GET", "url": ME, "address": "127.0.0.1", **changes}
    proof = proof or forge.proof(
        client.key, "GET", ME, lab.clock.now(), client.token, nonce=api.fresh_nonce(lab.system)
    )
    return msgspec.convert({**given, "proof": given.get("proof", proof)}, api.Credential)


@pytest.mark.parametrize(
    ("peer", "agent", "changed"),
    [("10.9.9.9", AGENT, "browser mark"), ("127.0.0.1", "curl/8", "browser mark"), ("::1", AGENT, "browser mark")],
)
def test_identity_case_26_a_stolen_cookie_ends_the_session(lab: Lab, peer: str, agent: str, changed: str) -> None:
    victim = lab.browser()
    victim.sign_in("ada")
    thief = lab.browser(peer=peer, agent=agent)
    thief.cookies["__Host-sid"] = victim.cookies["__Host-sid"]
    lines = len(lab.log())

    answer = thief.me()

    assert (answer.status_code, answer.json()["code"]) == (401, "identity.session_used_elsewhere")
    (line,) = lab.log()[lines:]
    assert (line.kind, line.data["changed"]) == ("identity.SessionUsedElsewhere", changed)
    assert victim.me().json()["code"] == "identity.session_ended"
    with read(lab.system) as unit:
        assert api.sessions_of(unit, "ada") == []
    assert len(lab.log()) == lines + 1  # knocking again adds nothing


def test_identity_case_26_a_cookie_does_not_turn_into_a_token_nor_a_token_into_a_cookie(lab: Lab) -> None:
    browser, client = lab.browser(), lab.sign_in("ben")
    browser.sign_in("ada")
    thief = lab.client()
    thief.token = browser.cookies["__Host-sid"]
    assert code_of(thief) == "identity.session_used_elsewhere"
    other = lab.browser()
    other.cookies["__Host-sid"] = client.token
    assert other.me().json()["code"] == "identity.session_used_elsewhere"
    assert code_of(client) == "identity.session_ended"


def test_identity_case_26_a_token_with_another_key_ends_the_session(lab: Lab) -> None:
    client = lab.sign_in("ada")
    thief = lab.client(peer="10.9.9.9")
    thief.token = client.token
    lines = len(lab.log())
    assert code_of(thief) == "identity.session_used_elsewhere"
    (line,) = lab.log()[lines:]
    assert (line.kind, line.data["changed"]) == ("identity.SessionUsedElsewhere", "key")
    assert code_of(client) == "identity.session_ended"


def test_a_session_used_elsewhere_stays_ended_when_found_out_in_a_unit_that_writes(lab: Lab) -> None:
    client = lab.sign_in("ada")
    stolen = credential(
        lab,
        client,
        forge.proof(
            DeviceKey.generate(), "GET", ME, lab.clock.now(), client.token, nonce=api.fresh_nonce(lab.system)
        ),
    )
    lines = len(lab.log())
    with pytest.raises(Unauthenticated), begin(lab.system) as unit:
        api.authenticate(unit, stolen)
    assert [entry.kind for entry in lab.log()[lines:]] == ["identity.SessionUsedElsewhere"]
    assert code_of(client) == "identity.session_ended"
    lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    assert code_of(client) == "identity.session_ended"  # the server was restarted before it could write it down
    assert (api.tidy(lab.system), api.tidy(lab.system)) == (1, 0)
    with read(lab.system) as unit:
        assert api.sessions_of(unit, "ada") == []


PROOFS = {
    "none": ("", {}, "token_malformed"),
    "htm": ("proof", {"htm": "POST"}, "proof_refused"),
    "htu path": ("proof", {"htu": ORIGIN + "/api/v1/people"}, "proof_refused"),
    "htu host": ("proof", {"htu": "http://evil.example/api/v1/me"}, "proof_refused"),
    "htu userinfo": ("proof", {"htu": "http://x@127.0.0.1:8040/api/v1/me"}, "proof_refused"),
    "ath absent": ("proof", {"ath": None}, "proof_refused"),
    "ath other": ("proof", {"ath": "x" * 43}, "proof_refused"),
    "iat text": ("proof", {"iat": "now"}, "proof_refused"),
    "jti absent": ("proof", {"jti": None}, "proof_refused"),
    "jti short": ("proof", {"jti": "x"}, "proof_refused"),
    "jti with line break": ("proof", {"jti": "x" * 20 + "\n"}, "proof_refused"),
    "typ": ("proof", {"header": {"typ": "JWT"}}, "proof_refused"),
    "typ confusion": ("proof", {"header": {"typ": "at+jwt"}}, "proof_refused"),
    "alg none": ("proof", {"header": {"alg": "none"}}, "token_algorithm"),
    "alg HS256": ("proof", {"header": {"alg": "HS256"}}, "token_algorithm"),
    "kid": ("proof", {"header": {"kid": "x"}}, "token_header"),
    "no jwk": ("proof", {"header": {"jwk": None}}, "proof_refused"),
    "private jwk": ("proof", {"header": {"jwk": "private"}}, "proof_refused"),
    "RSA jwk": ("proof", {"header": {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}}, "proof_refused"),
    "htm lower case": ("proof", {"htm": "get"}, "proof_refused"),
    "htu with a slash": ("proof", {"htu": ME + "/"}, "proof_refused"),
    "htu not text": ("proof", {"htu": [ME]}, "proof_refused"),
    "ath half a character": ("proof", {"ath": "\ud800"}, "token_malformed"),
    "iat float": ("proof", {"iat": 1.5}, "proof_refused"),
    "iat true": ("proof", {"iat": True, "header": {}}, "proof_refused"),
    "crit": ("proof", {"header": {"crit": ["exp"]}}, "token_header"),
    "jwk as text": ("proof", {"header": {"jwk": "{}"}}, "proof_refused"),
    "signed by another key": ("proof", {"header": {"jwk": "another"}}, "token_signature"),
    "not on the curve": ("proof", {"header": {"jwk": "moved"}}, "proof_refused"),
}


@pytest.mark.parametrize("name", PROOFS)
def test_identity_case_27_a_proof_must_fit_this_request(lab: Lab, name: str) -> None:
    client = lab.sign_in("ada")
    how, changes, code = PROOFS[name]
    changes = {key: dict(value) if isinstance(value, dict) else value for key, value in changes.items()}
    jwk = changes.get("header", {}).get("jwk", ...)
    if jwk == "private":
        changes["header"]["jwk"] = {**client.key.jwk, "d": client.key.jwk["x"]}
    if jwk == "another":
        changes["header"]["jwk"] = DeviceKey.generate().jwk
    if jwk == "moved":
        changes["header"]["jwk"] = {**client.key.jwk, "y": client.key.jwk["x"]}
    proof = (
        forge.proof(
            client.key, "GET", ME, lab.clock.now(), client.token, **{"nonce": api.fresh_nonce(lab.system), **changes}
        )
        if how
        else ""
    )
    lines = len(lab.log())

    with pytest.raises(Unauthenticated) as refusal, begin(lab.system) as unit:
        api.authenticate(unit, msgspec.structs.replace(credential(lab, client), proof=proof))

    assert refusal.value.code == f"identity.{code}"
    (line,) = lab.log()[lines:]
    assert (line.kind, line.data["code"]) == ("identity.CredentialRefused", f"identity.{code}")
    assert code_of(client) == ""  # somebody else's bad proof does not end it


def test_identity_case_27_a_proof_counts_once(lab: Lab) -> None:
    client = lab.sign_in("ada")
    proof = forge.proof(client.key, "GET", ME, lab.clock.now(), client.token, nonce=api.fresh_nonce(lab.system))
    headers = {"authorization": f"DPoP {client.token}", "dpop": proof, "accept": "application/json"}
    http = lab.browser().http
    assert (first := http.get(ME, headers=headers)).status_code == 200, first.text
    lines = len(lab.log())
    answer = http.get(ME, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.proof_replayed")
    assert [entry.kind for entry in lab.log()[lines:]] == ["identity.CredentialRefused"]


def test_identity_case_27_the_token_endpoint_wants_the_key_that_began(lab: Lab) -> None:
    client, thief = lab.client(), lab.client()
    start = client.post("login", {"redirect_uri": "http://127.0.0.1:1/callback", "device_jwk": client.key.jwk})
    target = lab.browser().to_callback(start["url"], "ada")
    lines = len(lab.log())
    params = dict(httpx.URL(target).params)
    with pytest.raises(ProblemError) as refusal:
        thief.post("token", {"transaction": start["transaction"], "params": params})
    assert refusal.value.code == "identity.proof_refused"
    assert [entry.kind for entry in lab.log()[lines:]] == ["identity.SignInFailed"]
    assert lab.told("SignInFailed", "reason")[-1] == "identity.proof_refused"


@pytest.mark.parametrize("header", ["__Host-sid=a; __Host-sid=b", "__Host-sid=b; other=1; __Host-sid=a"])
def test_identity_case_25_two_cookies_of_one_name_are_not_chosen_from(lab: Lab, header: str) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    mine = browser.cookies["__Host-sid"]
    answer = browser.http.get(ME, headers={"cookie": header.replace("a", mine), "accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.credential_ambiguous")
    answer = browser.me(authorization="DPoP x")
    assert answer.json()["code"] == "identity.credential_ambiguous"


def test_a_session_ends_when_idle_and_in_any_case_after_eight_hours(lab: Lab) -> None:
    client = lab.sign_in("ada")
    lab.clock.advance(30 * MINUTE - SECOND)
    assert code_of(client) == ""
    lab.clock.advance(30 * MINUTE)
    assert code_of(client) == "identity.session_expired"
    client = lab.sign_in("ada", client)
    for _ in range(19):
        lab.clock.advance(25 * MINUTE)
        assert code_of(client) == ""
    lab.clock.advance(5 * MINUTE)
    assert code_of(client) == "identity.session_expired"


def test_a_session_begun_while_a_clock_had_leapt_ahead_does_not_live_until_then(lab: Lab) -> None:
    now = lab.clock.now()
    lab.clock.set(now + 3650 * DAY)
    client = lab.sign_in("ada")
    assert code_of(client) == ""
    lab.clock.set(now)
    lab.system._time = None  # a restart: the second of that year is forgotten
    assert code_of(client) == "identity.session_expired"


def test_identity_case_50_a_step_up_does_not_lengthen_a_session(lab: Lab) -> None:
    client = lab.sign_in("ada")
    ends = client.get("sessions")["items"][0]["ends"]
    lab.clock.advance(20 * MINUTE)
    old = client.token
    lab.sign_in("ada", client, step_up=True)
    (session,) = client.get("sessions")["items"]
    assert session["ends"] == ends and session["assurance"]["at"] > lab.clock.now() - SECOND
    assert client.token != old
    client.token = old
    assert code_of(client) == "identity.session_unknown"
    assert [entry.kind for entry in lab.log()][-1] == "identity.StepUpDone"


def test_identity_case_50_the_oldest_session_ends_when_there_are_too_many(lab: Lab) -> None:
    clients = [lab.sign_in("ada") for _ in range(11)]
    assert [code_of(client) for client in clients] == ["identity.session_ended"] + [""] * 10
    assert lab.told("SessionEnded", "reason") == ["too many sessions"]


def test_ending_a_session_ends_it_at_once_and_only_it(lab: Lab) -> None:
    first, second, other = lab.sign_in("ada"), lab.sign_in("ada"), lab.sign_in("ben")
    mine = second.get("me")["session"]
    with pytest.raises(ProblemError) as refusal:
        other.post(f"sessions/{mine}/end", {"reason": "not mine"})
    assert refusal.value.code == "identity.session_unknown"
    assert first.post(f"sessions/{mine}/end", {"reason": "lost laptop"}) == {"ended": mine}
    assert [code_of(client) for client in (first, second, other)] == ["", "identity.session_ended", ""]
    first.sign_out()
    with begin(lab.system) as unit:
        assert api.end_sessions_of(unit, "ben", "test", "system") == 1
        assert api.end_sessions_of(unit, "ben", "test", "system") == 0
    assert code_of(other) == "identity.session_ended"
    assert lab.told("SessionEnded", "reason") == ["lost laptop", "signed out", "test"]


def test_freezing_a_person_ends_everything_and_lets_nothing_begin(lab: Lab) -> None:
    client = lab.sign_in("eve")
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", lab.person("chi"))
        api.freeze(unit, "eve", "again", lab.person("chi"))
    assert code_of(client) == "identity.session_ended"
    with read(lab.system) as unit:
        assert not api.is_active(unit, "eve") and api.person(unit, "eve").frozen_reason == "odd reads"
        assert api.is_active(unit, "ada") and not api.is_active(unit, "nobody")
    with pytest.raises(ProblemError) as refusal:
        lab.sign_in("eve", client)
    assert refusal.value.code == "identity.not_admitted"
    signed = lab.opened("chi", "person.thaw", "eve")
    with begin(lab.system) as unit:
        api.thaw(unit, "eve", "cleared", lab.person("chi"), signed=signed)
    assert code_of(lab.sign_in("eve")) == "" and code_of(client) != ""
    assert len(lab.log("PersonFrozen")) == len(lab.log("PersonThawed")) == 1


def test_a_person_removed_from_the_lab_is_out_at_the_next_request(lab: Lab) -> None:
    client = lab.sign_in("kim")
    lab.publish(LAB.read_text().replace("teams: [red-team]", "teams: [red-team]\n    active: false", 1))
    assert code_of(client) == "identity.not_admitted"


EDITS = {
    "another person": ("UPDATE identity_session SET body = replace(body, '\"ada\"', '\"chi\"')", "session"),
    "a longer life": ("UPDATE identity_session SET body = replace(body, '\"ends\":1', '\"ends\":2')", "session"),
    "a second factor": ("UPDATE identity_session SET body = replace(body, '\"level\":2', '\"level\":3')", "session"),
    "an own secret": ("UPDATE identity_session SET seal = x'00'", "session"),
    "the state": ("UPDATE identity_principal SET body = replace(body, '\"epoch\":0', '\"epoch\":9')", "principal"),
    "no state": ("DELETE FROM identity_principal", "principal"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_row_opens_nothing_and_is_in_the_log(lab: Lab, name: str) -> None:
    client = lab.sign_in("ada")
    statement, table = EDITS[name]
    lab.sql(statement)
    lines = len(lab.log())
    assert code_of(client) == "identity.record_refused"
    (line,) = lab.log()[lines:]
    assert (line.kind, line.data["table"]) == ("identity.RecordRefused", table)


def test_a_session_row_made_by_hand_is_refused(lab: Lab) -> None:
    client = lab.sign_in("ada")
    body = json.loads(lab.sql("SELECT body FROM identity_session")[0][0])
    secret = "whs_" + "A" * 43
    forged = {**body, "person": "chi", "id": new_id("ses"), "binding": "browser", "key": "", "user_agent": AGENT}
    forged["secret"] = hashlib.sha256(secret.encode()).hexdigest()
    text = json.dumps(forged, sort_keys=True, separators=(",", ":"))
    seal = MemorySigners(b"\x08" * 32).mac("session", b"identity.session\x00" + text.encode())
    lab.sql(
        "INSERT INTO identity_session (id, secret, person, ends, body, seal) VALUES (:i, :s, 'chi', :e, :b, :x)",
        i=forged["id"], s=forged["secret"], e=body["ends"], b=text, x=seal,
    )  # fmt: skip
    browser = lab.browser()
    browser.cookies["__Host-sid"] = secret
    answer = browser.me()
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.record_refused")
    with read(lab.system) as unit:
        assert api.sessions_of(unit, "chi") == []
    assert code_of(client) == ""


def test_putting_back_old_rows_revives_no_session_and_thaws_nobody(lab: Lab) -> None:
    client = lab.sign_in("eve")
    kept = {name: lab.sql(f"SELECT * FROM identity_{name}") for name in ("session", "principal")}
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", lab.person("chi"))
    for name, rows in kept.items():
        lab.sql(f"DELETE FROM identity_{name}")
        for row in rows:
            names = list(row._mapping)
            marks = ", ".join(":" + key for key in names)
            lab.sql(f"INSERT INTO identity_{name} ({', '.join(names)}) VALUES ({marks})", **row._mapping)
    # Even after a restart: the file outside the database remembers.
    lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    assert code_of(client) in ("identity.session_ended", "identity.record_refused")
    with read(lab.system) as unit:
        assert not api.is_active(unit, "eve") and api.person(unit, "eve").frozen
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "still", "system")  # an edited row does not stop security
        with pytest.raises(NotFound):
            api.end_session(unit, "ses_" + "0" * 26, "x", "system")


def test_an_ended_session_stays_ended_when_only_its_row_is_put_back_and_the_memory_is_lost(lab: Lab) -> None:
    client = lab.sign_in("ada")
    row = lab.sql("SELECT body, seal FROM identity_session")[0]
    lab.sign_in("ada", lab.client())  # the person goes on with another session
    with begin(lab.system) as unit:
        api.end_session(unit, lab.log("SessionStarted")[0].data["session"], "lost", "system")
    lab.sql("UPDATE identity_session SET body = :b, seal = :s WHERE person = 'ada' AND id = :i",
            b=row[0], s=row[1], i=json.loads(row[0])["id"])  # fmt: skip
    lab.system.bind(Memory, ProcessMemory())
    assert code_of(client) == "identity.session_ended"


def test_identity_case_39_the_address_is_the_peers_unless_a_named_proxy_says_otherwise() -> None:
    proxies = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")]
    table: list[tuple[str, list[str], bool, str]] = [
        ("203.0.113.9", ["1.2.3.4"], True, "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4"], False, "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4"], True, "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4"], True, "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.7"], True, "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], True, "1.2.3.4"),
        ("10.0.0.1", ["::ffff:1.2.3.4"], True, "1.2.3.4"),
        ("::ffff:10.0.0.1", ["1.2.3.4"], True, "1.2.3.4"),
        ("10.0.0.1", ["fe80::1%eth0"], True, "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, nonsense"], True, "10.0.0.1"),
        ("10.0.0.1", [""], True, "10.0.0.1"),
        ("10.0.0.1", [], True, "10.0.0.1"),
        ("", ["1.2.3.4"], True, ""),
    ]
    for peer, forwarded, trusting, expected in table:
        headers = [("X-Forwarded-For", value) for value in forwarded] + [("Forwarded", "for=9.9.9.9")]
        assert api.client_address(peer, headers, proxies if trusting else []) == expected, (peer, forwarded)


def test_identity_case_46_nobody_knocks_with_nothing() -> None:
    for headers in (
        [],
        [("authorization", "Bearer x")],
        [("authorization", "Basic eA==")],
        [("cookie", "sid=1")],
        [("x-client-cert", "MIIB"), ("x-forwarded-client-cert", "Subject=ada"), ("x-remote-user", "ada")],
    ):
        with pytest.raises(Unauthenticated) as refusal:
            api.read_credential(headers, method="GET", url=ME, peer="127.0.0.1")
        assert refusal.value.code == "identity.no_credential"
    with pytest.raises(Unauthenticated):  # no session works from inside a sandbox
        api.read_credential([("cookie", "__Host-sid=x")], method="GET", url=ME, peer="", run="run_1")


def test_device_signatures_are_raw_r_and_s() -> None:
    key = DeviceKey.generate()
    signature = key.sign(b"x")
    assert len(signature) == 64 and base64.urlsafe_b64encode(signature)


def test_two_changes_of_one_persons_state_at_once_both_count(any_lab: Lab) -> None:
    """Neither overwrites the other, even when the person has no row yet."""

    def add(name: str) -> None:
        with begin(any_lab.system) as unit:
            change_state(unit, "ada", lambda state: msgspec.structs.replace(state, sessions=(*state.sessions, name)))

    names = [f"ses_{number}" for number in range(8)]
    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with read(any_lab.system) as unit:
        state = state_of(unit, "ada")
    assert (sorted(state.sessions), state.version) == (names, 8)


def test_ended_sessions_are_forgotten_when_they_could_not_live_anyway(lab: Lab) -> None:
    lab.sign_in("ada").sign_out()
    memory = lab.system.part(Memory)
    assert [one for one in memory.all_condemned() if one.startswith("ses_")] != []
    lab.clock.advance(8 * DAY)
    api.tidy(lab.system)
    assert memory.all_condemned() == () and lab.sql("SELECT count(*) FROM identity_session")[0][0] == 0
