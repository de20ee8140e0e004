"""The stack's certificates, to be replaced with others, good and bad."""

import socket
import ssl
import struct

from support.postgres import Bouncer, Postgres
from testing.stack import Stack

# PostgreSQL 17 docs, 53.2.10: length 8, then a code in place of a protocol version.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
NAMES = {"postgres": "DNS:postgres,DNS:localhost", "pgbouncer": "DNS:pgbouncer,DNS:localhost", "proxy": "DNS:localhost"}


class Certificates:
    """`replace` puts another certificate in a service's volume; `reload` makes the service read it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.replaced: set[str] = set()

    def replace(
        self, service: str, *, names: str = "", expired: bool = False, unknown_ca: bool = False, days: int = 30
    ) -> None:
        """A new certificate for the service's key, by the stack's CA unless another is asked for."""
        dates = "-not_before 20200101000000Z -not_after 20200201000000Z" if expired else f"-days {days}"
        ca = "/ca"
        script = "cd /tmp\n"
        if unknown_ca:
            ca = "/tmp"  # noqa: S108 - inside the container
            script += (
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj '/CN=another CA'"
                " -keyout ca.key -out ca.crt\n"
            )
        script += f"""
            openssl req -new -key /tls/{service}/tls.key -subj /CN={"vantage1" if names else service} -out csr
            echo subjectAltName={names or NAMES[service]} >san
            openssl x509 -req -in csr -CA {ca}/ca.crt -CAkey {ca}/ca.key {dates} -extfile san -out crt
            cat crt >/tls/{service}/tls.crt"""
        self._in_the_volumes(script)
        self.replaced.add(service)

    def reload(self, service: str) -> None:
        """What an operator does after replacing a certificate."""
        match service:
            case "postgres":
                Postgres(self.stack).superuser("SELECT pg_reload_conf()")
            case "pgbouncer":
                Bouncer(self.stack).admin("RELOAD")
            case "proxy":
                self.stack.exec("proxy", "nginx", "-e", "stderr", "-s", "reload")

    def restore(self) -> None:
        """Good certificates again, read by every service that had another."""
        for service in self.replaced:
            self._in_the_volumes(f"rm -f /tls/{service}/tls.crt; make-certificates /ca /tls")
            # not `reload`: PgBouncer's console can't be reached with a certificate that no client accepts
            self.stack.compose("kill", "--signal", "HUP", service)

    def serial(self, service: str) -> str:
        """The serial number of the certificate that a new client is shown; the client verifies it."""
        tls = ssl.create_default_context(cafile=self.stack.ca)
        port = {"postgres": 5432, "pgbouncer": 6432, "proxy": 8443}[service]
        with socket.create_connection(("localhost", self.stack.port(service, port)), timeout=5) as plain:
            if service != "proxy":
                plain.sendall(SSL_REQUEST)
                assert plain.recv(1) == b"S"
            with tls.wrap_socket(plain, server_hostname="localhost") as secured:
                certificate = secured.getpeercert()
        assert certificate
        return str(certificate["serialNumber"])

    def _in_the_volumes(self, script: str) -> None:
        self.stack.compose("run", "--rm", "--no-deps", "--entrypoint", "bash", "certificates", "-ec", script)
