"""The two pages of the development provider: plain HTML, no script, one style under a hash. Escapes everything."""

from __future__ import annotations

import base64
import hashlib
from html import escape

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:8vh auto;padding:0 1rem;color-scheme:light dark}"
    "label{display:block;margin:1rem 0 .25rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem}"
    "button{font:inherit;margin-top:1.5rem;padding:.5rem 1.25rem}.note{padding:.75rem;border:2px solid}"
)
STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def policy(redirect_origin: str) -> str:
    """Return the Content-Security-Policy of a page whose form may lead on to `redirect_origin`."""
    target = f"'self' {redirect_origin}".strip()
    return (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action {target}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>"
    )


def form(action: str, handle: str, *, second_factor: bool, problem: str = "") -> str:
    """Return the sign-in page. The code is asked for when the control plane wants a second factor."""
    alarm = f'<p class="note" role="alert">{escape(problem)}</p>' if problem else ""
    need = "required" if second_factor else ""
    hint = "Code from your authenticator" + ("" if second_factor else " (may be asked for next)")
    return _page(
        "Sign in: development provider",
        f"<h1>Sign in</h1><p>This is the development identity provider. It is not for production.</p>{alarm}"
        f'<form method="post" action="{escape(action)}"><input type="hidden" name="handle" value="{escape(handle)}">'
        '<label for="account">Account</label>'
        '<input id="account" type="text" name="account" autocomplete="username" required autofocus maxlength="255">'
        '<label for="password">Password</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required'
        ' maxlength="255">'
        f'<label for="code">{hint}</label>'
        '<input id="code" type="text" name="code" inputmode="numeric" autocomplete="one-time-code"'
        f' maxlength="6" {need}>'
        '<button type="submit">Sign in</button></form>',
    )


def refusal(message: str) -> str:
    """Return the page for a request that this provider does not answer with a redirect."""
    return _page("Sign in: refused", f'<h1>Refused</h1><p class="note" role="alert">{escape(message)}</p>')
