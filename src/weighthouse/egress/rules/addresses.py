"""Which addresses lie outside, by a table of our own. Guards what is inside from a listed name that leads there.

From: a name whose answer is private, link-local, multicast or a cloud's metadata service, written plainly or inside
an address that carries another (IPv4-mapped and -compatible, NAT64, 6to4, Teredo, ISATAP). A library's idea of
"global" moves with its version; this table is fixed text, from the IANA special-purpose registries (IPv4 2021-08,
IPv6 2024-09) and the clouds' own documentation, and what it does not know to be global unicast is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# Every block of the registry is refused, also those that are globally reachable by anycast (AS112, AMT, the relays of
# 6to4): no listed host lives in one.
_SPECIAL_4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared, with 100.100.100.200 (metadata, Alibaba)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, with 169.254.169.254 (metadata, nearly every cloud)
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, with 192.0.0.192 (metadata, Oracle)
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        # Inside a cloud although the number looks public:
        "168.63.129.16/32",  # Azure's host agent
        "161.26.0.0/16",  # IBM's private services
        "166.8.0.0/14",  # IBM's private services
    )
)
_UNICAST_6 = IPv6Network(
    "2000::/3"
)  # everything else is not global unicast: ::1, fc00::/7, fe80::/10, ff00::/8, 5f00::/16
_SPECIAL_6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks, AMT, AS112, drone identifiers
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the former 6bone
        "3fff::/20",  # documentation
    )
)
_UNLINKABLE_4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_UNLINKABLE_6 = tuple(
    IPv6Network(block)
    for block in (
        "::/8",  # unspecified, and IPv4 in mapped, compatible and translated form
        "2001::/32",
        "2002::/16",
        "fd00:ec2::/32",  # metadata, Amazon
        "fd20:ce::254/128",  # metadata, Google
        "fe80::/10",
        "ff00::/8",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)
# What no translator's prefix of its own may lead to either (RFC 6052: the prefix cannot be known, the target can).
_INSIDE = frozenset(
    int(IPv4Address(one))
    for one in ("127.0.0.1", "169.254.169.254", "168.63.129.16", "192.0.0.192", "100.100.100.200")
)
_PREFIX_LENGTHS = (32, 40, 48, 56, 64, 96)


def is_global(text: str) -> bool:
    """Whether `text` is one address of the outside: global unicast, whatever is embedded in it included."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _SPECIAL_4)
    if address.scope_id is not None:
        return False
    if address in _NAT64:  # what a network without IPv4 answers for every host there is
        return is_global(str(IPv4Address(int(address) & 0xFFFFFFFF)))
    if address not in _UNICAST_6 or any(address in block for block in _SPECIAL_6):
        return False
    return not any(int(one) in _INSIDE for one in _translated(address)) and all(
        is_global(str(one)) for one in _isatap(address)
    )


def is_linkable(text: str) -> bool:
    """Whether a private link may name this address: one host's, and none that hands out a machine's own secrets."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _UNLINKABLE_4)
    if address == IPv6Address("::1"):
        return True
    return address.scope_id is None and not any(address in block for block in _UNLINKABLE_6)


def _isatap(address: IPv6Address) -> Iterator[IPv4Address]:
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def _translated(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 address that each length of a translator's prefix would read; bits 64 to 71 are left out."""
    whole = int(address)
    without = (whole >> 64 << 56) | (whole & ((1 << 56) - 1))  # 120 bits
    for length in _PREFIX_LENGTHS[:-1]:
        yield IPv4Address((without >> (120 - length - 32)) & 0xFFFFFFFF)
    yield from _low(address)


def _low(address: IPv6Address) -> Iterator[IPv4Address]:
    yield IPv4Address(int(address) & 0xFFFFFFFF)
