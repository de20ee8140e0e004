"""Patroni's REST API and etcd's health, with this member's certificate.

PATRONI_NAME          this member
PATRONI_ETCD3_HOSTS   etcd's addresses, HOST:PORT, comma separated
"""

import http.client
import json
import os
import ssl
from typing import Any

from user_errors import OperationError, Status

NAME = os.environ.get("PATRONI_NAME", "")
ETCD = [host.strip() for host in os.environ.get("PATRONI_ETCD3_HOSTS", "").split(",") if host.strip()]
PRIVATE_CA, CLUSTER_CA = "/tls/ca.crt", "/tls/cluster/ca.crt"
CERTIFICATE, KEY = "/tls/cluster/tls.crt", "/tls/cluster/tls.key"
LEADER = "leader"  # Patroni's word for the primary in /cluster


def call(
    host: str, method: str, path: str, body: Any = None, timeout: float = 3, ca: str = PRIVATE_CA
) -> tuple[int, Any]:
    """A request to HOST:PORT: its status, and the answer's JSON, or its text. `timeout` is in seconds.

    Raises OSError, http.client.HTTPException.
    """
    return answered(connection_to(host, timeout, ca), method, path, body)


def connection_to(host: str, timeout: float = 3, ca: str = PRIVATE_CA) -> http.client.HTTPSConnection:
    """A connection to HOST:PORT that begins with the first request, or with its method `connect`."""
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(CERTIFICATE, KEY)
    return http.client.HTTPSConnection(host, timeout=timeout, context=context)


def answered(connection: http.client.HTTPSConnection, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """A request on this connection, and its end: the status, and the answer's JSON, or its text."""
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


def own(
    method: str, path: str, body: Any = None, timeout: float = 3, connection: http.client.HTTPSConnection | None = None
) -> Any:
    """A request to this member's Patroni, which has to succeed. Raises OperationError."""
    try:
        status, answer = answered(connection or connection_to(f"{NAME}:8008", timeout), method, path, body)
    except (OSError, http.client.HTTPException) as error:
        raise OperationError(
            f"Patroni on {NAME} does not answer", f"docker compose logs --tail 20 {NAME}", str(error),
            Status.CANNOT_CONNECT,
        ) from None  # fmt: skip
    if status >= 300:
        raise OperationError(
            f"Patroni on {NAME} refuses {method} {path}", "./scripts/ops cluster status", f"{status} {answer}"
        )
    return answer


def etcd() -> list[dict[str, Any]]:
    """Each etcd: {"name", "healthy", "reason"}. A healthy one has read with the consent of the majority."""
    return [{"name": host.partition(":")[0], **health(host)} for host in ETCD]


def health(host: str) -> dict[str, Any]:
    """Of one etcd (etcd 3.5 docs, "Monitoring etcd", health check)."""
    try:
        _, answer = call(host, "GET", "/health", ca=CLUSTER_CA)
    except (OSError, http.client.HTTPException) as error:
        return {"healthy": False, "reason": str(error)}
    healthy = isinstance(answer, dict) and answer.get("health") == "true"
    return {"healthy": healthy, "reason": "" if healthy else str(answer)}


def primary(cluster: dict[str, Any]) -> str:
    """The primary's name in the answer of /cluster; "" when there is none."""
    return next((str(one["name"]) for one in cluster.get("members", []) if one.get("role") == LEADER), "")
