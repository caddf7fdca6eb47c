"""The one place that reaches the server: which one, as whom, with which key. Guards the session kept on this machine.

The device's key and the sessions lie in one folder of the user, readable by nobody else. A session is bound to the
key, so a copied session file alone opens nothing. Every noun talks through `Connection`, and that through the SDK.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from weighthouse.cli import known
from weighthouse.cli.release import agent
from weighthouse.cli.show import say
from weighthouse.core import written
from weighthouse.core.errors import Invalid, Unauthenticated

if TYPE_CHECKING:
    from weighthouse_sdk.client import Client, SignedIn

DEFAULT = "http://127.0.0.1:8040"
PATIENCE_S = 30.0
PAGE = 500  # what every list gives at most at a time
T = TypeVar("T")
Answer = dict[str, Any]


def folder() -> Path:
    """Return the folder of keys and sessions: WEIGHTHOUSE_HOME, else the user's configuration folder."""
    chosen = os.environ.get("WEIGHTHOUSE_HOME")
    if chosen:
        return Path(chosen)
    found = written.configuration_folder(os.environ)
    if found is None:
        raise Invalid(
            "cli.no_home",
            "This user has no home folder, so there is no place for a key and a session.",
            "Set WEIGHTHOUSE_HOME to a folder of your own.",
        )
    return found / "weighthouse"


def _kept() -> Answer:
    path = folder() / "sessions.json"
    try:
        kept = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {"current": "", "servers": {}}
    except (ValueError, OSError) as error:
        raise Invalid("cli.bad_sessions_file", f"{path} cannot be read: {error}.", "Remove it and sign in.") from None
    if not isinstance(kept, dict) or not isinstance(kept.get("servers"), dict):
        raise Invalid("cli.bad_sessions_file", f"{path} is not a list of sessions.", "Remove it and sign in again.")
    return kept


def _keep(kept: Answer) -> None:
    _write("sessions.json", kept)


def _write(name: str, kept: Mapping[str, Any]) -> None:
    """Replace the file whole, so that a crash leaves the old one or the new one."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = folder() / f".sessions-{secrets.token_hex(4)}"
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(kept, file, indent=1)
    fresh.replace(folder() / name)


def _nonces() -> dict[str, str]:
    """Return the servers' newest nonces, for the next command's proofs; a lost or odd file costs one request."""
    try:
        kept = json.loads((folder() / "nonces.json").read_text("utf-8"))
    except (ValueError, OSError):
        return {}
    return {str(one): str(nonce) for one, nonce in kept.items()} if isinstance(kept, dict) else {}


def _keep_nonce(nonces: dict[str, str], client: Client) -> None:
    if client.nonce != nonces.get(client.url, ""):
        _write("nonces.json", {**nonces, client.url: client.nonce})


def _keep_log(client: Client) -> None:
    if client.log != known.log_of(folder(), client.url):
        _write(known.LOGS, known.with_log(folder(), client.url, client.log))


def server(ctx: click.Context) -> str:
    """Return the address of the server to talk to: --server, WEIGHTHOUSE_SERVER, the last signed in to, loopback."""
    chosen = (ctx.find_root().obj or {}).get("server")
    return str(chosen or _kept().get("current") or DEFAULT).rstrip("/")


def has_server(ctx: click.Context) -> bool:
    """Whether there is a server to ask: one that was named, or the one that somebody here is signed in to."""
    named = (ctx.find_root().obj or {}).get("server")
    return bool(named or (_kept()["servers"].get(server(ctx)) or {}).get("token"))


class Connection:
    """A client for one server, as whoever is signed in there."""

    def __init__(self, client: Client, *, account: str = "") -> None:
        self.client = client
        self.account = account
        """As whom the session was signed in to in a terminal: whoever steps it up there is the same account."""

    def get(self, path: str, **params: str | int | None) -> Any:
        """GET one answer; parameters that are None are left out."""
        return self.client.get(path, **{name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Answer | None = None) -> Any:
        """POST a change under an idempotency key of its own."""
        return self.client.post(path, body or {}, idempotency_key=str(uuid.uuid4()))

    def items(self, path: str, most: int | None = None, **params: str | int | None) -> Iterator[Answer]:
        """Yield a list's items, page by page, at most `most`, or all. A list that is cut says so on stderr."""
        following: str | None = None
        given = 0
        while most is None or given < most:
            size = PAGE if most is None else min(PAGE, most - given)
            page = self.get(path, **params, limit=size, cursor=following)
            yield from page["items"]
            given += len(page["items"])
            following = page.get("next")
            if following is None:
                return
        left = f"{page['total'] - given} more" if "total" in page else "more"
        say(f"Shown: {given}; there are {left}. --limit {given * 2} shows more of them, --all every one.")

    def download(self, path: str) -> bytes:
        """GET a binary answer, which arrives as base64 in a JSON object so that it is covered by one proof."""
        return base64.b64decode(self.get(path)["content"], validate=True)

    def me(self) -> str:
        """Return who is signed in."""
        return str(self.get("/me")["principal"])

    def remember(self, session: SignedIn) -> None:
        """Keep a session for the next command."""
        kept = _kept()
        kept["current"] = self.client.url
        kept["servers"][self.client.url] = {
            "token": self.client.token,
            "person": session.person,
            "session": session.session,
            "ends": session.ends,
            "account": self.account,
        }
        _keep(kept)

    def forget(self) -> None:
        """Forget the session on this machine."""
        kept = _kept()
        kept["servers"].pop(self.client.url, None)
        _keep(kept)


