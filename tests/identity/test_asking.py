"""What the embedded provider answers to requests that it does not take: the error of the standard, nothing cut to fit.

A certified relying party judges the same over HTTP in tests/identity/foreign.
"""

from __future__ import annotations

import pytest

from weighthouse.identity.adapters.dev_idp.asking import LONGEST, authorization_fault, registered, token_fault

RIGHT = {
    "response_type": "code",
    "code_challenge": "c" * 43,
    "code_challenge_method": "S256",
    "scope": "openid profile",
    "state": "s" * LONGEST,
    "nonce": "n" * LONGEST,
}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, ""),
        ({"prompt": "login"}, ""),
        ({"prompt": "none"}, "login_required"),
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "c" * 42}, "invalid_request"),
        ({"state": "s" * (LONGEST + 1)}, "invalid_request"),
        ({"nonce": "n" * (LONGEST + 1)}, "invalid_request"),
        ({"scope": "openid_connect"}, "invalid_scope"),
        ({"request": "e30."}, "request_not_supported"),
        ({"request_uri": "https://evil.example"}, "request_uri_not_supported"),
    ],
)
def test_identity_case_17_an_authorization_request(change: dict[str, str | None], error: str) -> None:
    asked = {name: value for name, value in {**RIGHT, **change}.items() if value is not None}
    assert authorization_fault(asked) == error


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"client_id": "us", "grant_type": "authorization_code"}, ("", 200)),
        ({"client_id": "them", "grant_type": "authorization_code"}, ("invalid_client", 401)),
        ({"grant_type": "authorization_code"}, ("invalid_client", 401)),
        ({"client_id": "us"}, ("invalid_request", 400)),
        ({"client_id": "us", "grant_type": "password"}, ("unsupported_grant_type", 400)),
        (
            {"client_id": "us", "grant_type": "urn:ietf:params:oauth:grant-type:device_code"},
            ("unsupported_grant_type", 400),
        ),
    ],
)
def test_identity_case_18_a_token_request(asked: dict[str, str], fault: tuple[str, int]) -> None:
    assert token_fault(asked, "us") == fault


@pytest.mark.parametrize(
    ("uri", "known"),
    [
        ("http://127.0.0.1:8040/callback", True),
        ("http://127.0.0.1:1/callback", True),
        ("http://[::1]:5000/callback", True),
        ("http://127.0.0.1/callback", False),
        ("https://127.0.0.1:1/callback", False),
        ("http://127.0.0.1:1/callback/", False),
        ("http://127.0.0.1:1/callback?next=x", False),
        ("http://127.0.0.1:1/callback#x", False),
        ("http://a@127.0.0.1:1/callback", False),
        ("http://127.0.0.1.evil.example:1/callback", False),
        ("http://127.0.0.1:99999/callback", False),
        ("http://localhost:1/callback", False),
        ("javascript:alert(1)//callback", False),
    ],
)
def test_identity_case_18_an_address_to_return_to(uri: str, known: bool) -> None:
    assert registered(uri, "http://127.0.0.1:8040") is known
