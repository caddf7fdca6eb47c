"""The world outside a way, for tests: a sink that counts what arrives, TLS or not, and a client that behaves badly."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path) -> Path:
    """Write a throw-away certificate and key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "sink.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Sink:
    """Accepts on loopback, counts every byte, answers nothing; `raw` counts bytes on the wire, TLS or not."""

    def __init__(self, pem: Path | None = None, address: str = "127.0.0.1") -> None:
        self._context = None
        if pem is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pem)
        self._listening = socket.create_server((address, 0))
        self.port: int = self._listening.getsockname()[1]
        self.received = 0
        self.connections = 0
        self.changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with self.changed:
                    self.connections += 1
                    self.changed.notify_all()
                threading.Thread(target=self._drain, args=(connection,), daemon=True).start()

    def _drain(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            while data := connection.recv(65536):
                with self.changed:
                    self.received += len(data)
                    self.changed.notify_all()
        except OSError:
            return
        finally:
            connection.close()

    def wait_for(self, count: int, seconds: float = 30) -> bool:
        """Wait until `count` bytes have arrived in all; return whether they did in time."""
        with self.changed:
            return self.changed.wait_for(lambda: self.received >= count, timeout=seconds)

    def close(self) -> None:
        # shutdown first: closing alone leaves the accepting thread inside accept()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextlib.contextmanager
def dial(way: Path) -> Iterator[socket.socket]:
    """Connect to the one socket that a run sees."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(30)
        connection.connect(str(way))
        yield connection


def ask(connection: socket.socket, authority: str) -> int:
    """Send CONNECT as a client that hides nothing would, and return the status."""
    connection.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    return head(connection)


def head(connection: socket.socket) -> int:
    """Read one response head and return its status; 0 when the connection was closed without one."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        try:
            more = connection.recv(1)
        except ConnectionError:
            return 0
        if not more:
            return 0
        seen += more
    return int(seen.split()[1])


def connect(way: Path, authority: str) -> int:
    """Return only the status of one CONNECT."""
    with dial(way) as connection:
        return ask(connection, authority)


def greet(connection: socket.socket, server_name: str | None) -> ssl.SSLSocket:
    """Start TLS inside a tunnel under any name; raises OSError (ssl.SSLError, ConnectionError) when it is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=server_name)
