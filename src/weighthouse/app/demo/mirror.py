"""The allowed host of the demo: a small TLS server on a loopback address of its own, which counts what reaches it."""

from __future__ import annotations

import contextlib
import datetime
import secrets
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NAME = "mirror.lab.internal"
PORT = 8443


class Mirror:
    """Listens until `stop`; `received` counts the bytes that came in through TLS."""

    def __init__(self, folder: Path, address: str = "") -> None:
        # An address of its own within 127.0.0.0/8, so that two demos, or a real service, never meet on one port.
        own = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        self.address = address or own
        self.received = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(_certificate(folder))
        self._listener = socket.create_server((self.address, PORT))
        self._thread = threading.Thread(target=self._accept, name="mirror", daemon=True)

    def start(self) -> Mirror:
        self._thread.start()
        return self

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(connection,), name="mirror-take", daemon=True).start()

    def _take(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        with contextlib.suppress(OSError), self._context.wrap_socket(connection, server_side=True) as inside:
            while part := inside.recv(65536):
                self.received += len(part)

    def stop(self) -> None:
        # Closing alone does not wake a thread that waits in accept; shutting down does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=5)


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "mirror.pem"
    path.touch(mode=0o600)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path
