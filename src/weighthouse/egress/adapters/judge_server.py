"""The gRPC side of verdicts: Envoy's ext_authz protocol on a Unix socket. Fail closed at every step.

Guards against a verdict for the wrong run: the run is named by the way's secret token in metadata that Envoy's own
configuration sets, never by anything the workload sends. Only the fields needed of envoy.service.auth.v3 are declared
(Envoy API v3: CheckRequest, AttributeContext, CheckResponse); HTTP-flavoured ext_authz does not work on CONNECT.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped,unused-ignore]

from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.egress.ports import Judge, Question

log = logging.getLogger("weighthouse.egress")

OK, PERMISSION_DENIED = 0, 7  # google.rpc.Code
_TEXT, _MESSAGE, _INT32 = 9, 11, 5  # FieldDescriptorProto.Type
_WORKERS = 8

# message -> fields (name, number, type, message type)
_SHAPES: dict[str, tuple[tuple[str, int, int, str], ...]] = {
    "HttpRequest": (("method", 2, _TEXT, ""), ("path", 4, _TEXT, ""), ("host", 5, _TEXT, "")),
    "Request": (("http", 2, _MESSAGE, "HttpRequest"),),
    "TlsSession": (("sni", 1, _TEXT, ""),),
    "AttributeContext": (("request", 4, _MESSAGE, "Request"), ("tls_session", 12, _MESSAGE, "TlsSession")),
    "CheckRequest": (("attributes", 1, _MESSAGE, "AttributeContext"),),
    "Status": (("code", 1, _INT32, ""),),
    "CheckResponse": (("status", 1, _MESSAGE, "Status"),),
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="weighthouse/ext_authz.proto", package="weighthouse.ext_authz", syntax="proto3"
    )
    for name, fields in _SHAPES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            declared = message.field.add(name=field, number=number, label=1)
            declared.type = kind  # type: ignore[assignment,unused-ignore]
            if of:
                declared.type_name = f".weighthouse.ext_authz.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"weighthouse.ext_authz.{name}"))
        for name in _SHAPES
    }


_MESSAGES = _messages()


class JudgeServer:
    """Serves `judge` on the socket `path` (0600) until `stop`."""

    def __init__(self, path: Path, judge: Judge) -> None:
        self._judge = judge
        self._socket = path
        self._bound = 0  # the number of our own socket file, once it is there
        self._server = grpc.server(
            ThreadPoolExecutor(_WORKERS, thread_name_prefix="judge"),
            options=[("grpc.max_receive_message_length", 65536), ("grpc.so_reuseport", 0)],
        )
        check = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=_MESSAGES["CheckRequest"].FromString,
            response_serializer=_MESSAGES["CheckResponse"].SerializeToString,
        )
        handler = grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": check})
        self._server.add_generic_rpc_handlers((handler,))

    def start(self) -> None:
        if _answers(self._socket):  # what answers there is another server's, and not ours to remove
            raise Unavailable(
                "egress.judge_socket",
                f"Another server answers verdicts on {self._socket}, so this one does not start.",
                "End that server first, or choose another state folder.",
            )
        self._socket.unlink(missing_ok=True)
        self._server.add_insecure_port(f"unix:{self._socket}")
        self._server.start()
        self._socket.chmod(0o600)  # and its folder is 0700, so that nobody came in between
        self._bound = self._socket.stat().st_ino

    def stop(self) -> None:
        self._server.stop(grace=None).wait(10)
        with contextlib.suppress(OSError):
            if self._socket.stat().st_ino == self._bound:
                self._socket.unlink()

    def _check(self, request: Any, context: Any) -> Any:
        allowed = False
        try:
            allowed = self._judge(_question(request, dict(context.invocation_metadata())))
        except WeighthouseError as error:
            log.warning("verdict refused: %s (%s)", error.message, error.code)
        except Exception:
            log.exception("verdict failed; the connection is refused")
        code = OK if allowed is True else PERMISSION_DENIED
        return _MESSAGES["CheckResponse"](status=_MESSAGES["Status"](code=code))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _question(request: Any, metadata: dict[str, Any]) -> Question:
    kind, _, destination = str(metadata.get("x-weighthouse-point", "")).partition(" ")
    outer = request.attributes.request.http
    authority = destination if kind == "inner" else outer.host
    tunnel = kind == "inner" or outer.method == "CONNECT"
    if not tunnel and ":" not in authority:
        authority = f"{authority}:80"
    return Question(
        token=str(metadata.get("x-weighthouse-way", "")),
        kind=kind,
        authority=authority,
        server_name=request.attributes.tls_session.sni,
        tunnel=tunnel,
    )
