"""Between hosts: the gateway shows a host's metrics to Prometheus' certificate, and to no other client. It takes a
journal from the host that the certificate names."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testing.shell import run
from testing.stack import Stack

EXTENSIONS = """\
subjectAltName=DNS:exporters
extendedKeyUsage=serverAuth,clientAuth
authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash
"""
CLIENTS = {
    "monitoring": "ca",
    "exporters": "ca",
    "dashboard": "ca",
    "another": "ca",
    "foreign": "foreign-ca",
    "logs-db1": "ca",
    "logs-app1": "ca",  # without a receiver
    "logs-..": "ca",  # no host's name
}
PROMETHEUS = ("/prometheus/api/v1/query?query=up", "/prometheus/api/v1/alerts", "/prometheus/api/v1/status/config")
DASHBOARD = ("/api/v1/query?query=up", "/api/v1/alerts", "/api/v1/status/config", "/-/ready", "/metrics")
ASK = """
import http.server, json, os, socketserver, ssl, sys, threading, urllib.request, urllib.error
answers = {}
received = []

class Receiver(http.server.BaseHTTPRequestHandler):  # of db1's journal, as systemd-journal-remote
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "Transfer-Encoding" in self.headers:
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        received.append([self.path, body.decode()])
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def address_string(self):
        return "gateway"

