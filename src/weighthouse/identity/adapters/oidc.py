"""Any OpenID Connect provider, spoken to over HTTP. Guards sign-in from a provider that lies, stalls or is replaced.

The discovery document must name the configured issuer byte for byte; answers are capped, timed and never redirected;
keys are looked up by exact id, and unknown ids cause at most one fetch in five minutes, however many arrive.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NoReturn
from urllib.parse import quote_plus, urlsplit

import httpx
import msgspec

from weighthouse.core.canonical import NotUtf8, utf8
from weighthouse.core.clock import DAY, MINUTE, SECOND, Clock, Millis
from weighthouse.core.errors import Unauthenticated, Unavailable, WeighthouseError
from weighthouse.identity.adapters.exchange import Broken, send
from weighthouse.identity.model import IssuerProfile, PublicKey
from weighthouse.identity.ports import Address, Redeemed, Wish
from weighthouse.identity.rules.discovery import Endpoints, Unfit, read_discovery, with_query
from weighthouse.identity.rules.jwks import MAX_KEY_SET, parse_key_set

REFRESH: Millis = 10 * MINUTE
UNKNOWN_EVERY: Millis = 5 * MINUTE
RETRY_EVERY: Millis = 5 * SECOND
KEYS_LIFE: Millis = (
    10 * MINUTE
)  # a key that the issuer has withdrawn counts no longer than this, whoever keeps us from it
DISCOVERY_LIFE: Millis = DAY
SLOTS = 16  # requests that may wait for the provider at once, so that a hanging one leaves threads for everybody else
MAX_DOCUMENT = 64 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_AGAIN = "Try again in a moment; an operator can check the provider and the identity settings."


def _down(what: str) -> NoReturn:
    raise Unavailable("identity.provider_unavailable", f"The identity provider {what}, so nobody is let in.", _AGAIN)


class OidcProvider:
    """The provider port over `client`. `wanted` is the profile from the settings; `console` is our own callback."""

    def __init__(
        self,
        client: httpx.Client,
        wanted: IssuerProfile,
        *,
        clock: Clock,
        client_secret: str = "",
        authentication: Literal["post", "basic"] = "post",
        console: str = "",
    ) -> None:
        self._client = client
        self._wanted = wanted
        self._secret = client_secret
        self._authentication = authentication
        self._console = console
        self._clock = clock
        self._endpoints: Endpoints | None = None
        self._asked: Millis | None = None  # when it last said who it is
        self._unsaid: Millis | None = None  # when it last failed to: after the exchange, so that who waited shares it
        self._keys: dict[str, PublicKey] = {}
        self._fetched: Millis | None = None
        self._failed: Millis | None = None
        self._unknown: Millis | None = None
        self._lock = threading.RLock()
        self._slots = threading.BoundedSemaphore(SLOTS)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Take one of the places of those who wait for the provider; when all are taken, the answer is no, now."""
        if not self._slots.acquire(blocking=False):
            _down("is slow, and too many wait for it already")
        try:
            yield
        finally:
            self._slots.release()

    def profile(self) -> IssuerProfile:
        return msgspec.structs.replace(self._wanted, announces_iss=self._discovered().announces_iss)

    def authorize_url(self, wish: Wish) -> Address:
        query = {
            "response_type": "code",
            "response_mode": "query",
            "client_id": self._wanted.client_id,
            "redirect_uri": wish.redirect_uri,
            "scope": "openid profile",
            "state": wish.state,
            "nonce": wish.nonce,
            "code_challenge": wish.challenge,
            "code_challenge_method": "S256",
        }
        if wish.step_up:
            value = self._wanted.step_up_value
            claims = {"id_token": {"acrs": {"essential": True, "value": value}, "auth_time": {"essential": True}}}
            query |= {"max_age": "0", "prompt": "login", "acr_values": value}
            query["claims"] = json.dumps(claims, separators=(",", ":"))
        found = self._discovered()
        if not found.pushed:
            return Address(with_query(found.authorization, query))
        name, good_s = self._pushed(found.pushed, query)
        named = {"client_id": self._wanted.client_id, "request_uri": name}
        return Address(with_query(found.authorization, named), good_s)

    def pushes(self) -> bool:
        return bool(self._discovered().pushed)

    def sign_out_url(self, return_to: str) -> str:
        there = self._discovered().end_session
        query = {"client_id": self._wanted.client_id, "post_logout_redirect_uri": return_to}
        return with_query(there, query) if there else ""

    def _pushed(self, where: str, query: dict[str, str]) -> tuple[str, int]:
        """Push the request; return its name and for how many seconds that is good from now on.

        One that ran out on its way here, behind others or a slow provider, is pushed anew, once, and never used.
        """
        for _ in range(2):
            begun = self._clock.monotonic()
            name, life = self._push(where, query)
            left = life - -(-(self._clock.monotonic() - begun) // SECOND)  # from when it may have begun to count
            if left > 0:
                return name, left
        _down("takes longer to answer than what was pushed to it is good for")

    def _push(self, where: str, query: dict[str, str]) -> tuple[str, int]:
        """Tell the provider the request itself, and return the name that the browser carries in its place.

        Whoever holds the browser can then neither drop `prompt=login` from it nor ask something else with our nonce,
        which they never see (RFC 9126).
        """
        form = dict(query)
        authorization = self._identify(form, query["redirect_uri"])
        form["client_id"] = self._wanted.client_id  # RFC 9126 2.1: part of the request, however the client is known
        with self._turn():
            status, body = self._send("POST", where, MAX_DOCUMENT, form, authorization)
        if status not in (200, 201):
            _down(f"answered {status} to a pushed authorization request")
        answer = _json(body)
        name, life = answer.get("request_uri"), answer.get("expires_in")
        if not isinstance(name, str) or not 1 <= len(name) <= 512 or not name.isascii() or not name.isprintable():
            _down("gave no name for a pushed authorization request")
        if not isinstance(life, int) or isinstance(life, bool) or not 0 < life < 2**31:  # RFC 9126 2.2 demands it
            _down("does not say for how long a pushed authorization request is good")
        return name, life

    def _identify(self, form: dict[str, str], redirect_uri: str) -> str:
        """Add to `form` how our client shows that it is itself; return the Authorization header, empty if none is.

        A command line's loopback address belongs to a public client, which providers refuse to hear a secret from
        (RFC 8252 8.5). The console's own callback may lie on loopback too.
        """
        local = urlsplit(redirect_uri).hostname in _LOOPBACK and redirect_uri != self._console
        if not self._secret or local:
            return ""
        if self._authentication == "basic":
            return _basic(form.pop("client_id"), self._secret)
        form["client_secret"] = self._secret
        return ""

    def redeem(self, *, code: str, verifier: str, redirect_uri: str) -> Redeemed:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
            "client_id": self._wanted.client_id,
        }
        authorization = self._identify(form, redirect_uri)
        token = self._discovered().token
        with self._turn():
            status, body = self._send("POST", token, MAX_DOCUMENT, form, authorization)
        if 400 <= status < 500:
            if b'"invalid_client"' in body or b'"unauthorized_client"' in body:
                _down("does not accept our client id, secret or way of showing it")
            raise Unauthenticated("identity.code_refused", "The provider did not accept the code.", "Sign in again.")
        answer = _json(body) if status == 200 else _down(f"answered {status}")
        id_token, access_token = answer.get("id_token"), answer.get("access_token", "")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            _down("gave no identity token")
        return Redeemed(id_token, access_token)

    def key(self, kid: str) -> PublicKey:
        found = self._shown(kid)
        if found is None or self._fetched is None or self._clock.monotonic() - self._fetched >= REFRESH:
            with self._turn(), self._lock:
                found = self._looked_up(kid)
        if found is None:
            raise Unauthenticated(
                "identity.token_key", "The token names a key that its issuer does not show.", "Sign in again."
            )
        return found

    def _shown(self, kid: str) -> PublicKey | None:
        """The key of that name; for a token that names none, the one key that there is (OpenID Connect Core 10.1)."""
        keys = self._keys
        return next(iter(keys.values())) if kid == "" and len(keys) == 1 else keys.get(kid)

    def _looked_up(self, kid: str) -> PublicKey | None:
        now = self._clock.monotonic()
        if self._fetched is None or now - self._fetched >= REFRESH:
            self._refresh(now)
        elif self._shown(kid) is None and (self._unknown is None or now - self._unknown >= UNKNOWN_EVERY):
            self._unknown = now  # a flood of made-up ids must not become a flood of fetches
            self._refresh(now)
        if self._fetched is None or now - self._fetched >= KEYS_LIFE:
            _down("has shown no keys for ten minutes")
        return self._shown(kid)

    def _refresh(self, now: Millis) -> None:
        """Fetch the key set; on failure go on with the keys that are known, for ten minutes at most."""
        if self._failed is not None and now - self._failed < RETRY_EVERY:
            return
        try:
            status, body = self._send("GET", self._ask().jwks, MAX_KEY_SET)
            if status == 200:
                self._keys, self._fetched, self._failed = parse_key_set(body), now, None
                return
        except WeighthouseError:
            pass
        self._failed = self._clock.monotonic()  # after the exchange: those who waited for it share its outcome

    def _discovered(self) -> Endpoints:
        found, asked = self._endpoints, self._asked
        if found is not None and asked is not None and self._clock.monotonic() - asked < DISCOVERY_LIFE:
            return found
        with self._turn(), self._lock:
            return self._ask()

    def _ask(self) -> Endpoints:
        """Ask the provider who it is, once a day; one that fails is asked again after five seconds, not by everybody.

        What is known stays in use while it cannot be asked.
        """
        now = self._clock.monotonic()
        if self._endpoints is not None and self._asked is not None and now - self._asked < DISCOVERY_LIFE:
            return self._endpoints
        if self._unsaid is not None and now - self._unsaid < RETRY_EVERY:
            return self._endpoints or _down("did not say who it is when it was last asked")
        # OpenID Connect Discovery 4.1: a slash at the end of the issuer is taken off before the path is put on.
        where = self._wanted.issuer.removesuffix("/") + "/.well-known/openid-configuration"
        try:
            status, body = self._send("GET", where, MAX_DOCUMENT)
            if status != 200:
                _down(f"answered {status} when asked who it is")
            self._endpoints, self._asked = self._read_discovery(body), now
        except WeighthouseError:
            self._unsaid = self._clock.monotonic()
            if self._endpoints is None:
                raise
        return self._endpoints

    def _read_discovery(self, body: bytes) -> Endpoints:
        try:
            return read_discovery(_json(body), self._wanted.issuer)
        except Unfit as unfit:
            _down(str(unfit))

    def _send(
        self, method: str, url: str, limit: int, form: dict[str, str] | None = None, authorization: str = ""
    ) -> tuple[int, bytes]:
        try:
            return send(self._client, method, url, limit=limit, form=form, authorization=authorization)
        except Broken as broken:
            _down(broken.what)


def _basic(client_id: str, secret: str) -> str:
    """Return the Authorization header of RFC 6749 2.3.1, which encodes each half as a form does."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(utf8(body))
    except NotUtf8:
        _down("does not answer in UTF-8 without a byte order mark")
    except (ValueError, RecursionError):
        _down("does not answer in JSON")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        _down("answers with half a character, which nothing can write down")
    if not isinstance(value, dict):
        _down("does not answer in JSON")
    return value
