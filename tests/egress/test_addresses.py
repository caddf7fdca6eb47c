"""Only the outside is followed: every special block, and every way of writing one address inside another."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.egress.rules.addresses import is_global, is_linkable

INSIDE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.0.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.0.170", "192.0.0.192",
    "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "168.63.129.16", "161.26.0.10", "166.8.0.1", "166.11.255.255",
]  # fmt: skip
INSIDE_6 = [
    "::", "::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
    "100::1", "2001::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:20::1", "2001:30::1",
    "2001:db8::1", "2002::1", "2620:4f:8000::1", "3ffe::1", "3fff::1", "5f00::1", "64:ff9b:1::1", "4000::1",
    "2606:4700::1%1", "2606:4700:0:1:0:5efe:a00:1",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.1.1", "223.255.255.255", "2606:4700::1111",
           "2001:4860:4860::8888", "2a00:1450:4001:80b::200e", "64:ff9b::808:808"]  # fmt: skip


@pytest.mark.parametrize("address", [*INSIDE, *INSIDE_6, "", "localhost", "1", "0x7f.1", "1.1.1.1 ", "١.1.1.1"])
def test_no_address_of_the_inside_is_global(address: str) -> None:
    assert not is_global(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_outside_is(address: str) -> None:
    assert is_global(address)


def embedded(inner: int) -> dict[str, int]:
    """Every form in which an IPv6 address carries an IPv4 one."""
    v6 = ipaddress.IPv6Address
    high, low = inner >> 16, inner & 0xFFFF
    public = int(v6("2606:4700::")) >> 64 << 64
    forms = {
        "mapped": 0xFFFF << 32 | inner,
        "translated": 0xFFFF << 48 | inner,
        "compatible": inner,
        "nat64": int(v6("64:ff9b::")) | inner,
        "nat64 local": int(v6("64:ff9b:1::")) | inner,
        "6to4": 0x2002 << 112 | inner << 80 | 1,
        "teredo server": int(v6("2001::")) | inner << 64 | 0xFFFF,
        "teredo client": int(v6("2001::")) | 0x01010101 << 64 | (inner ^ 0xFFFFFFFF),
        "isatap": public | 0x00005EFE << 32 | inner,
        "isatap global": public | 0x02005EFE << 32 | inner,
    }
    assert struct.pack("!HH", high, low) == struct.pack("!I", inner)
    return forms


@given(st.sampled_from(INSIDE))
def test_an_address_of_the_inside_stays_inside_in_every_embedding(address: str) -> None:
    for form, number in embedded(int(ipaddress.IPv4Address(address))).items():
        assert not is_global(str(ipaddress.IPv6Address(number))), form


@given(st.ip_addresses(v=4))
def test_no_embedding_is_looser_than_what_it_carries(address: ipaddress.IPv4Address) -> None:
    for form, number in embedded(int(address)).items():
        assert not is_global(str(ipaddress.IPv6Address(number))) or is_global(str(address)), form


@pytest.mark.parametrize(
    "secret", ["169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "127.0.0.1"]
)
@pytest.mark.parametrize("length", [32, 40, 48, 56, 64, 96])
def test_a_translators_own_prefix_leads_to_no_metadata_service(secret: str, length: int) -> None:
    prefix = int(ipaddress.IPv6Address("2a00:1450:4001:80b:0:1:2:0")) >> (128 - length) << (128 - length)
    inner = int(ipaddress.IPv4Address(secret))
    bits = 128 - length - 32
    number = prefix | (inner << bits if bits >= 0 else inner)
    if length < 96:  # RFC 6052: the octet of bits 64 to 71 is zero, and the address goes around it
        head = max(0, 64 - length)
        number = prefix | (inner >> (32 - head) << 64 if head else 0)
        number |= (inner & ((1 << (32 - head)) - 1)) << (56 - (32 - head))
    assert not is_global(str(ipaddress.IPv6Address(number)))


@given(st.ip_addresses())
def test_our_table_is_never_looser_than_the_interpreters(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    nat64 = address in ipaddress.ip_network("64:ff9b::/96") if address.version == 6 else False
    assert address.is_global or nat64 or not is_global(str(address))
    assert not (is_global(str(address)) and address.is_multicast)


@pytest.mark.parametrize(
    ("address", "may"),
    [("10.0.0.5", True), ("127.0.0.1", True), ("::1", True), ("fd12:3456::1", True), ("52.1.2.3", True),
     ("169.254.169.254", False), ("168.63.129.16", False), ("192.0.0.192", False), ("100.100.100.200", False),
     ("fd00:ec2::254", False), ("::ffff:169.254.169.254", False), ("64:ff9b::a9fe:a9fe", False), ("224.0.0.1", False),
     ("255.255.255.255", False), ("0.0.0.0", False), ("fe80::1", False), ("ff02::1", False), ("hub", False)],
)  # fmt: skip
def test_a_private_link_names_one_host_and_no_metadata_service(address: str, may: bool) -> None:
    assert is_linkable(address) is may
