"""The embedded provider speaks real OpenID Connect: a certified relying party (npm openid-client) says so, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.app.serving import Server
from weighthouse.app.provider import dev_secret
from weighthouse.identity.adapters.dev_idp.people import STEP, totp_code
from weighthouse.identity.adapters.dev_idp.server import TENANT

pytestmark = pytest.mark.foreign_oidc
CHECKS = 30


def test_a_certified_relying_party_finds_nothing_wrong_with_the_embedded_provider(
    tmp_path: Path, relying_party: Callable[[dict[str, Any]], list[dict[str, Any]]]
) -> None:
    server = Server(tmp_path)
    try:
        server.start()
        system = server.system()
        secret = dev_secret(system, "ada")
        system.database.close()
        found = relying_party(
            {
                "issuer": f"{server.url}/dev-idp/{TENANT}/v2.0",
                "client": "weighthouse",
                "redirect": "http://127.0.0.1:1/callback",
                "account": "ada",
                "password": secret.password,
                "codes": [totp_code(secret.totp, int(time.time() * 1000) // STEP)],
            }
        )
    finally:
        server.close()
    assert [one for one in found if not one["ok"]] == []
    assert len(found) == CHECKS, [one["check"] for one in found]
