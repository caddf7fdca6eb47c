"""The static Envoy configuration of one way. Guards against every path that is not written here.

Shape: a Unix socket that speaks HTTP/1.1 only. Plain HTTP reaches nothing but the broker, with a header that the run
cannot choose. CONNECT is judged over gRPC (fail closed), then goes through an internal listener that reads the TLS
greeting, has it judged again and compares its name with the destination (research case 47: domain fronting), limits
the rate, and leads to the forwarder, which holds addresses pinned at start (case 49: rebinding). There is no dynamic
cluster, no resolver and no address of the outside here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from weighthouse.egress.model import CONTROL_HOST, KIB, Destination
from weighthouse.egress.ports import ProxySpec

_API = "type.googleapis.com/envoy."
BUFFER = 64 * KIB
MOST_CONNECTIONS = 256  # at once; each costs the proxy buffers that no limit of the sandbox sees
MOST_TO_BROKER = 16  # connections; the rest waits here, in the run's own proxy, and holds nothing of the server
MOST_REQUESTS, REQUESTS_A_SECOND = 400, 100  # each one may cost the control plane a transaction
CLAIMS = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "cookie"]
SOCKET_MODE = 0o666  # the folder above it is what keeps strangers out; the run's user id differs from ours


def _typed(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _API + kind, **fields}}


def upstream(index: int) -> str:
    """Return the cluster name of a destination."""
    return f"out_{index}"


def forwarding_socket(spec: ProxySpec, index: int) -> Path:
    """Return where the forwarder takes what goes to a destination."""
    return spec.folder / upstream(index)


def bootstrap(spec: ProxySpec, admin: Path) -> dict[str, Any]:
    """Return the whole configuration of the proxy for `spec`."""
    inner = [_inner(spec, index, destination) for index, destination in enumerate(spec.destinations)]
    clusters = [_local("judge", spec.judge, http2=True), _local("broker", spec.broker, http2=False), _nowhere()]
    for index in range(len(spec.destinations)):
        clusters += [_internal(index), _outside(spec, index)]
    return {
        "node": {"id": spec.run, "cluster": "weighthouse"},
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "bootstrap_extensions": [
            _typed(
                "envoy.bootstrap.internal_listener",
                "extensions.bootstrap.internal_listener.v3.InternalListener",
                buffer_size_kb=64,
            )
        ],
        "static_resources": {"listeners": [_front(spec), *inner], "clusters": clusters},
    }


def _front(spec: ProxySpec) -> dict[str, Any]:
    manager = _typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="front",
        codec_type="HTTP1",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        strip_trailing_host_dot=True,
        common_http_protocol_options={"headers_with_underscores_action": "REJECT_REQUEST", "idle_timeout": "600s"},
        request_headers_timeout="10s",
        max_request_headers_kb=32,
        # Envoy takes whoever comes over a Unix socket, or claims to be near, for one of its own, and would obey its
        # x-envoy- headers: neither is believed.
        internal_address_config={"unix_sockets": False},
        use_remote_address=True,
        skip_xff_append=True,
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
        http_filters=[
            _pace(),
            _judge_filter(spec.token),
            _typed(
                "envoy.filters.http.router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True
            ),
        ],
        route_config={"name": "ways", "virtual_hosts": _hosts(spec)},
    )
    return {
        "name": "front",
        "address": {"pipe": {"path": str(spec.socket), "mode": SOCKET_MODE}},
        "per_connection_buffer_limit_bytes": BUFFER,
        "filter_chains": [{"filters": [_at_once(), manager]}],
    }


def _at_once() -> dict[str, Any]:
    return _typed(
        "envoy.filters.network.connection_limit",
        "extensions.filters.network.connection_limit.v3.ConnectionLimit",
        stat_prefix="front",
        max_connections=MOST_CONNECTIONS,
    )


def _pace() -> dict[str, Any]:
    """Slow down a run that floods the control plane with questions, before any of them is asked."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    bucket = {"max_tokens": MOST_REQUESTS, "tokens_per_fill": REQUESTS_A_SECOND, "fill_interval": "1s"}
    return _typed(
        "envoy.filters.http.local_ratelimit",
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="pace",
        token_bucket=bucket,
        filter_enabled=always,
        filter_enforced=always,
    )


