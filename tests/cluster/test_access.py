"""Only members may change the cluster: etcd, Patroni's REST API and replication answer no other client."""

import json

import pytest

from support.cluster import MEMBERS
from testing.shell import run
from testing.stack import Stack

# A request with python's own client, from inside a container that has these files: prints the status, or the error.
REQUEST = """
import http.client, json, ssl, sys
host, ca, certificate, method, path, body = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile=ca)
if certificate:
    context.load_cert_chain(certificate + "/tls.crt", certificate + "/tls.key")
connection = http.client.HTTPSConnection(host, timeout=5, context=context)
try:
    connection.request(method, path, body)
    print(connection.getresponse().status)
except OSError as error:
    print(type(error).__name__, error)
"""
REST, ETCD = "db2:8008", "etcd-db2:2379"
MEMBER, PRIVATE = "/tls/cluster", "/tls"  # a member's certificate; its server certificate, of the private CA
READ_ALL = '{"key": "AA==", "range_end": "AA=="}'


def asked(
    stack: Stack, host: str, ca: str, certificate: str, path: str, method: str = "GET", body: str | None = None
) -> str:
    """From db1's container."""
    words = json.dumps([host, ca, certificate, method, path, body])
    return stack.exec("db1", "python3", "-c", REQUEST, words).strip()


def test_a_member_is_answered(stack: Stack) -> None:
    assert asked(stack, REST, "/tls/ca.crt", MEMBER, "/cluster") == "200"
    assert asked(stack, ETCD, "/tls/cluster/ca.crt", MEMBER, "/health") == "200"
    assert asked(stack, ETCD, "/tls/cluster/ca.crt", MEMBER, "/v3/kv/range", "POST", READ_ALL) == "200"


@pytest.mark.parametrize("certificate", ["", PRIVATE], ids=["without a certificate", "with a server's certificate"])
@pytest.mark.parametrize(
    ("host", "ca", "path"),
    [(REST, "/tls/ca.crt", "/cluster"), (REST, "/tls/ca.crt", "/primary"), (ETCD, "/tls/cluster/ca.crt", "/health")],
    ids=["patroni", "patroni's health check", "etcd"],
)
def test_another_client_is_refused(stack: Stack, certificate: str, host: str, ca: str, path: str) -> None:
    answer = asked(stack, host, ca, certificate, path)
    assert "CERTIFICATE" in answer.upper() or "RESET" in answer.upper() or "ALERT" in answer.upper(), answer
    assert not answer.isdigit()


def as_haproxy(stack: Stack, host: str, request: str) -> str:
    """What a request gets with HAProxy's certificate, which is one of the private CA, on HAProxy's network."""
    project = stack.project
    image = stack.config["services"]["db1"]["image"]
    words = ["docker", "run", "--rm", "--interactive", f"--network={project}_cluster", "--user=root", "--cap-drop=ALL"]
    words += ["--cap-add=DAC_OVERRIDE", f"--volume={project}_tls-haproxy:/tls:ro", "--entrypoint=openssl", image]
    words += ["s_client", "-quiet", "-connect", host, "-CAfile", "/tls/ca.crt", "-cert", "/tls/tls.crt"]
    done = run(*words, "-key", "/tls/tls.key", stdin=request, check=False, timeout=30)
    return done.stdout + done.stderr


def http_request(method: str, path: str, body: str = "") -> str:
    return f"{method} {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def test_haproxy_may_ask_and_change_nothing(stack: Stack) -> None:
    assert "HTTP/1.0 " in as_haproxy(stack, REST, http_request("GET", "/primary"))
    for method, path, body in (
        ("POST", "/switchover", '{"leader": "db1"}'),
        ("PATCH", "/config", '{"ttl": 30}'),
        ("POST", "/restart", "{}"),
    ):
        assert "HTTP/1.0 403" in as_haproxy(stack, REST, http_request(method, path, body)), path


def test_haproxy_is_refused_by_etcd(stack: Stack) -> None:
    said = as_haproxy(stack, ETCD, http_request("GET", "/health"))
    assert "HTTP/1" not in said
    assert "alert" in said


@pytest.mark.parametrize("role", ["flaglearning_replicator", "flaglearning_rewinder"])
def test_replication_needs_a_members_certificate(stack: Stack, role: str) -> None:
    database = "replication=true dbname=postgres" if role.endswith("replicator") else "dbname=postgres"
    question = "IDENTIFY_SYSTEM" if role.endswith("replicator") else "SELECT 1"
    other = next(name for name in MEMBERS if name != "db1")

    def log_in(certificate: str) -> str:
        files = f"sslcert={certificate}/tls.crt sslkey={certificate}/tls.key" if certificate else "sslcert=/none"
        target = f"host={other} user={role} {database} sslmode=verify-full sslrootcert=/tls/ca.crt {files}"
        return stack.exec("db1", "psql", "-XAt", "--no-password", target, "-c", question, check=False)

    assert "FATAL" not in log_in(MEMBER)
    assert "certificate" in log_in("")
    assert "alert" in log_in(PRIVATE) or "certificate" in log_in(PRIVATE)


@pytest.mark.parametrize("service", ["pgbouncer", "app"])
@pytest.mark.parametrize("member", MEMBERS)
def test_only_haproxy_reaches_a_member(stack: Stack, service: str, member: str) -> None:
    networks = stack.inspect(service)["NetworkSettings"]["Networks"]
    assert f"{stack.project}_cluster" not in networks
    address = stack.inspect(member)["NetworkSettings"]["Networks"][f"{stack.project}_cluster"]["IPAddress"]
    said = stack.exec(
        service, "timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{address}/5432 && echo open", check=False
    )
    assert "open" not in said
