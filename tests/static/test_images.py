"""Every configuration file is read by its own program, in the image that runs; and a broken one is noticed."""

import pytest

from support.policy import postgres_settings
from testing.shell import run
from testing.stack import Stack

pytestmark = pytest.mark.docker


def in_image(images: Stack, service: str, script: str, check: bool = True) -> str:
    """Run a script in the service's image, without network."""
    image = f"flaglearning/{service}:{images.variables['TAG']}"
    done = run(
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        "--user",
        "root",
        "--entrypoint",
        "bash",
        image,
        "-c",
        script,
        check=check,
    )
    return done.stdout + done.stderr


def asked_for(name: str) -> str:
    return f"su postgres -c \"$(command -v postgres) -C '{name}' -c config_file=/etc/postgresql/postgresql.conf\""


def test_every_setting_is_known_to_the_server(images: Stack) -> None:
    """`postgres -C` prints a setting's value, and refuses a name that is in no module that it loads."""
    names = [name for name in postgres_settings() if "." not in name]
    in_image(images, "postgres", "\n".join(["set -e", *(f"{asked_for(name)} >/dev/null" for name in names)]))


@pytest.mark.parametrize("line", ["no_such_setting = 1", "max_connections = many", "listen_addresses"])
def test_a_bad_line_is_noticed_with_its_file(images: Stack, line: str) -> None:
    script = f'echo "{line}" >/etc/postgresql/conf.d/99-broken.conf; {asked_for("max_connections")}'
    said = in_image(images, "postgres", script, check=False)
    assert "99-broken.conf" in said
    assert line.split()[0] in said or "syntax error" in said


def test_nginx_accepts_its_configuration(images: Stack) -> None:
    assert "test is successful" in in_image(images, "proxy", WITH_A_CERTIFICATE + "configure nginx -e stderr -t")


def test_nginx_notices_a_bad_line(images: Stack) -> None:
    script = WITH_A_CERTIFICATE + "echo nonsense_here on\\; >>/etc/nginx/nginx.conf; configure true"
    assert "unknown directive" in in_image(images, "proxy", script, check=False)


# nginx -t opens the certificate; this one is for the test alone.
WITH_A_CERTIFICATE = """mkdir /tls; cd /tls
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=localhost \
        -keyout tls.key -out tls.crt 2>/dev/null
    """


def test_pgbouncer_accepts_its_configuration(images: Stack) -> None:
    """It has no option to only check: it is started for a moment, and has to say that it is up."""
    assert "process up" in in_image(images, "pgbouncer", PGBOUNCER)


def test_pgbouncer_notices_a_bad_line(images: Stack) -> None:
    script = "sed -i 's/^pool_mode.*/pool_mode = sometimes/' /etc/pgbouncer/pgbouncer.ini; " + PGBOUNCER
    assert "process up" not in in_image(images, "pgbouncer", script, check=False)


PGBOUNCER = """sed -i '/_tls_/d; s/^hostssl/host/' /etc/pgbouncer/*
    touch /run/pgbouncer/userlist.txt
    timeout --signal INT 2 su -s /bin/sh pgbouncer -c 'exec pgbouncer /etc/pgbouncer/pgbouncer.ini'; true"""


def test_a_name_that_the_proxys_certificate_lacks_makes_a_new_one(images: Stack) -> None:
    script = """
        make() { PROXY_NAMES=$1 make-certificates /tmp/ca /tmp/tls | grep -c 'created proxy' || true; }
        make DNS:a.example; make DNS:a.example; make; make DNS:b.example,DNS:a.example
        openssl x509 -in /tmp/tls/proxy/tls.crt -noout -ext subjectAltName"""
    *made, _, names = in_image(images, "postgres", script).splitlines()
    assert made == ["1", "0", "0", "1"]
    assert "DNS:b.example, DNS:a.example" in names
