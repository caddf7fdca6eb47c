"""The development provider's OpenID Connect endpoints, shaped like Entra ID v2.0. Loopback only, never production.

Authorization code with PKCE S256 and nothing else: no implicit flow, no device flow, no refresh tokens. It announces
its issuer in every answer (RFC 9207). OpenID Connect Core 1.0, RFC 7636.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from joserfc import jws
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from weighthouse.core.clock import Clock
from weighthouse.core.errors import Invalid
from weighthouse.core.ids import new_id
from weighthouse.identity.adapters.dev_idp import pages
from weighthouse.identity.adapters.dev_idp.asking import authorization_fault, registered, token_fault
from weighthouse.identity.adapters.dev_idp.desk import QUESTION_LIFE, Answer, Desk, Question
from weighthouse.identity.adapters.dev_idp.people import DevPerson, DevSecret
from weighthouse.identity.model import SignInResult
from weighthouse.identity.rules.discovery import with_query
from weighthouse.identity.rules.id_token import half_hash

TENANT = "7d3f1a52-0b6e-4c19-9a57-5e0c2d8b41f6"
ISSUER_NAME = "dev"
STEP_UP = "c2"
WRONG = (
    "Account, password or code is not right, or is locked. After several failures, give password and code together."
)
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


def check_allowed(mode: str, address: str, origin: str) -> None:
    """Raise `identity.dev_idp_refused` unless the mode is not production and everything is on loopback."""
    host = urlsplit(origin).hostname or ""
    if mode == "production" or not _loopback(address) or not _loopback(host):
        raise Invalid(
            "identity.dev_idp_refused",
            "The embedded provider derives its passwords, so it runs neither in production nor off loopback.",
            "Set identity.issuer to your own provider, or listen on 127.0.0.1 in mode demo or development.",
        )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class DevIdp:
    """The provider. `application` is mounted at /dev-idp; `issuer` is what its tokens say."""

    def __init__(
        self,
        *,
        mode: str,
        address: str,
        origin: str,
        clock: Clock,
        people: Callable[[], Mapping[str, DevPerson]],
        secret: Callable[[str], DevSecret],
        record: Callable[[SignInResult], object],
        client_id: str = "weighthouse",
        pushed: bool = True,
    ) -> None:
        check_allowed(mode, address, origin)
        self._base = f"/dev-idp/{TENANT}"
        self._origin = origin
        self.issuer = f"{origin}{self._base}/v2.0"
        self._clock, self._record, self._client_id = clock, record, client_id
        self._desk = Desk(clock, people, secret)
        self._key = RSAKey.import_key(generate_private_key(65537, 2048))
        self._kid = secrets.token_hex(8)
        self._old: list[tuple[str, RSAKey]] = []
        self._access: dict[str, Answer] = {}
        self.pushed = pushed
        tenant = f"/{TENANT}"
        self.application = Starlette(
            routes=[
                Route(tenant + "/v2.0/.well-known/openid-configuration", self._discovery),
                Route(tenant + "/discovery/v2.0/keys", self._keys),
                Route(tenant + "/oauth2/v2.0/authorize", self._authorize, methods=["GET", "POST"]),
                Route(tenant + "/oauth2/v2.0/par", self._push, methods=["POST"]),
                Route(tenant + "/oauth2/v2.0/logout", self._logout),
                Route(tenant + "/sign-in", self._sign_in, methods=["POST"]),
                Route(tenant + "/oauth2/v2.0/token", self._token, methods=["POST"]),
                Route(tenant + "/userinfo", self._userinfo, methods=["GET", "POST"]),
            ]
        )

    def rotate_key(self, *, withdraw_old: bool = False) -> None:
        """Sign with a new key from now on; the old one stays in the key set unless it is withdrawn."""
        self._old = [] if withdraw_old else [*self._old, (self._kid, self._key)]
        self._key = RSAKey.import_key(generate_private_key(65537, 2048))
        self._kid = secrets.token_hex(8)

    async def _discovery(self, _request: Request) -> Response:
        base = self._origin + self._base
        pushed = {"pushed_authorization_request_endpoint": base + "/oauth2/v2.0/par"} if self.pushed else {}
        return JSONResponse(
            {
                **pushed,
                "end_session_endpoint": base + "/oauth2/v2.0/logout",
                "issuer": self.issuer,
                "authorization_endpoint": base + "/oauth2/v2.0/authorize",
                "token_endpoint": base + "/oauth2/v2.0/token",
                "userinfo_endpoint": base + "/userinfo",
                "jwks_uri": base + "/discovery/v2.0/keys",
                "scopes_supported": ["openid", "profile"],
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "authorization_response_iss_parameter_supported": True,
                "request_parameter_supported": False,
                "request_uri_parameter_supported": False,
                "claims_supported": ["sub", "oid", "tid", "name", "acrs", "amr", "auth_time", "nonce"],
            }
        )

    async def _keys(self, _request: Request) -> Response:
        shown = [
            {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": "RS256"}
            for kid, key in [*self._old, (self._kid, self._key)]
        ]
        return JSONResponse({"keys": shown})

    async def _authorize(self, request: Request) -> Response:
        asked = request.query_params.multi_items() if request.method == "GET" else await _fields(request)
        query = dict(asked)
        pushed = self._desk.pushed(query.get("request_uri", "")) if len(query) == len(asked) else None
        if pushed is not None and pushed["client_id"] == query.get("client_id"):
            # RFC 9126 4: what was pushed is the request, and whatever else the browser brings is nothing.
            query, asked = pushed, list(pushed.items())
        redirect_uri = query.get("redirect_uri", "")
        if len(query) != len(asked) or query.get("client_id") != self._client_id:
            return self._page(pages.refusal("This request is not by a client that is registered here."), "", 400)
        if not registered(redirect_uri, self._origin):
            return self._page(pages.refusal("The address to return to is not registered here."), "", 400)
        if fault := authorization_fault(query):
            return self._back(redirect_uri, query.get("state", ""), error=fault)
        question = Question(
            redirect_uri=redirect_uri,
            state=query.get("state", ""),
            nonce=query.get("nonce", ""),
            challenge=query["code_challenge"],
            second_factor=STEP_UP in query.get("acr_values", "").split(),
            expires=self._clock.now() + QUESTION_LIFE,
        )
        return self._form(self._desk.ask(question), question)

    async def _push(self, request: Request) -> Response:
        """RFC 9126: the request itself, from the client and not through the browser."""
        asked = await _fields(request)
        query = dict(asked)
        fault = authorization_fault(query)
        if query.get("client_id") != self._client_id:
            return JSONResponse({"error": "invalid_client"}, 401, _HEADERS)
        if fault or len(query) != len(asked) or not registered(query.get("redirect_uri", ""), self._origin):
            return JSONResponse({"error": fault or "invalid_request"}, 400, _HEADERS)
        name = self._desk.push(query)
        return JSONResponse({"request_uri": name, "expires_in": QUESTION_LIFE // 1000}, 201, _HEADERS)

    async def _logout(self, request: Request) -> Response:
        """RP-initiated logout. Nobody stays signed in here, so there is nothing to end but the way back."""
        there = request.query_params.get("post_logout_redirect_uri", "")
        if there != self._origin + "/sign-in":
            return self._page(pages.refusal("You are signed out here."), "", 200)
        return RedirectResponse(there, 303, _HEADERS)

    def _form(self, handle: str, question: Question, problem: str = "") -> Response:
        text = pages.form(self._base + "/sign-in", handle, second_factor=question.second_factor, problem=problem)
        return self._page(text, question.redirect_uri, 403 if problem else 200)

    def _page(self, text: str, redirect_uri: str, status: int) -> Response:
        parts = urlsplit(redirect_uri)
        origin = f"{parts.scheme}://{parts.netloc}" if redirect_uri else ""
        return HTMLResponse(text, status, {**_HEADERS, "Content-Security-Policy": pages.policy(origin)})

    def _back(self, redirect_uri: str, state: str, **answer: str) -> Response:
        query = {**answer, **({"state": state} if state else {}), "iss": self.issuer}
        return RedirectResponse(with_query(redirect_uri, query), 303, _HEADERS)

    async def _sign_in(self, request: Request) -> Response:
        async with request.form(max_files=0, max_fields=10) as form:
            fields = {name: str(form.get(name, ""))[:255] for name in ("handle", "account", "password", "code")}
        peer = request.client.host if request.client else ""
        agent = request.headers.get("user-agent", "")[:512]
        return await run_in_threadpool(self._judge, fields, peer, agent)

    def _judge(self, fields: dict[str, str], peer: str, agent: str) -> Response:
        question = self._desk.question(fields["handle"])
        if question is None:
            return self._page(pages.refusal("This sign-in has been used or has taken too long."), "", 400)
        account = fields["account"].strip()
        tried = self._desk.try_person(
            account, fields["password"], fields["code"].strip(), second_factor=question.second_factor
        )
        self._record(
            SignInResult(
                issuer=ISSUER_NAME,
                subject=account,
                address=peer,
                user_agent=agent,
                outcome="success" if tried.person else ("locked" if tried.reason == "locked" else "failure"),
                reason=tried.reason or "password",
                event_id=new_id("evt"),
            )
        )
        if tried.person is None:
            return self._form(fields["handle"], question, WRONG)
        answered = self._desk.answer(fields["handle"], tried.person, second_factor=tried.second_factor)
        if answered is None:
            return self._page(pages.refusal("This sign-in has been used or has taken too long."), "", 400)
        return self._back(answered[1].redirect_uri, answered[1].state, code=answered[0])

    async def _token(self, request: Request) -> Response:
        asked = await _fields(request)
        fields = dict(asked)
        fault, status = token_fault(fields, self._client_id)
        if fault or len(fields) != len(asked):
            return JSONResponse({"error": fault or "invalid_request"}, status if fault else 400, _HEADERS)
        answer = self._desk.redeem(
            fields.get("code", ""), fields.get("code_verifier", ""), fields.get("redirect_uri", "")
        )
        if answer is None:
            return JSONResponse({"error": "invalid_grant"}, 400, _HEADERS)
        access_token = secrets.token_urlsafe(32)
        self._access = {**dict(list(self._access.items())[-99:]), access_token: answer}
        return JSONResponse(
            {
                "token_type": "Bearer",
                "expires_in": 300,
                "access_token": access_token,
                "id_token": self.mint(self._claims(answer, access_token)),
            },
            headers=_HEADERS,
        )

    def _claims(self, answer: Answer, access_token: str) -> dict[str, Any]:
        now = self._clock.now() // 1000
        return {
            "iss": self.issuer,
            "aud": self._client_id,
            "azp": self._client_id,
            "tid": TENANT,
            "ver": "2.0",
            "oid": answer.subject,
            "sub": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._client_id}/{answer.subject}")),
            "name": answer.name,
            "preferred_username": f"{answer.subject}@lab.example",
            "idtyp": "user",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "auth_time": answer.at // 1000,
            "acrs": ["c1", STEP_UP] if answer.second_factor else ["c1"],
            "amr": ["pwd", "otp", "mfa"] if answer.second_factor else ["pwd"],
            **({"nonce": answer.question.nonce} if answer.question.nonce else {}),
            "at_hash": half_hash(access_token),
            "uti": secrets.token_urlsafe(16),
        }

    def mint(self, claims: dict[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """Return `claims` signed with the current key; tests pass their own claims and header members."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self._kid, **(header or {})}
        return jws.serialize_compact(head, json.dumps(claims), self._key, algorithms=["RS256"])

    async def _userinfo(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        answer = self._access.get(token) if scheme.lower() == "bearer" else None
        if answer is None or answer.at + 300_000 < self._clock.now():
            challenge = 'Bearer error="invalid_token"' if token else "Bearer"  # RFC 6750 3
            return JSONResponse({"error": "invalid_token"}, 401, {**_HEADERS, "WWW-Authenticate": challenge})
        return JSONResponse({"sub": self._claims(answer, "")["sub"], "name": answer.name}, headers=_HEADERS)


async def _fields(request: Request) -> list[tuple[str, str]]:
    async with request.form(max_files=0, max_fields=20) as form:
        return [(name, str(value)) for name, value in form.multi_items()]
