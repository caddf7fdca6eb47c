"""Where this server is reached, and the rule that demo keys and the embedded provider stay on loopback."""

from __future__ import annotations

import ipaddress

from weighthouse.core.errors import Invalid
from weighthouse.core.settings import Settings


def loopback(address: str) -> bool:
    """Return whether `address` is this machine and nobody else."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def origin(settings: Settings) -> str:
    """Return the public origin, such as `https://weighthouse.lab` or `http://127.0.0.1:8040`."""
    configured = settings.text("server.origin")
    if configured:
        return configured.rstrip("/")
    return f"http://{settings.text('server.address')}:{settings.integer('server.port')}"


def check_address(settings: Settings) -> None:
    """Refuse demo keys off loopback (`app.demo_off_loopback`), and plain HTTP off loopback (`app.plain_http`)."""
    address = settings.text("server.address")
    if loopback(address):
        return
    if settings.text("mode") == "demo":
        raise Invalid(
            "app.demo_off_loopback",
            f"Demo keys protect nothing, so a demo does not listen on {address}.",
            "Use 127.0.0.1, or `weighthouse init` and `weighthouse serve` for a system with keys of its own.",
        )
    if not settings.text("server.origin").startswith("https://"):
        raise Invalid(
            "app.plain_http",
            f"Listening on {address} without TLS would put sessions on the wire in the clear.",
            "Put a TLS proxy in front on this machine and set server.origin to its https:// address.",
        )
