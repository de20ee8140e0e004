"""The public site: its certificate, proxies in front of it, ports, IPv6. On the production overlay."""

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.ops import Ops
from support.proxy import Proxy, another_proxy
from testing.shell import eventually, run
from testing.stack import Stack

SITE = "play.example.org"

# ------------------------------------------------------------ ports, HSTS


def test_plain_http_is_redirected_to_the_public_https_port(stack: Stack, proxy: Proxy) -> None:
    with proxy.client(base_url=proxy.http) as client:
        answer = client.get("/leaderboard/?page=2")
    port = stack.port("proxy", 8443)
    assert (answer.status_code, answer.headers["location"]) == (301, f"https://localhost:{port}/leaderboard/?page=2")


def test_hsts_speaks_for_this_host_name_only(proxy: Proxy) -> None:
    assert proxy.get("/accounts/login/").headers["strict-transport-security"] == "max-age=31536000"


# ------------------------------------------------------------ proxies in front

ASK = r"""
exec 3<>/dev/tcp/127.0.0.1/$1
printf "$2GET /leaderboard/?$3 HTTP/1.0\r\nHost: localhost\r\n$4\r\n" >&3
read -r _ status _ <&3
echo "$status"
"""
FORWARDED = r"X-Forwarded-For: 203.0.113.5, 198.51.100.7\r\nX-Forwarded-Proto: https\r\n"


PREFACE = r"PROXY TCP4 198.51.100.9 192.0.2.1 40000 443\r\n"


def ask(container: str, port: int, query: str, headers: str = "", preface: str = "") -> tuple[str, str]:
    """The status of a request to nginx inside the container, and the client's address in nginx's log."""
    status = run("docker", "exec", container, "bash", "-c", ASK, "-", str(port), preface, query, headers).stdout.strip()
    lines = [line for line in run("docker", "logs", "--tail", "3", container).stdout.splitlines() if line[:1] == "{"]
    return status, json.loads(lines[-1])["client"]


class TestProxiesInFront:
    """Both trust nothing but what TRUSTED_PROXIES names; requests come from their own loopback address."""

    @pytest.fixture(scope="class")
    def trusting(self, stack: Stack) -> Iterator[str]:
        with another_proxy(stack, "--env", "TRUSTED_PROXIES=127.0.0.1, 2001:db8::/32") as container:
            yield container

    @pytest.fixture(scope="class")
    def other(self, stack: Stack) -> Iterator[str]:
        with another_proxy(stack, "--env", "TRUSTED_PROXIES=192.0.2.0/24") as container:
            yield container

    def test_a_trusted_proxys_headers_are_believed(self, trusting: str) -> None:
        """The last address is the one that the trusted proxy added; those before it are the client's own claim."""
        assert ask(trusting, 8000, "a", FORWARDED) == ("200", "198.51.100.7")

    def test_its_visitor_may_come_from_ipv6_and_over_plain_http(self, trusting: str) -> None:
        headers = r"X-Forwarded-For: 2001:470::1\r\nX-Forwarded-Proto: http\r\n"
        assert ask(trusting, 8000, "b", headers) == ("301", "2001:470::1")

    def test_the_headers_of_other_clients_are_not_believed(self, other: str) -> None:
        assert ask(other, 8000, "c", FORWARDED) == ("301", "127.0.0.1")

    def test_the_proxy_protocol_tells_the_address_and_the_visitors_headers_do_not(self, trusting: str) -> None:
        """The scheme is the connection's: X-Forwarded-Proto came from the visitor."""
        assert ask(trusting, 8001, "d", FORWARDED, PREFACE) == ("301", "198.51.100.9")

    def test_the_proxy_protocol_of_other_clients_is_not_believed(self, other: str) -> None:
        assert ask(other, 8001, "e", preface=PREFACE) == ("301", "127.0.0.1")


@pytest.mark.parametrize("value", ["0.0.0.0/0", "::/0", "cdn.example.org", "192.0.2.0/33", "192.0.2.1; include x"])
def test_a_bad_list_of_proxies_stops_the_start(stack: Stack, value: str) -> None:
    done = stack.command(
        "docker", "compose", "run", "--rm", "--no-deps", "--env", f"TRUSTED_PROXIES={value}", "proxy", check=False
    )
    assert done.returncode == 1
    assert "ERROR:" in done.stderr
    assert "TRUSTED_PROXIES" in done.stderr