os.umask(0)
receiver = socketserver.ThreadingUnixStreamServer("/logs/db1.sock", Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
clients, paths, dashboard = map(json.loads, sys.argv[1:])
for client in clients:
    for path in ("/node", "/alertmanager", "/prometheus", "/elsewhere", *paths):
        context = ssl.create_default_context(cafile="/tls/ca.crt")
        if client:
            context.load_cert_chain(f"/tls/{client}.crt", f"/tls/{client}.key")
        try:
            with urllib.request.urlopen("https://exporters:9443" + path, context=context, timeout=10) as answer:
                answers[f"{client} {path}"] = "metrics" if b"node_memory" in answer.read() else str(answer.status)
        except urllib.error.HTTPError as error:
            answers[f"{client} {path}"] = str(error.code)
        except OSError as error:
            answers[f"{client} {path}"] = f"refused: {error}"
    for method in ("POST", "GET", "DELETE"):
        body = iter([f"{client} ".encode(), b"line"]) if method == "POST" else None  # chunked
        request = urllib.request.Request("https://exporters:9443/logs/upload", body, method=method)
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as answer:
                answers[f"{client} {method}"] = str(answer.status)
        except urllib.error.HTTPError as error:
            answers[f"{client} {method}"] = str(error.code)
        except OSError as error:
            answers[f"{client} {method}"] = f"refused: {error}"
try:
    urllib.request.urlopen("http://exporters:9443/node", timeout=10)
    answers["plain"] = "200"
except urllib.error.HTTPError as error:
    answers["plain"] = str(error.code)
for path, form in [*((path, None) for path in dashboard), (dashboard[0], b"x=1")]:
    try:
        with urllib.request.urlopen("http://dashboard:9091" + path, data=form, timeout=10) as answer:
            answers[f"app {path}" + (" POST" if form else "")] = json.load(answer)["status"]
    except urllib.error.HTTPError as error:
        answers[f"app {path}" + (" POST" if form else "")] = str(error.code)
print(json.dumps({**answers, "received": received}))
"""


def make_certificates(folder: Path) -> None:
    """Two CAs; the gateway's certificate; and certificates of clients, named as CLIENTS says."""

    def openssl(*words: str) -> None:
        run("openssl", *words, cwd=folder)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
    for ca in ("ca", "foreign-ca"):
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python 3.13 asks for it
        files = ("-out", f"{ca}.crt", "-keyout", f"{ca}.key")
        openssl("req", "-x509", *new, "-days", "2", "-subj", f"/CN={ca}", *usage, *files)
    for name, ca in {**CLIENTS, "tls": "ca"}.items():
        subject = "exporters" if name == "tls" else "monitoring" if name == "foreign" else name
        openssl("req", *new, "-subj", f"/CN={subject}", "-out", "request", "-keyout", f"{name}.key")
        (folder / "extensions").write_text(EXTENSIONS)
        signer = ("-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-days", "2", "-extfile", "extensions")
        openssl("x509", "-req", "-in", "request", *signer, "-out", f"{name}.crt")
    for file in folder.iterdir():
        file.chmod(0o644)


@pytest.fixture(scope="module")
def answers(stack: Stack, sink_folder: Path) -> Iterator[dict[str, Any]]:
    """What each client is answered for each path, and by method where journals are sent to; and what was received."""
    folder = sink_folder / "gateway"
    folder.mkdir()
    make_certificates(folder)
    (folder / "logs").mkdir()
    (folder / "logs").chmod(0o777)
    name = f"{stack.project}-gateway"
    options = ("--label", f"flaglearning-test={stack.project}", "--network", f"{stack.project}_monitoring")
    hardened = ("--read-only", "--cap-drop", "ALL", "--init", "--tmpfs", "/tmp:uid=9090")  # noqa: S108
    mount = ("--volume", f"{folder}:/tls:ro", "--volume", f"{folder}/logs:/logs")
    image = f"flaglearning/monitoring:{stack.variables['TAG']}"
    aliases = ("--network-alias", "exporters", "--network-alias", "monitoring-host")
    run("docker", "run", "--detach", "--name", name, *options, *aliases, *hardened, *mount, image, "gateway")
    try:
        certificate = {"dashboard.crt": "tls.crt", "dashboard.key": "tls.key", "ca.crt": "ca.crt"}
        files = [
            word for file, at in certificate.items() for word in ("--volume", f"{folder / file}:/dashboard/{at}:ro")
        ]
        named = ("--name", f"{name}-dashboard", "--network-alias", "dashboard")
        run("docker", "run", "--detach", *named, *options, *hardened, *mount, *files, image, "gateway", "dashboard")
        words = (json.dumps(one) for one in ([*CLIENTS, ""], PROMETHEUS, DASHBOARD))
        ops = (f"flaglearning/ops:{stack.variables['TAG']}", "-c", ASK, *words)
        asked = run("docker", "run", "--rm", *options, *mount, "--entrypoint", "python3", *ops)
        yield json.loads(asked.stdout)
    finally:
        with contextlib.suppress(Exception):
            print(run("docker", "logs", name, check=False).stderr[-2000:])
        run("docker", "rm", "--force", name, f"{name}-dashboard", check=False)


def test_prometheus_reads_metrics(answers: dict[str, Any]) -> None:
    assert answers["monitoring /node"] == "metrics"
    assert answers["monitoring /elsewhere"] == "404"


def test_another_host_may_only_ask_whether_the_monitoring_works(answers: dict[str, Any]) -> None:
    assert answers["exporters /alertmanager"] == answers["exporters /prometheus"] == "200"
    assert {answers[f"exporters {path}"] for path in ("/node", *PROMETHEUS)} == {"403"}


def test_a_dashboard_queries_prometheus_and_reads_no_hosts_metrics(answers: dict[str, Any]) -> None:
    assert [answers[f"dashboard {path}"] for path in PROMETHEUS] == ["200", "200", "404"]
    assert {answers[f"dashboard {path}"] for path in ("/node", "/alertmanager", "/prometheus")} == {"403"}


def test_the_app_reaches_prometheus_queries_through_its_own_hosts_gateway(answers: dict[str, Any]) -> None:
    asked = {key.removeprefix("app "): answer for key, answer in answers.items() if key.startswith("app ")}
    query, alerts, *others = DASHBOARD
    assert asked == {query: "success", alerts: "success", **dict.fromkeys(others, "404"), f"{query} POST": "403"}


def test_every_other_client_is_refused(answers: dict[str, Any]) -> None:
    known = ("monitoring", "exporters", "dashboard", "app")
    paths = {key: value for key, value in answers.items() if key == "plain" or " /" in key}
    refused = {key: value for key, value in paths.items() if key.split()[0] not in known}
    assert len(refused) == 6 * (4 + len(PROMETHEUS)) + 1
    assert {value for key, value in refused.items() if key.startswith(("another", "logs-"))} == {"403"}
    assert not {"metrics", "200"} & set(refused.values()), refused


def test_a_journal_is_taken_from_the_host_that_the_certificate_names(answers: dict[str, Any]) -> None:
    assert answers["logs-db1 POST"] == "202"
    assert answers["received"] == [["/upload", "logs-db1 line"]]
    assert answers["logs-app1 POST"] == "502"


def test_no_other_client_sends_a_journal_and_none_reads_or_deletes_one(answers: dict[str, Any]) -> None:
    posts = {
        client: answers[f"{client} POST"] for client in ("monitoring", "exporters", "dashboard", "another", "logs-..")
    }
    assert set(posts.values()) == {"403"}
    assert not {"200", "202"} & {answers["foreign POST"], answers[" POST"]}
    assert {answers[f"logs-db1 {method}"] for method in ("GET", "DELETE")} == {"405"}
