"""Fills in the development provider's page, as a person would. For demos and tests; no real provider allows it.

It uses the same forms, codes and redirects as a browser, so what a demo shows is what a person gets.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

from weighthouse_sdk.errors import Refused, SdkError

if TYPE_CHECKING:
    from weighthouse_sdk.client.http import SignedIn

REDIRECT = "http://127.0.0.1:1/callback"
STEP_S = 30
CODES_TRIED = 3
FACTORS_TRIED = 3
AHEAD = 60  # the development provider takes codes of the next half hour, each once
_ACTION = re.compile(r'<form method="post" action="([^"]+)"')
_HANDLE = re.compile(r'name="handle" value="([^"]+)"')
_spent: dict[str, set[int]] = {}
Code = str | Callable[[], str]


def totp(secret: str, step: int) -> str:
    """Return the six digits of RFC 6238 for a 30-second step."""
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


def next_code(secret: str, now: Callable[[], float] = time.time, *, anywhere: bool = False) -> str:
    """Return a code that this process has not used lately, from the steps that the development provider takes.

    The earliest of them, so that a clock which is a little late does not matter; or one from anywhere among them, for
    whoever was told that the earliest are spent: other processes that sign the same person in take them one by one.
    """
    here, into = divmod(int(now()), STEP_S)
    earliest = here - 1 if into < STEP_S - 5 else here  # the step before is about to run out
    spent = _spent[secret] = {one for one in _spent.get(secret, ()) if one >= earliest}
    free = [one for one in range(earliest, here + AHEAD + 1) if one not in spent] or [earliest]
    step = secrets.choice(free) if anywhere else free[0]
    spent.add(step)
    return totp(secret, step)


def afresh(sign: Callable[[], SignedIn]) -> SignedIn:
    """Sign in; once more in a later second where two factors of one account fell into one second.

    A provider tells when a factor was given in whole seconds (OpenID Connect Core 1.0, `auth_time`), and a second
    factor counts once: of two that are given in one second, at two servers or in two processes, one is refused.
    """
    for _ in range(FACTORS_TRIED - 1):
        try:
            return sign()
        except Refused as refusal:
            if refusal.code != "identity.factor_spent":
                raise
            time.sleep(1 - time.time() % 1)
    return sign()


def walker(
    http: httpx.Client, account: str, password: str, totp_secret: str, code: Code = ""
) -> Callable[[str], dict[str, str]]:
    """Return a walk that signs `account` in; the code is given when the page demands one, or has said no without it:
    after wrong passwords, whoever typed them, it takes no password alone.

    A given `code` is sent as it is, or asked for each time (tests with a clock of their own).
    """

    def walk(url: str) -> dict[str, str]:
        page = http.get(url)
        action, handle = _ACTION.search(page.text), _HANDLE.search(page.text)
        if page.status_code != 200 or action is None or handle is None:
            raise _stuck(page)
        fields = {"handle": unescape(handle[1]), "account": account, "password": password, "code": ""}
        asked = re.search(r'name="code"[^>]* required', page.text) is not None
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        for tried in range(CODES_TRIED):
            if asked:
                fields["code"] = code() if callable(code) else code or next_code(totp_secret, anywhere=tried > 1)
            answer = http.post(urljoin(url, unescape(action[1])), data=fields, headers={"Origin": origin})
            location = answer.headers.get("location", "")
            if answer.status_code == 303 and location.startswith(REDIRECT + "?"):
                return dict(parse_qsl(urlsplit(location).query))
            if (asked and code) or not (code or totp_secret):
                break  # another process may have spent a code of this moment; a password does not get better
            asked = True
        raise _stuck(answer)

    return walk


def _stuck(answer: httpx.Response) -> SdkError:
    alarm = re.search(r'role="alert">([^<]+)<', answer.text)
    said = unescape(alarm[1]) if alarm else f"It answered {answer.status_code}."
    return SdkError("client.headless_refused", f"The provider's page said no: {said}", "Check the secrets.")
