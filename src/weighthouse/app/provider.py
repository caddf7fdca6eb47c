"""The identity provider behind the sign-in: any OIDC issuer by settings, else the embedded one on loopback."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from weighthouse.app.origin import listening, loopback, origin
from weighthouse.core.clock import Clock
from weighthouse.core.errors import Invalid
from weighthouse.core.settings import Settings
from weighthouse.core.signing import Signers
from weighthouse.core.work import System, begin, read
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.dev_idp.people import DevPerson, DevSecret, secret_of
from weighthouse.identity.adapters.dev_idp.server import ISSUER_NAME, TENANT, DevIdp
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.adapters.oidc import OidcProvider
from weighthouse.identity.model import IssuerProfile, SignInResult
from weighthouse.identity.ports import Provider
from weighthouse.policy import api as policy


def dev_secret(system: System, subject: str) -> DevSecret:
    """Return what a person types at the embedded provider; derived from this state folder's own keys."""
    return secret_of(system.part(Signers).mac("dev-idp", b"seed"), subject)


def people(system: System) -> dict[str, DevPerson]:
    """Return the embedded provider's accounts by subject: the people of the lab whose issuer it is."""
    with read(system) as unit:
        people = policy.current(unit).lab.people
    return {
        subject: DevPerson(subject, person.name)
        for person in people.values()
        if person.active
        for issuer, subject in person.accounts
        if issuer == ISSUER_NAME
    }


def embedded(system: System) -> DevIdp:
    """Make the development provider; raises `identity.dev_idp_refused` in production or off loopback."""

    def record(result: SignInResult) -> None:
        with begin(system) as unit:
            identity.record_sign_in(unit, result)

    return DevIdp(
        mode=system.settings.text("mode"),
        address=str(listening(system.settings)),
        origin=origin(system.settings),
        clock=system.clock,
        people=lambda: people(system),
        secret=lambda subject: dev_secret(system, subject),
        record=record,
        client_id=system.settings.text("identity.client_id"),
    )


def bind(system: System) -> DevIdp | None:
    """Bind the provider port; return the embedded provider if it is the one, so that it can be mounted."""
    settings = system.settings
    if settings.text("identity.issuer"):
        system.bind(Provider, outside(settings, system.clock))
        return None
    own = embedded(system)
    client = httpx.Client(transport=InProcess(_mounted(own)), timeout=5, trust_env=False)
    profile = _profile(settings, own.issuer, account_issuer=ISSUER_NAME, tenant=TENANT)
    system.bind(Provider, OidcProvider(client, profile, clock=system.clock))
    return own


def outside(settings: Settings, clock: Clock) -> OidcProvider:
    """Return the provider that the settings name."""
    issuer = settings.text("identity.issuer")
    return OidcProvider(
        http_client(settings, issuer),
        _profile(settings, issuer, algorithm=settings.text("identity.algorithm")),
        clock=clock,
        client_secret=settings.text("identity.client_secret"),
        authentication="basic" if settings.text("identity.client_authentication") == "basic" else "post",
        console=origin(settings) + "/callback",
    )


def http_client(settings: Settings, issuer: str) -> httpx.Client:
    """Return the client for an issuer: no proxy but the one that is set here, and none at all for this machine.

    The environment's proxies are not believed: whoever sets one reads what an issuer without TLS is told, and a
    malformed one would stop the start. Raises `app.bad_proxy` and `app.unreadable_trust`.
    """
    proxy = settings.text("identity.proxy")
    if proxy and not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?", proxy):
        raise Invalid(
            "app.bad_proxy",
            "identity.proxy is no address of an HTTP proxy.",
            "Give http://host:port or https://host:port, or nothing.",
        )
    host = urlsplit(issuer).hostname or ""
    try:
        return httpx.Client(
            timeout=5,
            follow_redirects=False,
            trust_env=False,
            proxy=None if not proxy or loopback(host) else proxy,
            verify=httpx.create_ssl_context(),  # SSL_CERT_FILE and SSL_CERT_DIR name a lab's own authority
        )
    except (OSError, ValueError) as error:
        raise Invalid(
            "app.unreadable_trust",
            f"The certificates to trust cannot be read: {error}.",
            "Correct or unset SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from None


def _profile(
    settings: Settings, issuer: str, *, account_issuer: str = "", tenant: str = "", algorithm: str = "RS256"
) -> IssuerProfile:
    return IssuerProfile(
        issuer=issuer,
        account_issuer=account_issuer or issuer,
        client_id=settings.text("identity.client_id"),
        tenant=tenant or settings.text("identity.tenant"),
        subject_claim=settings.text("identity.subject_claim"),
        step_up_value=settings.text("identity.step_up_value"),
        algorithms=(algorithm,),
    )


def _mounted(own: DevIdp) -> Starlette:

    return Starlette(routes=[Mount("/dev-idp", own.application)])
