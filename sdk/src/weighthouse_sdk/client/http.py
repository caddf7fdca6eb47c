"""Requests to the control plane, each with a proof by the device's key. Guards the token from every other machine.

Every refusal becomes one error with the server's own code, message and remedy (RFC 9457). Redirects are not followed
and plain HTTP is spoken on loopback only, so that a token goes nowhere but to the server it belongs to.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from weighthouse_sdk.client.audience import audience_of
from weighthouse_sdk.client.key import DeviceKey, b64url
from weighthouse_sdk.errors import Refused, SdkError, extra

ProblemError = Refused

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
MAX_NONCE = 512
Walk = Callable[[str], dict[str, str]]
Acts = Sequence[Mapping[str, Any]]
Confirm = Callable[[Acts], object]
Code = str | Callable[[], str]


@dataclass(frozen=True)
class SignedIn:
    """A session: whose, its id, until when (milliseconds of UTC), and how it was proved."""

    person: str
    session: str
    ends: int
    level: int


class Client:
    """A person's client for one server and one key.

    `token` is an access token from an earlier sign-in, if there is one; `transport` replaces the network in tests;
    `agent` is what the program calls itself, as its person reads it in the list of their sessions; `log` is the mark
    of the server's log, as known from before, without which the first one told is believed.
    """

    def __init__(
        self,
        url: str,
        key: DeviceKey,
        *,
        token: str = "",
        transport: httpx.BaseTransport | None = None,
        timeout_s: float = 30.0,
        nonce: str = "",
        agent: str = "",
        log: str = "",
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise SdkError(
                "client.no_tls", "A server off this machine is spoken to over https only.", "Use its https address."
            )
        self.url = url.rstrip("/")
        self.key = key
        self.token = token
        self.nonce = nonce
        """The server's newest nonce for proofs (RFC 9449, section 8); kept from answer to answer."""
        self.log = log
        """The mark of the server's log: as it was given, else as the server said when it was asked first."""
        self.confirm: Confirm | None = None
        """How to give the second factor for acts that a refusal names; what was refused is then sent once more."""
        self._http = httpx.Client(transport=transport, timeout=timeout_s, follow_redirects=False, trust_env=False)
        if agent:
            self._http.headers["User-Agent"] = agent
        weakref.finalize(self, self._http.close)  # a client that is dropped leaves no connection open

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url})"

    def close(self) -> None:
        """Close the connections; the session on the server lives on until it is ended there."""
        self._http.close()

    def get(self, path: str, **params: str | int) -> Any:
        """GET `/api/v1` + `path`; return the JSON answer. Raises ProblemError."""
        return self.request("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str = "") -> Any:
        """POST JSON to `/api/v1` + `path`; return the JSON answer. Raises ProblemError."""
        return self.request("POST", path, body=body, idempotency_key=idempotency_key)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int] | None = None,
        idempotency_key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request with a fresh proof. Raises ProblemError for a refusal, SdkError if nobody answers.

        A refusal that asks for a second factor for this very act is answered by `confirm`, if it is set, once.
        """
        send = partial(self._send, method, path, body, params, idempotency_key, headers)
        try:
            return send()
        except ProblemError as refusal:
            acts = acts_of(refusal)
            if not acts or self.confirm is None:
                raise
            self.confirm(acts)
            return send()

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, str | int] | None,
        idempotency_key: str,
        headers: Mapping[str, str] | None,
    ) -> Any:
        url = f"{self.url}/api/v1/{path.lstrip('/')}"
        sent = {"Accept": "application/json"}
        if self.token:
            sent["Authorization"] = f"DPoP {self.token}"
        if idempotency_key:
            sent["Idempotency-Key"] = idempotency_key
        content = None
        if method != "GET":
            sent["Content-Type"] = "application/json"
            content = json.dumps(dict(body or {})).encode()
        sent |= headers or {}
        answer = self._proved(method, url, content, params, sent)
        if answer.status_code == 401 and _wants_nonce(answer):
            answer = self._proved(method, url, content, params, sent)
        return _read(answer)

    def _proved(
        self,
        method: str,
        url: str,
        content: bytes | None,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        """Send once, with a proof made after the newest nonce, and keep the nonce that comes back."""
        proof = self.key.proof(method, url, token=self.token, nonce=self.nonce)
        try:
            answer = self._http.request(
                method, url, content=content, params=dict(params or {}) or None, headers={**headers, "DPoP": proof}
            )
        except httpx.HTTPError as error:
            raise _unreachable(self.url, error) from error
        self.nonce = answer.headers.get("dpop-nonce", self.nonce)[:MAX_NONCE]
        return answer

    def sign_in(self, walk: Walk, redirect_uri: str) -> SignedIn:
        """Sign in: `walk` takes the provider's address and returns what came back to `redirect_uri`.

        A second walk follows when the server's risk check demands a second factor.
        """
        self.token = ""
        start = self.post("login", {"redirect_uri": redirect_uri, "device_jwk": self.key.jwk})
        return self._finish(start, walk)

    def step_up(self, walk: Walk, redirect_uri: str, acts: Acts = ()) -> SignedIn:
        """Raise this session by a fresh second factor, given for `acts` if there are any; the token changes."""
        return self._finish(self.post("step-up", {"redirect_uri": redirect_uri, "acts": list(acts)}), walk)

    def _finish(self, start: dict[str, Any], walk: Walk) -> SignedIn:
        for _ in range(3):
            params = walk(str(start["url"]))
            standing, self.token = self.token, ""
            try:
                answer = self.post("token", {"transaction": start["transaction"], "params": params})
            except SdkError:
                self.token = standing  # what it had goes on: only its raising was refused
                raise
            if answer["status"] == "signed_in":
                self.token = str(answer["token"])
                session = answer["session"]
                return SignedIn(
                    person=str(answer["person"]),
                    session=str(session["id"]),
                    ends=int(session["ends"]),
                    level=int(session["assurance"]["level"]),
                )
            start = answer
        raise SdkError("client.sign_in_stuck", "The server keeps asking for a second factor.", "Tell an operator.")

    def sign_in_browser(
        self, open_browser: Callable[[str], object] | None = None, *, step_up: bool = False, acts: Acts = ()
    ) -> SignedIn:
        """Sign in (or step up, for `acts`) with the system's browser and a listener on loopback."""
        from weighthouse_sdk.client.loopback import Listener

        with Listener(open_browser) as listener:
            if step_up:
                return self.step_up(listener.walk, listener.redirect_uri, acts)
            return self.sign_in(listener.walk, listener.redirect_uri)

    def sign_in_headless(
        self,
        account: str,
        password: str,
        totp_secret: str,
        *,
        step_up: bool = False,
        acts: Acts = (),
        code: Code = "",
    ) -> SignedIn:
        """Sign in (or step up, for `acts`) by filling in the development provider's page. For demos and tests only.

        Later refusals that ask for a factor for an act are answered the same way.
        """
        from weighthouse_sdk.client.headless import REDIRECT, afresh, walker

        walk = walker(self._http, account, password, totp_secret, code)
        done = afresh(lambda: self.step_up(walk, REDIRECT, acts) if step_up else self.sign_in(walk, REDIRECT))
        self.confirm = lambda asked: afresh(lambda: self.step_up(walk, REDIRECT, asked))
        return done

    def sign_out(self) -> str:
        """End this session on the server; return where a browser signs out at the provider too, empty if nowhere."""
        answer = self.post("logout")
        self.token = ""
        return str(answer.get("provider", ""))

    def enrol(self, name: str) -> dict[str, Any]:
        """Enrol this key as a device that may sign votes; needs a second factor for exactly that."""
        me = self.get("me")
        said = {"type": "weighthouse/enrol-key/2", "audience": self._audience(me), "person": str(me["principal"])}
        proof = self._sign({**said, "thumbprint": self.key.thumbprint})
        device: dict[str, Any] = self.post("devices", {"jwk": self.key.jwk, "name": name, "proof": proof})
        return device

    def audience(self) -> str:
        """Return what names this server in everything that is signed for it.

        Raises `client.no_audience`, `client.other_server`, `client.other_log`.
        """
        return self._audience(self.get("me"))

    def _audience(self, me: Mapping[str, Any]) -> str:
        found = audience_of(self.url, me.get("audience"), self.log)
        self.log = found.rpartition("#")[2]
        return found

    def sign_vote(self, statement: Mapping[str, Any]) -> str:
        """Return this device's base64url signature over the canonical form of what the card showed.

        Raises as `audience` does unless it names this server.
        """
        if not self.log:
            self.audience()
        audience_of(self.url, statement.get("audience"), self.log)
        return self._sign(statement)

    def _sign(self, statement: Mapping[str, Any]) -> str:
        return b64url(self.key.sign(canonical(statement)))

    def opening(self, act: str, subject: str) -> dict[str, Any]:
        """Return what opens something that was closed, beside the second factor: this device's signature, made now.

        `act` is person.thaw, person.key (of person/thumbprint) or hold.lift. A key that is not enrolled signs in
        vain.
        """
        me = self.get("me")
        said = {"type": "weighthouse/open/2", "audience": self._audience(me), "act": act, "subject": subject}
        own, at = str(me["device"] or "none"), int(me["now"])
        whole = {**said, "person": me["principal"], "device": own, "at": at}
        return {"by": own, "at": at, "signature": self._sign(whole)}

    def confirmation(self, device: str, thumbprint: str, *, of: str = "") -> dict[str, Any]:
        """Return what confirms a new key, one's own or that of the person `of`: this device's signature, made now."""
        me = self.get("me")
        own, at = str(me["device"] or "none"), int(me["now"])
        said = {"type": "weighthouse/confirm-key/3", "audience": self._audience(me), "person": of or me["principal"]}
        whole = {**said, "thumbprint": thumbprint, "device": device, "by": own, "at": at}
        return {"by": own, "at": at, "signature": self._sign(whole)}


