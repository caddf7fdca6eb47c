"""Address facts from a table that the operator supplies. Guards the risk check from guessing where somebody is.

Loopback and the addresses that sites give out by themselves (RFC 1918, RFC 4193) are "local". Everything else is
known only if a row of the table covers it; what no row covers is unknown, which asks for a second factor. The table
is CSV: range,network,country[,lat,lon,radius_km].
"""

from __future__ import annotations

import csv
import ipaddress
from collections.abc import Iterator
from pathlib import Path

from weighthouse.core.errors import Invalid
from weighthouse.identity.model import Place

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Not `is_private`, which counts every special range in, those of documents and of benchmarks too.
SITES = [ipaddress.ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]


class TablePlaces:
    """The places port over an optional CSV file; the narrowest covering range wins."""

    def __init__(self, table: Path | None = None) -> None:
        self._rows = _read(table) if table else []

    def place(self, address: str) -> Place:
        found = ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        for network, place in self._rows:
            if found.version == network.version and found in network:
                return place
        if found.is_loopback or found.is_link_local or any(found in site for site in SITES):
            return Place(network="local", known=True)
        around = ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False)
        return Place(network=str(around))


def _read(table: Path) -> list[tuple[Network, Place]]:
    rows: list[tuple[Network, Place]] = []
    try:
        lines = table.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(table, 0, f"cannot be read ({type(error).__name__})") from error
    for number, cells in enumerate(_cells(table, lines), start=1):
        if not cells or cells[0].startswith("#") or cells[0] == "range":
            continue
        if len(cells) not in (3, 6):
            raise _bad(table, number, "has neither 3 nor 6 cells")
        try:
            network = ipaddress.ip_network(cells[0].strip())
            spot = (
                (round(float(cells[3]) * 1000), round(float(cells[4]) * 1000), int(cells[5]))
                if len(cells) == 6
                else None
            )
        except (ValueError, OverflowError) as error:
            raise _bad(table, number, str(error)) from error
        rows.append((network, Place(network=cells[1].strip(), country=cells[2].strip(), known=True, spot=spot)))
    return sorted(rows, key=lambda row: -row[0].prefixlen)


def _cells(table: Path, lines: list[str]) -> Iterator[list[str]]:
    reader = csv.reader(lines)
    try:
        yield from reader
    except csv.Error as error:
        raise _bad(table, reader.line_num, f"is not CSV ({error})") from None


def _bad(table: Path, number: int, what: str) -> Invalid:
    return Invalid(
        "identity.bad_places",
        f"{table.name}:{number}: {what}.",
        "Each line is range,network,country or range,network,country,latitude,longitude,radius in km.",
    )