def _hosts(spec: ProxySpec) -> list[dict[str, Any]]:
    control = {
        "name": "control",
        "domains": [CONTROL_HOST, f"{CONTROL_HOST}:80"],
        "request_headers_to_add": [
            {
                "header": {"key": "x-weighthouse-run", "value": spec.run},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "request_headers_to_remove": CLAIMS,
        "typed_per_filter_config": {"envoy.filters.http.ext_authz": _unjudged()},
        "routes": [
            {"match": {"prefix": "/workload/v1/"}, "route": {"cluster": "broker", "timeout": "120s"}},
            {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
        ],
    }
    listed = [
        {
            "name": f"listed_{index}",
            "domains": [f"{destination.host}:{destination.port}"],
            "routes": [_connect(f"inner_{index}"), {"match": {"prefix": "/"}, "direct_response": {"status": 403}}],
        }
        for index, destination in enumerate(spec.destinations)
    ]
    rest = {
        "name": "rest",
        "domains": ["*"],
        "routes": [_connect("nowhere"), {"match": {"prefix": "/"}, "route": {"cluster": "nowhere"}}],
    }
    return [control, *listed, rest]


def _connect(cluster: str) -> dict[str, Any]:
    upgrade = [{"upgrade_type": "CONNECT", "connect_config": {}}]
    route = {"cluster": cluster, "upgrade_configs": upgrade, "timeout": "0s"}
    return {"match": {"connect_matcher": {}}, "route": route}


def _judge_service(token: str, point: str) -> dict[str, Any]:
    metadata = {"x-weighthouse-way": token, "x-weighthouse-point": point}
    return {
        "envoy_grpc": {"cluster_name": "judge", "authority": "judge"},
        "timeout": "5s",
        "initial_metadata": [{"key": key, "value": value} for key, value in metadata.items()],
    }


def _judge_filter(token: str) -> dict[str, Any]:
    return _typed(
        "envoy.filters.http.ext_authz",
        "extensions.filters.http.ext_authz.v3.ExtAuthz",
        transport_api_version="V3",
        failure_mode_allow=False,
        status_on_error={"code": "Forbidden"},
        grpc_service=_judge_service(token, "outer"),
        # No header of the run reaches the judge: the authority alone decides.
        disallowed_headers={"patterns": [{"safe_regex": {"regex": ".*"}}]},
    )


def _unjudged() -> dict[str, Any]:
    return {"@type": _API + "extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}


def _inner(spec: ProxySpec, index: int, destination: Destination) -> dict[str, Any]:
    kibibytes = max(1, destination.rate // KIB)
    limit = _typed(
        "envoy.filters.network.tcp_bandwidth_limit",
        "extensions.filters.network.tcp_bandwidth_limit.v3.TcpBandwidthLimit",
        stat_prefix=f"rate_{index}",
        read_limit_kbps=kibibytes,
        fill_interval="0.05s",
    )
    onward = _typed(
        "envoy.filters.network.tcp_proxy",
        "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=f"tunnel_{index}",
        cluster=upstream(index),
        idle_timeout="600s",
    )
    listener: dict[str, Any] = {
        "name": f"inner_{index}",
        "internal_listener": {},
        "per_connection_buffer_limit_bytes": BUFFER,
    }
    if not destination.tls:
        return {**listener, "filter_chains": [{"filters": [limit, onward]}]}
    inspector = _typed(
        "envoy.filters.listener.tls_inspector", "extensions.filters.listener.tls_inspector.v3.TlsInspector"
    )
    filters = [_greeting(spec.token, index, destination), _same_name(index, destination), limit, onward]
    return {
        **listener,
        "listener_filters": [inspector],
        "listener_filters_timeout": "5s",
        "continue_on_listener_filters_timeout": False,
        "filter_chains": [{"filters": filters}],
    }


def _greeting(token: str, index: int, destination: Destination) -> dict[str, Any]:
    return _typed(
        "envoy.filters.network.ext_authz",
        "extensions.filters.network.ext_authz.v3.ExtAuthz",
        stat_prefix=f"greeting_{index}",
        transport_api_version="V3",
        failure_mode_allow=False,
        include_tls_session=True,
        grpc_service=_judge_service(token, f"inner {destination.host}:{destination.port}"),
    )


def _same_name(index: int, destination: Destination) -> dict[str, Any]:
    """A second lock that needs no answer from anybody: the greeting's name must be the destination's."""
    allowed = {
        "permissions": [{"requested_server_name": {"exact": destination.host}}],
        "principals": [{"any": True}],
    }
    return _typed(
        "envoy.filters.network.rbac",
        "extensions.filters.network.rbac.v3.RBAC",
        stat_prefix=f"name_{index}.",
        rules={"action": "ALLOW", "policies": {"same-name": allowed}},
    )


def _endpoints(name: str, addresses: list[dict[str, Any]]) -> dict[str, Any]:
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": a}} for a in addresses]}]}


def _local(name: str, path: Path, *, http2: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"http2_protocol_options" if http2 else "http_protocol_options": {}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [{"max_connections": MOST_TO_BROKER}]},
        "load_assignment": _endpoints(name, [{"pipe": {"path": str(path)}}]),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _API + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": options,
            }
        },
    }


def _nowhere() -> dict[str, Any]:
    empty = _endpoints("nowhere", [])
    return {"name": "nowhere", "type": "STATIC", "connect_timeout": "1s", "load_assignment": empty}


def _internal(index: int) -> dict[str, Any]:
    name = f"inner_{index}"
    address = {"envoy_internal_address": {"server_listener_name": name}}
    return {"name": name, "type": "STATIC", "connect_timeout": "2s", "load_assignment": _endpoints(name, [address])}


def _outside(spec: ProxySpec, index: int) -> dict[str, Any]:
    """The only way on is the forwarder's socket: Envoy itself connects to no address."""
    return {
        "name": upstream(index),
        "type": "STATIC",
        "connect_timeout": "10s",
        "per_connection_buffer_limit_bytes": BUFFER,
        "load_assignment": _endpoints(upstream(index), [{"pipe": {"path": str(forwarding_socket(spec, index))}}]),
    }
