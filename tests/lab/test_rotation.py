"""rotate-passwords.yml and rotate-certificates.yml: no request fails, and the old passwords are refused."""

import socket
import ssl
from collections.abc import Callable

from images import BUILT
from lab.hosts import Lab
from players import HERE, Players
from test_playbooks import changed

ROLES = ("app", "migrator", "readonly", "ops", "monitor", "pgbouncer")


def accepts(lab: Lab, role: str, password: str) -> bool:
    """Whether the server lets the role in with it, over TCP on the database's network."""
    name = {"app": "flaglearning_prod", "pgbouncer": "pgbouncer"}.get(role, f"flaglearning_{role}")
    database = "postgres" if role in ("pgbouncer", "monitor") else "flaglearning_prod"
    login = f"host=postgres user={name} dbname={database} sslmode=verify-full sslrootcert=/tls/ca.crt"
    script = f"read -r PGPASSWORD; export PGPASSWORD; psql -X -w -c 'SELECT 1' '{login}'"
    run_in_ops = (*HERE, "run", "--rm", "--no-deps", "--no-TTY", "--entrypoint", "bash", "ops", "-c", script)
    said = lab.exec("db1", *run_in_ops, stdin=password + "\n", check=False)
    assert "1 row" in said or "password authentication failed" in said, said
    return "1 row" in said


def test_a_rotation_of_passwords_loses_no_request(
    lab: Lab, players: Players, record_property: Callable[[str, object], None]
) -> None:
    """Killed in the middle, when server and clients have both, and run again; then the old ones are refused."""
    before, old = players.answers(), lab.secrets()
    with players.load() as load:
        lab.play_and_kill("rotate-passwords.yml", at="Remove the old passwords from the secret files")
        lab.play("rotate-passwords.yml")
    record_property("measured", str(load))
    new = lab.secrets()
    changed = {name for name in old if old[name] != new[name]}
    assert changed == {f"{role}_password" for role in ROLES}
    assert load.failures == []
    assert players.answers() - before == load.answers > 0
    assert [role for role in ROLES if accepts(lab, role, old[f"{role}_password"])] == []
    assert [role for role in ROLES if accepts(lab, role, new[f"{role}_password"])] == list(ROLES)


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    """Here, because after a rotation it also shows that the hosts and the vault agree."""
    assert changed(lab.play("site.yml", *BUILT).stdout) == 0


def serial(lab: Lab, host: str) -> str:
    """Of the certificate that the proxy shows."""
    tls = ssl.create_default_context(cafile=str(lab.inventory / "pki/ca.crt"))
    with (
        socket.create_connection((lab.address(host), 443), 10) as plain,
        tls.wrap_socket(plain, server_hostname=lab.address(host)) as secure,
    ):
        return str((secure.getpeercert() or {})["serialNumber"])


def files(lab: Lab) -> list[str]:
    """What PostgreSQL, PgBouncer and the proxy were given."""
    folder = "/etc/flaglearning/secrets/tls"
    return lab.exec("db1", "sha256sum", *(f"{folder}/{name}/tls.key" for name in ("postgres", "pgbouncer"))).split()


def test_a_rotation_of_certificates_loses_no_request(
    lab: Lab, players: Players, record_property: Callable[[str, object], None]
) -> None:
    before, shown, given = players.answers(), serial(lab, "db1"), files(lab)
    with players.load() as load:
        lab.play("rotate-certificates.yml")
    record_property("measured", str(load))
    assert serial(lab, "db1") != shown
    assert set(files(lab)[::2]).isdisjoint(given[::2])
    assert load.failures == []
    assert players.answers() - before == load.answers > 0