def acts_of(refusal: ProblemError) -> list[dict[str, Any]]:
    """Return the acts that a refusal asks a second factor for, none if it is another refusal."""
    if refusal.code != "identity.act_unconfirmed":
        return []
    found = json.loads(str(refusal.details.get("acts", "[]")))
    return [dict(one) for one in found] if isinstance(found, list) else []


def canonical(value: object) -> bytes:
    """Return the canonical JSON (RFC 8785) of a value that holds no floats; raises `client.not_canonical`."""

    def check(part: object) -> object:
        if isinstance(part, Mapping):
            # RFC 8785 orders member names by UTF-16 code units, which is not Python's own order beyond the BMP.
            names = sorted(part, key=lambda name: str(name).encode("utf-16-be"))
            return {str(name): check(part[name]) for name in names}
        if isinstance(part, list | tuple):
            return [check(one) for one in part]
        if part is None or isinstance(part, str | bool | int):
            return part
        raise SdkError(
            "client.not_canonical", "Only text, whole numbers, lists and objects are signed.", "Use those."
        )

    try:
        return json.dumps(check(value), ensure_ascii=False, separators=(",", ":")).encode()
    except (UnicodeEncodeError, RecursionError):
        raise SdkError(
            "client.not_canonical", "The document is not Unicode, or is nested too deep.", "Ask the server again."
        ) from None


