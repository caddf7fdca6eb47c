"""A person's client: sign in, ask, sign votes. Guards a person's session from being worth anything without their key.

The device's P-256 key lies in a file of mode 0600; every request carries a fresh proof by it (DPoP, RFC 9449), so a
token that leaks is a string of letters. Votes are signed with the same key over exactly what the server showed.

    Client              requests with proofs; raises `ProblemError(code, message, remedy)` for every refusal
    DeviceKey           make, load and use the key
    sign_in_browser     the system's browser and a listener on loopback (RFC 8252)
    sign_in_headless    walks the development provider's page; for demos and tests only
"""

from __future__ import annotations

from weighthouse_sdk.client.http import Client, ProblemError, SignedIn
from weighthouse_sdk.client.key import DeviceKey

__all__ = ["Client", "DeviceKey", "ProblemError", "SignedIn"]
