"""images_registry: the images go through a registry, TLS verified, and its name for them stays nowhere."""

import json
from collections.abc import Iterator

import pytest

from lab.hosts import Lab
from test_deploy import serving, version
from testing.shell import run
from testing.stack import TAG

pytestmark = pytest.mark.long

CONFIG = """
version: 0.1
storage: { filesystem: { rootdirectory: /var/lib/docker-registry } }
http: { addr: ":5000", tls: { certificate: /root/registry.crt, key: /root/registry.key } }
"""
MAKE_CERTIFICATE = """
cd /root
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=registry \
    -addext subjectAltName=IP:{address} -keyout registry.key -out registry.crt 2>&1
"""
# Where an engine looks for the CA of a registry.
TRUST = "install -D -m 0644 /dev/stdin {root}/etc/docker/certs.d/{registry}/ca.crt"


@pytest.fixture(scope="module")
def registry(lab: Lab) -> Iterator[str]:
    """Debian's docker-registry on the vantage, trusted by this machine's engine and by the host's. Its address."""
    address = lab.address("vantage")
    name = f"{address}:5000"
    install = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install docker-registry openssl"
    lab.exec("vantage", "sh", "-ec", f"{install} && systemctl disable --quiet --now docker-registry")
    lab.exec("vantage", "sh", "-ec", MAKE_CERTIFICATE.format(address=address))
    lab.exec("vantage", "sh", "-ec", "cat >/root/registry.yml", stdin=CONFIG)
    start(lab)
    certificate = lab.exec("vantage", "cat", "/root/registry.crt")
    lab.exec("db1", "sh", "-ec", TRUST.format(root="", registry=name), stdin=certificate)
    here(TRUST.format(root="/here", registry=name), certificate)
    yield name
    here(f"rm -r /here/etc/docker/certs.d/{name}")
    lab.exec("db1", "rm", "-r", f"/etc/docker/certs.d/{name}")
    stop(lab)


def here(script: str, stdin: str = "") -> None:
    """A shell script as root on the machine of the engine."""
    mount = ("--volume", "/etc/docker:/here/etc/docker")
    image = f"flaglearning/app:{TAG}"
    run("docker", "run", "--rm", "-i", "-u", "0", *mount, "--entrypoint", "sh", image, "-ec", script, stdin=stdin)


def start(lab: Lab) -> None:
    lab.exec(
        "vantage",
        "systemd-run",
        "--quiet",
        "--collect",
        "--unit=registry",
        "docker-registry",
        "serve",
        "/root/registry.yml",
    )


def stop(lab: Lab) -> None:
    lab.exec("vantage", "systemctl", "stop", "registry")


def names(listing: str, registry: str) -> list[str]:
    """The images of a machine that have the registry's name."""
    return [line for line in listing.splitlines() if line.startswith(registry)]


def test_a_version_comes_through_the_registry(lab: Lab, registry: str) -> None:
    before = serving(lab)
    options = json.loads(version("registry")) | {"images_registry": f"{registry}/flags"}
    done = lab.play("deploy.yml", "-e", json.dumps(options))
    assert "Pull missing images" in done.stdout
    assert "Write the archive" not in done.stdout
    wanted = run("docker", "image", "inspect", "--format", "{{.Id}}", f"flaglearning/app:{TAG}-registry").stdout.strip()
    assert serving(lab) == wanted != before
    listing = ("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
    assert names(run(*listing).stdout, registry) == names(lab.exec("db1", *listing), registry) == []


def test_one_that_is_away_is_said_and_the_host_goes_on(lab: Lab, registry: str) -> None:
    before = serving(lab)
    options = json.loads(version("nowhere")) | {"images_registry": f"{registry}/flags"}
    stop(lab)
    try:
        done = lab.play("deploy.yml", "-e", json.dumps(options), check=False)
    finally:
        start(lab)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert f"ERROR: db1 did not receive app through {registry}/flags" in said
    assert "connection refused" in said
    assert f"HINT: docker login {registry}" in said
    assert serving(lab) == before
    listing = run("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout
    assert names(listing, registry) == []
