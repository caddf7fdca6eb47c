"""What a request really presents, and from where. Guards from spoofed addresses and doubled credentials.

The peer's address counts unless the operator has named the peer as a proxy; then the right-most address that is not a
proxy counts. Two cookies of one name, or a cookie beside a token, are refused rather than chosen from.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Literal, NoReturn

from weighthouse.core.errors import Invalid, Unauthenticated
from weighthouse.identity.model import Credential

SESSION_COOKIE = "__Host-sid"
START_COOKIE = "__Host-sign-in"
DEVICE_COOKIE = "__Host-browser"
MAX_SECRET = 256
MAX_AGENT = 512

_VERSION = re.compile(r"\d[\d._]*")
_NAT64 = int(ipaddress.IPv6Address("64:ff9b::")) >> 32
Headers = Sequence[tuple[str, str]]


def plain_address(text: str) -> str:
    """Return an address in one spelling: no zone, IPv4 inside IPv6 as IPv4; empty if it is none."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return ""
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    return str(address)


def origin_of(text: str) -> str:
    """Return what an address counts as when attempts are grouped: an IPv4 address itself, an IPv6 address's /64.

    One machine has a whole /64 and can use another address of it for each attempt (RFC 8981), so that a spray would
    never share one. IPv4 in an IPv6 spelling (mapped, NAT64 of RFC 6052, 6to4 of RFC 3056) is that IPv4 address.
    What is no address counts as its own text.
    """
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    inside = address.ipv4_mapped or address.sixtofour
    if inside is None and int(address) >> 32 == _NAT64:
        inside = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return str(inside) if inside else str(ipaddress.IPv6Network((int(address), 64), strict=False))


def family_of(user_agent: str) -> str:
    """Return a browser's self-description without its version numbers, which an update changes under a session."""
    return _VERSION.sub("#", user_agent)


def networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Read comma-separated networks of proxies that the operator has named; raises `identity.bad_proxies`.

    "Everybody" is refused: whoever speaks to us could then say where they come from (CVE-2026-40575).
    """
    found = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        try:
            network = ipaddress.ip_network(part)
        except ValueError as error:
            raise _bad_proxies(f"'{part}' is no network: {error}.") from error
        if network.prefixlen == 0:
            raise _bad_proxies(f"'{part}' names every address as a proxy.")
        found.append(network)
    return tuple(found)


def _bad_proxies(what: str) -> Invalid:
    return Invalid(
        "identity.bad_proxies",
        f"identity.trusted_proxies: {what}",
        "Name the networks of your own proxies, such as 10.0.4.0/24, 2001:db8:4::/64.",
    )


def _hop(text: str) -> str:
    """Return the address of one hop as proxies write it: bare, or with the port that some put behind it."""
    text = text.strip()
    if text.startswith("["):
        return plain_address(text[1:].partition("]")[0])
    return plain_address(text.partition(":")[0] if text.count(":") == 1 else text)


def client_address(
    peer: str, headers: Headers, trusted: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> str:
    """Return the address that the request counts as coming from. `Forwarded` (RFC 7239) is never read."""
    here = plain_address(peer)
    hops = [hop for name, value in headers if name.lower() == "x-forwarded-for" for hop in value.split(",")]
    while here and hops and any(ipaddress.ip_address(here) in network for network in trusted):
        before = _hop(hops.pop())
        if not before:  # a proxy that we trust passed on nonsense: stop at what we know
            break
        here = before
    return here


def _all(headers: Headers, name: str) -> list[str]:
    return [value for key, value in headers if key.lower() == name]


def cookie(headers: Headers, name: str) -> str:
    """Return the value of a cookie, empty if absent; raise `identity.credential_ambiguous` if it comes twice."""
    found = [
        value.strip().strip('"')
        for header in _all(headers, "cookie")
        for key, _, value in (part.partition("=") for part in header.split(";"))
        if key.strip() == name
    ]
    if len(found) > 1:  # a sibling host has tossed one in; which is first is the attacker's choice
        _ambiguous(f"Two cookies are named {name}.")
    return found[0] if found else ""


def _ambiguous(what: str) -> NoReturn:
    raise Unauthenticated(
        "identity.credential_ambiguous",
        f"{what} Neither is believed.",
        "Clear this site's cookies, or send one credential only.",
    )


def read_credential(
    headers: Headers, *, method: str, url: str, peer: str, trusted_proxies: str = "", run: str = ""
) -> Credential:
    """Return the one credential that a request presents; `url` begins with our own origin, never the Host header.

    `run` is what the broker's socket vouches for, empty elsewhere. Raises `identity.no_credential` or
    `identity.credential_ambiguous`.
    """
    given, proofs, sid = _all(headers, "authorization"), _all(headers, "dpop"), cookie(headers, SESSION_COOKIE)
    if len(given) > 1 or len(proofs) > 1 or (given and sid):
        _ambiguous("The request presents more than one credential.")
    scheme, _, value = given[0].partition(" ") if given else ("", "", sid)
    kind: Literal["cookie", "dpop", "workload"] | None = None
    if run:
        # What comes through the broker's socket is a run and nothing else: no session works from inside a sandbox.
        kind = "workload" if scheme.lower() in ("workload", "bearer") else None
    elif scheme.lower() == "dpop":
        kind = "dpop"
    elif not given and sid:
        kind = "cookie"
    if kind is None or not 0 < len(value) <= MAX_SECRET:
        raise Unauthenticated("identity.no_credential", "The request does not say who asks.", "Sign in first.")
    return Credential(
        kind=kind,
        value=value,
        proof=run if kind == "workload" else (proofs[0] if proofs else ""),
        method=method,
        url=url,
        address=client_address(peer, headers, networks(trusted_proxies)),
        user_agent=" ".join(_all(headers, "user-agent"))[:MAX_AGENT],
        device_mark=cookie(headers, DEVICE_COOKIE)[:128] if kind == "cookie" else "",
    )
