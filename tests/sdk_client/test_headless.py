"""Whoever fills in the development provider's page uses each code once, and knows what to do when others used some."""

from __future__ import annotations

import base64
import time
from urllib.parse import parse_qs

import httpx
import pytest

from weighthouse_sdk.client import headless
from weighthouse_sdk.client.headless import AHEAD, FACTORS_TRIED, REDIRECT, STEP_S, afresh, next_code, totp, walker
from weighthouse_sdk.client.http import SignedIn
from weighthouse_sdk.errors import Refused, SdkError

PAGE = '<form method="post" action="/tried"><input name="handle" value="h"><input name="code" required>'
URL = "http://127.0.0.1:9/authorize"


def secret_of(word: str) -> str:
    return base64.b32encode(word.encode().ljust(20, b".")).decode()


def provider(secret: str, spent: range, said: list[str]) -> httpx.Client:
    """A provider that takes each code of the next half hour but those that others have spent, counted from now."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, text=PAGE)
        said.append(parse_qs(request.content.decode())["code"][0])
        here = int(time.time()) // STEP_S
        taken = {totp(secret, here + one) for one in range(-1, AHEAD + 1) if one not in spent}
        if said[-1] in taken and said[-1] not in said[:-1]:
            return httpx.Response(303, headers={"location": f"{REDIRECT}?code=x&state=y"})
        return httpx.Response(200, text=PAGE + '<p role="alert">Not right.</p>')

    return httpx.Client(transport=httpx.MockTransport(answer))


def test_codes_are_given_in_order_and_each_once() -> None:
    secret = secret_of("in order")
    assert [next_code(secret, lambda: 3000.0) for _ in range(3)] == [totp(secret, step) for step in (99, 100, 101)]
    assert next_code(secret, lambda: 3090.0) == totp(secret, 102)


def test_no_code_is_given_twice_until_all_are_spent_and_then_there_is_one_still() -> None:
    secret = secret_of("all of them")
    codes = [next_code(secret, lambda: 3000.0, anywhere=one % 2 == 1) for one in range(AHEAD + 2)]
    assert sorted(codes) == sorted(totp(secret, step) for step in range(99, 99 + AHEAD + 2))
    assert next_code(secret, lambda: 3000.0) == totp(secret, 99)


def test_a_person_whom_other_processes_sign_in_too_gets_in_though_many_codes_are_spent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret, said = secret_of("colleagues"), list[str]()
    drawn: list[int] = []

    def latest(steps: list[int]) -> int:
        drawn.append(len(steps))
        return steps[-1]

    monkeypatch.setattr(headless.secrets, "choice", latest)
    walk = walker(provider(secret, range(-1, 12), said), "ada", "password", secret)
    assert walk(URL) == {"code": "x", "state": "y"} and len(said) == 3
    assert drawn[0] >= AHEAD - 2, "what was tried and refused is not tried again"


def test_wrong_secrets_are_given_up_after_three_tries() -> None:
    said: list[str] = []
    with pytest.raises(SdkError, match="Not right") as refused:
        walker(provider(secret_of("theirs"), range(0), said), "ada", "password", secret_of("ours"))(URL)
    assert refused.value.code == "client.headless_refused" and len(said) == 3


@pytest.mark.parametrize(
    ("answers", "tries"),
    [
        (["identity.factor_spent", ""], 2),
        (["identity.factor_spent"] * FACTORS_TRIED, FACTORS_TRIED),
        (["identity.denied", ""], 1),
    ],
)
def test_of_two_factors_in_one_second_the_refused_one_is_given_again_in_a_later_one(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], tries: int
) -> None:
    """Two servers sign one person in within one second, and a provider tells when a factor was given in seconds."""
    clock = [1000.25]
    monkeypatch.setattr(headless.time, "time", lambda: clock[0])
    monkeypatch.setattr(headless.time, "sleep", lambda wait: clock.append(clock.pop() + wait))
    seconds: list[int] = []

    def sign() -> SignedIn:
        seconds.append(int(clock[0]))
        if code := answers[len(seconds) - 1]:
            raise Refused(code, "No.", "Begin again.", 401)
        return SignedIn("ada", "s", 0, 2)

    if answers[tries - 1]:
        with pytest.raises(Refused) as refused:
            afresh(sign)
        assert refused.value.code == answers[tries - 1]
    else:
        assert afresh(sign).person == "ada"
    assert seconds == [1000 + one for one in range(tries)]