def _wants_nonce(answer: httpx.Response) -> bool:
    """Whether the server asks for the proof again, with the nonce that it sends along; nothing was done yet."""
    return "dpop-nonce" in answer.headers and "use_dpop_nonce" in answer.headers.get("www-authenticate", "")


def _unreachable(url: str, error: httpx.HTTPError) -> SdkError:
    if "SSL" in str(error) or "certificate" in str(error):
        return SdkError(
            "client.unreachable",
            f"{url} does not answer over TLS: {error}.",
            "Check http:// or https:// in the address, and that this machine trusts the certificate's authority "
            "(SSL_CERT_FILE may name it).",
        )
    return SdkError("client.unreachable", f"{url} does not answer ({type(error).__name__}).", "Check that it runs.")


def _read(answer: httpx.Response) -> Any:
    try:
        value = answer.json()
    except (ValueError, RecursionError):
        value = None
    if answer.is_success and value is not None:
        return value
    problem = value if isinstance(value, dict) else {}
    code = str(problem.get("code", f"http.{answer.status_code}"))
    message = str(problem.get("detail") or problem.get("title") or "The server gave no reason.")
    remedy = str(problem.get("remedy", "Ask an operator."))
    raise ProblemError(code, message, remedy, answer.status_code, extra(problem))


def segment(text: str) -> str:
    """Return `text` as one path segment, so that an id never climbs out of its path."""
    return quote(text, safe="")
