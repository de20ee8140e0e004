"""Reads settings from environment variables and secret files, and rejects invalid ones.

Each error says what is wrong, why it matters, and what to set.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

import secret_files

# Loopback, RFC 1918, RFC 4193. Development publishes its ports on loopback only, where nginx sees the bridge's address.
PRIVATE_NETWORKS = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"


class Environment:
    """The settings' view of an environment (`os.environ`, or a dict in a test)."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.deployment = self.text("DEPLOYMENT", "production")
        if self.deployment not in ("development", "production"):
            raise ImproperlyConfigured(
                f"DEPLOYMENT is {self.deployment!r}, which is not a deployment: "
                "set DEPLOYMENT=development or DEPLOYMENT=production."
            )

    @property
    def production(self) -> bool:
        """Whether production's checks apply; true unless DEPLOYMENT says otherwise."""
        return self.deployment == "production"

    def text(self, name: str, default: str = "") -> str:
        """Return the variable without surrounding blanks; an empty one counts as unset."""
        return self.variables.get(name, "").strip() or default

    def words(self, name: str) -> list[str]:
        """Return a comma-separated variable as a list."""
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def flag(self, name: str) -> bool:
        """Return a boolean variable, false by default."""
        value = self.text(name, "false").lower()
        if value not in ("true", "false", "1", "0"):
            raise ImproperlyConfigured(f"{name} is {value!r}, which is not a boolean: set {name}=true or {name}=false.")
        return value in ("true", "1")

    def secret(self, name: str) -> str:
        """Return the secret from NAME or from the file that NAME_FILE names; empty when neither is set."""
        value, path = self.text(name), self.text(f"{name}_FILE")
        if value and path:
            raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: unset one of them.")
        if not path:
            return value
        try:
            # The newline that editors and `openssl rand … > file` add is not part of the secret.
            value = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ImproperlyConfigured(
                f"{name}_FILE names {path}, which can't be read ({reason}): "
                f"set {name}_FILE to a file that the app's user can read."
            ) from error
        if not value:
            raise ImproperlyConfigured(f"{name}_FILE names {path}, which is empty: write the secret into it.")
        return value

    def workers(self) -> int:
        """Return WEB_CONCURRENCY: the number of gunicorn workers, three by default."""
        value = self.text("WEB_CONCURRENCY", "3")
        if not value.isdecimal() or int(value) < 1:
            raise ImproperlyConfigured(
                f"WEB_CONCURRENCY is {value!r}, but gunicorn needs at least one worker: "
                "set WEB_CONCURRENCY to a whole number of 1 or more."
            )
        return int(value)

    def port(self, name: str, default: int) -> int:
        """Return a TCP port."""
        value = self.text(name, str(default))
        if not value.isdecimal() or not 1 <= int(value) <= 65535:
            raise ImproperlyConfigured(f"{name} is {value!r}, which is not a TCP port: set {name} to 1 to 65535.")
        return int(value)

    def admin_networks(self) -> list[IPv4Network | IPv6Network]:
        """Return ADMIN_NETWORKS, whose clients may open the admin: by default none, in development this machine."""
        networks = []
        for word in self.words("ADMIN_NETWORKS") or ([] if self.production else PRIVATE_NETWORKS.split(",")):
            try:
                networks.append(ip_network(word))
            except ValueError as error:
                raise ImproperlyConfigured(
                    f"ADMIN_NETWORKS holds {word!r}, which is not an address or a network ({error}): "
                    "set ADMIN_NETWORKS to addresses and networks, like 192.0.2.10,2001:db8:7::/48."
                ) from None
        return networks

    def hsts_preload(self) -> bool:
        """Return HSTS_PRELOAD: browsers' preload lists take a domain only with all of its subdomains."""
        preload = self.flag("HSTS_PRELOAD")
        if preload and not self.flag("HSTS_INCLUDE_SUBDOMAINS"):
            raise ImproperlyConfigured(
                "HSTS_PRELOAD is on without HSTS_INCLUDE_SUBDOMAINS, which preload lists require: "
                "set HSTS_INCLUDE_SUBDOMAINS=true too, or unset HSTS_PRELOAD."
            )
        return preload

    def debug(self) -> bool:
        """Return DJANGO_DEBUG, which production rejects: debug pages show settings and source to visitors."""
        debug = self.flag("DJANGO_DEBUG")
        if debug and self.production:
            raise ImproperlyConfigured(
                "DJANGO_DEBUG is on in production, where its error pages would show the source to visitors: "
                "unset DJANGO_DEBUG, or set DEPLOYMENT=development."
            )
        return debug

    def secret_key(self) -> str:
        """Return Django's signing key; production requires a strong one."""
        key = self.secret("DJANGO_SECRET_KEY")
        if not key:
            raise ImproperlyConfigured(
                "No secret key: sessions can't be signed. "
                "Set DJANGO_SECRET_KEY_FILE to a file with 50 or more random characters (`openssl rand -base64 48`)."
            )
        if self.production:
            refuse_weak("DJANGO_SECRET_KEY", "django_secret_key", key)
        return key

    def allowed_hosts(self) -> list[str]:
        """Return ALLOWED_HOSTS; in development this machine's names by default."""
        hosts = self.words("ALLOWED_HOSTS")
        if hosts or not self.production:
            return hosts or ["localhost", "127.0.0.1", "[::1]"]
        raise ImproperlyConfigured(
            "ALLOWED_HOSTS is empty, so that every request would be rejected: "
            "set ALLOWED_HOSTS to the site's host names, separated by commas."
        )

    def database(self) -> dict[str, Any]:
        """Return DATABASE_URL and DATABASE_PASSWORD as an entry of Django's DATABASES.

        libpq's own parser reads the URL, so every parameter that psql knows (sslmode, sslrootcert, …) works here too.
        """
        try:
            parameters = conninfo_to_dict(self.text("DATABASE_URL"))
        except ProgrammingError:
            # Not the parser's message: it quotes the URL with its password.
            raise ImproperlyConfigured(
                "DATABASE_URL is not a PostgreSQL URL: "
                "set it in the form postgresql://USER@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=FILE."
            ) from None
        if not parameters.get("dbname") or not parameters.get("host"):
            raise ImproperlyConfigured(
                "DATABASE_URL is missing, or has no host or no database: "
                "set it in the form postgresql://USER@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=FILE."
            )
        password = self._database_password(str(parameters.pop("password", None) or ""))
        if self.production and parameters.get("sslmode") != "verify-full":
            raise ImproperlyConfigured(
                f"DATABASE_URL has sslmode={parameters.get('sslmode', 'prefer')}, which does not verify the server: "
                "set sslmode=verify-full and sslrootcert in DATABASE_URL."
            )
        return {
            "NAME": parameters.pop("dbname"),
            "USER": parameters.pop("user", ""),
            "HOST": parameters.pop("host"),
            "PORT": parameters.pop("port", ""),
            "PASSWORD": password,
            "PASSWORD_FILE": self.text("DATABASE_PASSWORD_FILE"),  # core.postgresql.passwords
            "OPTIONS": parameters,
        }

    @staticmethod
    def replica(database: dict[str, Any]) -> dict[str, Any]:
        """Return the entry for PgBouncer's way to a standby, or to the primary: no transaction can write there."""
        return {
            **database,
            "NAME": f"{database['NAME']}_replica",
            "OPTIONS": {**database["OPTIONS"], "options": "-c default_transaction_read_only=on"},
            "TEST": {"MIRROR": "default"},
        }

    def _database_password(self, in_url: str) -> str:
        # Two lines: it is being changed (core.postgresql.passwords).
        password = secret_files.value("app_password", self.secret("DATABASE_PASSWORD"))
        if in_url and password:
            raise ImproperlyConfigured(
                "DATABASE_URL holds a password, and DATABASE_PASSWORD or its _FILE another: remove one of the two."
            )
        if not self.production:
            return in_url or password
        if in_url:
            raise ImproperlyConfigured(
                "DATABASE_URL holds a password, which `docker inspect` and process listings would show: "
                "take it out and set DATABASE_PASSWORD_FILE."
            )
        if not password:
            raise ImproperlyConfigured(
                "No database password: set DATABASE_PASSWORD_FILE to the file that holds the application's."
            )
        refuse_weak("DATABASE_PASSWORD", "app_password", password)
        return password


def refuse_weak(variable: str, secret: str, value: str) -> None:
    """Raises ImproperlyConfigured for a value that production does not accept for this secret."""
    reason = secret_files.weakness(secret, value)
    if reason:
        raise ImproperlyConfigured(
            f"{variable} {reason}: set {variable}_FILE to a file with a random value (./scripts/secrets new makes one)."
        )