# ------------------------------------------------------------ a kernel without IPv6

NO_IPV6 = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 97,  # EAFNOSUPPORT
            "args": [{"index": 0, "value": socket.AF_INET6, "op": "SCMP_CMP_EQ"}],
        }
    ],
}


def test_nginx_starts_on_a_kernel_without_ipv6(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "seccomp.json").write_text(json.dumps(NO_IPV6))
    image = stack.inspect("proxy")["Config"]["Image"]
    volumes = [f"{mount['Source']}:{mount['Destination']}:ro" for mount in stack.inspect("proxy")["Mounts"]]
    options = ["--security-opt", f"seccomp={tmp_path / 'seccomp.json'}", "--tmpfs", "/run/nginx:uid=8443,gid=8443"]
    options += [word for volume in volumes for word in ("--volume", volume)]
    container = run("docker", "run", "--detach", "--rm", "--read-only", *options, image).stdout.strip()
    try:
        eventually(lambda: not run("docker", "exec", container, "healthcheck", check=False).returncode, within=20)
    finally:
        run("docker", "rm", "--force", container, check=False)


# ------------------------------------------------------------ certificates


def shown(stack: Stack, cipher: str = "") -> dict[str, Any]:
    """The certificate that a visitor is shown, unverified: its issuer's and its own names."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    if cipher:
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        tls.set_ciphers(cipher)
    with (
        socket.create_connection(("localhost", stack.port("proxy", 8443)), 5) as plain,
        tls.wrap_socket(plain, server_hostname=SITE) as secured,
    ):
        der = secured.getpeercert(True)
    assert der
    text = ssl.DER_cert_to_PEM_cert(der)
    done = run("openssl", "x509", "-noout", "-issuer", "-subject", "-ext", "subjectAltName", stdin=text)
    return dict(line.strip().partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)


def make_public(stack: Stack, folder: Path, *, names: str = f"DNS:{SITE}", expired: bool = False) -> None:
    """An RSA certificate as a public CA's would be: signed by another CA than the private one."""
    dates = "-not_before 20200101000000Z -not_after 20200201000000Z" if expired else "-days 30"
    script = f"""umask 077
        openssl req -x509 -newkey rsa:2048 -noenc -subj '/CN=A public CA' -addext subjectAltName={names} {dates} \\
            -keyout /public/tls.key -out /public/tls.crt
        chown 8443 /public/tls.*"""
    image = stack.inspect("proxy")["Config"]["Image"]
    mount = ("--volume", f"{folder}:/public", "--user", "root", "--entrypoint", "sh")
    run("docker", "run", "--rm", "--network", "none", *mount, image, "-ec", script)


def reload(stack: Stack) -> None:
    stack.exec("proxy", "configure", "nginx", "-s", "reload")


@pytest.fixture
def public(stack: Stack, secrets_folder: Path) -> Iterator[Path]:
    """SECRETS_DIR/tls/public, which is empty afterwards."""
    folder = secrets_folder / "tls/public"
    yield folder
    for file in folder.iterdir():
        file.unlink()
    reload(stack)
    eventually(lambda: "private CA" in shown(stack)["issuer"], within=10)


def test_a_given_rsa_certificate_is_served_and_no_program_replaces_it(
    stack: Stack, public: Path, secrets_folder: Path
) -> None:
    make_public(stack, public)
    before = {file: file.read_bytes() for file in public.iterdir()}
    reload(stack)
    eventually(lambda: "A public CA" in shown(stack, "ECDHE-RSA-AES128-GCM-SHA256")["issuer"], within=10)
    assert "A public CA" in shown(stack)["issuer"]  # TLS 1.3
    run("./scripts/secrets", "new", str(secrets_folder), env=stack.environment)
    assert {file: file.read_bytes() for file in public.iterdir()} == before
    assert stack.command("docker", "compose", "run", "--rm", "--no-deps", "certificates").returncode == 0


