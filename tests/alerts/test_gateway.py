"""Between hosts: the gateway shows a host's metrics to Prometheus' certificate, and to no other client."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.shell import run
from testing.stack import Stack

EXTENSIONS = """\
subjectAltName=DNS:exporters
extendedKeyUsage=serverAuth,clientAuth
authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash
"""
CLIENTS = {"monitoring": "ca", "exporters": "ca", "another": "ca", "foreign": "foreign-ca"}
ASK = """
import json, ssl, sys, urllib.request, urllib.error
answers = {}
for client in json.loads(sys.argv[1]):
    for path in ("/node", "/alertmanager", "/prometheus", "/elsewhere"):
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
try:
    urllib.request.urlopen("http://exporters:9443/node", timeout=10)
    answers["plain"] = "200"
except urllib.error.HTTPError as error:
    answers["plain"] = str(error.code)
print(json.dumps(answers))
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
def answers(stack: Stack, sink_folder: Path) -> Iterator[dict[str, str]]:
    """What each client is answered for each path."""
    folder = sink_folder / "gateway"
    folder.mkdir()
    make_certificates(folder)
    name = f"{stack.project}-gateway"
    options = ("--label", f"flaglearning-test={stack.project}", "--network", f"{stack.project}_monitoring")
    hardened = ("--read-only", "--cap-drop", "ALL", "--init", "--tmpfs", "/tmp:uid=9090")  # noqa: S108
    mount = ("--volume", f"{folder}:/tls:ro")
    image = f"flaglearning/monitoring:{stack.variables['TAG']}"
    start = ("--detach", "--name", name, "--network-alias", "exporters", *hardened, *mount, image, "gateway")
    run("docker", "run", *options, *start)
    try:
        ops = (f"flaglearning/ops:{stack.variables['TAG']}", "-c", ASK, json.dumps([*CLIENTS, ""]))
        asked = run("docker", "run", "--rm", *options, *mount, "--entrypoint", "python3", *ops)
        yield json.loads(asked.stdout)
    finally:
        with contextlib.suppress(Exception):
            print(run("docker", "logs", name, check=False).stderr[-2000:])
        run("docker", "rm", "--force", name, check=False)


def test_prometheus_reads_metrics(answers: dict[str, str]) -> None:
    assert answers["monitoring /node"] == "metrics"
    assert answers["monitoring /elsewhere"] == "404"


def test_another_host_may_only_ask_whether_the_monitoring_works(answers: dict[str, str]) -> None:
    assert answers["exporters /alertmanager"] == answers["exporters /prometheus"] == "200"
    assert answers["exporters /node"] == "403"


def test_every_other_client_is_refused(answers: dict[str, str]) -> None:
    refused = {key: value for key, value in answers.items() if key.split()[0] not in ("monitoring", "exporters")}
    assert len(refused) == 13
    assert {value for key, value in refused.items() if key.startswith("another")} == {"403"}
    assert not {"metrics", "200"} & set(refused.values()), refused