def connect(ctx: click.Context, *, anonymous: bool = False, patience_s: float = PATIENCE_S) -> Connection:
    """Open a connection as whoever is signed in; raise `cli.not_signed_in` if nobody is.

    `patience_s` is how long one answer may take.
    """
    from weighthouse_sdk.client import Client, DeviceKey

    address, kept = server(ctx), _kept()["servers"]
    entry = kept.get(address) or {}
    if not entry.get("token") and not anonymous:
        raise Unauthenticated(
            "cli.not_signed_in",
            f"Nobody is signed in to {address} on this machine.",
            "Run `weighthouse login` first, or name another server with --server.",
        )
    nonces, log = _nonces(), known.log_of(folder(), address)
    client = Client(
        address,
        DeviceKey.load_or_make(known.own_key(folder(), address, kept)),
        token=str(entry.get("token", "")),
        nonce=nonces.get(address, ""),
        timeout_s=patience_s,
        agent=agent(),
        log=log,
    )
    ctx.call_on_close(client.close)
    ctx.call_on_close(lambda: _keep_log(client) if client.log and not log else None)
    ctx.call_on_close(lambda: _keep_nonce(nonces, client))
    return Connection(client, account=str(entry.get("account", "")))


def needs_second_factor(error: Exception) -> bool:
    """Return whether a refusal would be lifted by a fresh second factor."""
    code = str(getattr(error, "code", ""))
    return getattr(error, "status", 0) in (401, 403) and any(
        mark in code for mark in ("step_up", "second_factor", "act_unconfirmed")
    )


def fresh(connection: Connection, act: Callable[[], T]) -> T:
    """Run `act`; when the server wants a fresh second factor first, get one and run it again, once."""
    from weighthouse_sdk.client.http import acts_of
    from weighthouse_sdk.errors import Refused

    try:
        return act()
    except Refused as error:
        if not needs_second_factor(error) or not (sys.stdin.isatty() or "WEIGHTHOUSE_TOTP_SECRET" in os.environ):
            raise
        acts = acts_of(error)
        click.echo(error.message if acts else "This needs a fresh second factor.", err=True)
    sign_in(connection, headless="WEIGHTHOUSE_TOTP_SECRET" in os.environ, step_up=True, acts=acts)
    return act()


def sign_in(
    connection: Connection,
    *,
    headless: bool,
    step_up: bool = False,
    account: str = "",
    acts: Sequence[Mapping[str, Any]] = (),
    log: str = "",
) -> SignedIn:
    """Sign in or step up, in the browser or (development provider only) in this terminal, and keep the session.

    `log` is the mark that the server's log has by what its person was told; else the one known of it must be there.
    """
    if headless:
        known = connection.account if step_up else ""
        name = account or known or os.environ.get("WEIGHTHOUSE_ACCOUNT") or click.prompt("Account", err=True)
        password = os.environ.get("WEIGHTHOUSE_PASSWORD") or click.prompt("Password", hide_input=True, err=True)
        secret = os.environ.get("WEIGHTHOUSE_TOTP_SECRET", "")
        code = "" if secret else click.prompt("Code, if asked for one", default="", hide_input=True, err=True)
        session = connection.client.sign_in_headless(name, password, secret, step_up=step_up, acts=acts, code=code)
        connection.account = name
    else:
        connection.account = connection.account if step_up else ""
        session = connection.client.sign_in_browser(_open, step_up=step_up, acts=acts)
    if not step_up:
        _recognise(connection.client, log)
    connection.client.confirm = None  # `fresh` asks instead: it says what for, and keeps the token that comes of it
    connection.remember(session)
    return session


def _recognise(client: Client, log: str) -> None:
    """Check that it is the server that is known at this address, and remember a new one."""
    from weighthouse_sdk.errors import SdkError

    before, client.log = client.log, log or client.log
    try:
        client.audience()
    except SdkError as error:
        client.log = before
        if error.code == "client.no_audience" and not (log or before):
            return  # a server of an earlier version: nothing is signed for it
        raise
    _keep_log(client)


def _open(url: str) -> None:
    """Open the browser, and say where, in case none opens."""
    import webbrowser

    click.echo(f"Continue in your browser. If none opens:\n\n  {url}\n", err=True)
    webbrowser.open(url)