@pytest.mark.parametrize(
    ("names", "expired", "said"),
    [("DNS:other.example", False, "names no host of ALLOWED_HOSTS"), (f"DNS:{SITE}", True, "expired")],
)
def test_a_given_certificate_that_visitors_would_refuse_stops_the_start(
    stack: Stack, public: Path, names: str, expired: bool, said: str
) -> None:
    make_public(stack, public, names=names, expired=expired)
    done = stack.command("docker", "compose", "run", "--rm", "--no-deps", "certificates", check=False)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_a_certificate_of_another_ca_is_not_overwritten(stack: Stack, other_secrets: Path) -> None:
    """Put where the private CA's is: it stays, and the error says where it belongs."""
    folder = other_secrets / "tls/proxy"
    make_public(stack, folder)
    before = (folder / "tls.crt").read_bytes()
    done = run("./scripts/secrets", "new", str(other_secrets), env=stack.environment, check=False)
    assert (done.returncode, "move tls.crt and tls.key to tls/public" in done.stderr) == (1, True), done.stderr
    assert (folder / "tls.crt").read_bytes() == before


# ------------------------------------------------------------ ACME


@pytest.fixture
def acme(stack: Stack, tmp_path: Path) -> Iterator[Ops]:
    """./scripts/ops on the stack, with a real ACME server that resolves the site's name to the stack's proxy."""
    subject = ("-subj", "/CN=pebble", "-addext", "subjectAltName=DNS:pebble", "-days", "2")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
    files = ("-keyout", str(tmp_path / "tls.key"), "-out", str(tmp_path / "ca.crt"))
    run("openssl", "req", "-x509", *key, *subject, *files)
    settings = {"listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000", "httpPort": 8000}
    settings |= {"certificate": "/pebble/ca.crt", "privateKey": "/pebble/tls.key", "tlsPort": 8443}
    (tmp_path / "config.json").write_text(json.dumps({"pebble": settings}))
    tmp_path.chmod(0o755)
    own: dict[str, Any] = {**stack.variables, "PEBBLE_FOLDER": str(tmp_path), "ACME_EMAIL": "admin@example.org"}
    own |= {"ALLOWED_HOSTS": f"localhost,{SITE}"}
    both = Stack(stack.project, (*stack.files, "tests/docker-compose.acme.yml"), **own)
    both.compose("build", "pebble", timeout=600)
    both.compose("up", "--detach", "--wait", "--no-deps", "pebble")
    network = f"{stack.project}_acme"
    run("docker", "network", "connect", "--alias", SITE, network, stack.container("proxy"))
    try:
        yield Ops(both)
    finally:
        run("docker", "network", "disconnect", network, stack.container("proxy"))
        both.compose("rm", "--force", "--stop", "pebble")
        both.compose("run", "--rm", "--no-deps", "--entrypoint", "rm", "acme", "-rf", "/certificates/acme/live")
        stack.exec("proxy", "configure", "nginx", "-s", "reload")


def test_a_certificate_is_obtained_once_and_served(stack: Stack, acme: Ops) -> None:
    assert "private CA" in shown(stack)["issuer"]
    done = acme("certificate", "renew")
    assert (done.status, "nginx uses the new certificate" in done.err) == (0, True), done.err
    eventually(lambda: "Pebble" in shown(stack)["issuer"], within=10)
    again = acme("certificate", "renew")
    assert (again.status, "nothing was changed" in again.err) == (0, True), again.err


def test_a_name_that_does_not_lead_here_gets_no_certificate_and_the_old_one_stays(stack: Stack, acme: Ops) -> None:
    assert acme("certificate", "renew").status == 0
    eventually(lambda: "Pebble" in shown(stack)["issuer"], within=10)
    before = shown(stack)
    refused = acme("certificate", "renew", ALLOWED_HOSTS="elsewhere.example.org")
    assert (refused.status, "issued no certificate" in refused.err) == (1, True), refused.err
    assert shown(stack) == before


def test_without_an_address_no_server_is_asked(acme: Ops) -> None:
    refused = acme("certificate", "renew", ACME_EMAIL="")
    assert (refused.status, "set ACME_EMAIL" in refused.err) == (1, True), refused.err
