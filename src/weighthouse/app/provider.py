"""The identity provider behind the sign-in: any OIDC issuer by settings, else the embedded one on loopback."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from weighthouse.app.origin import origin
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
        address=system.settings.text("server.address"),
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
    outside = settings.text("identity.issuer")
    if outside:
        client = httpx.Client(timeout=5, follow_redirects=False)
        provider = OidcProvider(
            client,
            _profile(settings, outside, algorithm=settings.text("identity.algorithm")),
            clock=system.clock,
            client_secret=settings.text("identity.client_secret"),
            authentication="basic" if settings.text("identity.client_authentication") == "basic" else "post",
            console=origin(settings) + "/callback",
        )
        system.bind(Provider, provider)
        return None
    own = embedded(system)
    client = httpx.Client(transport=InProcess(_mounted(own)), timeout=5)
    profile = _profile(settings, own.issuer, account_issuer=ISSUER_NAME, tenant=TENANT)
    system.bind(Provider, OidcProvider(client, profile, clock=system.clock))
    return own


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
