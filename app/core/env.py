"""Reads settings from environment variables and secret files, and refuses to guess.

Every refusal is one sentence for the person at the terminal: what is wrong, why it matters, what to set.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

import secret_files


class Environment:
    """The settings' view of an environment (`os.environ`, or a dict in a test)."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.deployment = self.text("DEPLOYMENT", "production")
        if self.deployment not in ("development", "production"):
            raise ImproperlyConfigured(
                f"DEPLOYMENT is {self.deployment!r}, which nobody knows: "
                "set DEPLOYMENT=development or DEPLOYMENT=production."
            )

    @property
    def production(self) -> bool:
        """Whether this start must hold production's standards; true unless somebody said otherwise."""
        return self.deployment == "production"

    def text(self, name: str, default: str = "") -> str:
        """The variable without surrounding blanks; set but empty counts as not set."""
        return self.variables.get(name, "").strip() or default

    def words(self, name: str) -> list[str]:
        """A comma-separated variable as a list."""
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def flag(self, name: str) -> bool:
        """A yes/no variable, no by default."""
        value = self.text(name, "false").lower()
        if value not in ("true", "false", "1", "0"):
            raise ImproperlyConfigured(
                f"{name} is {value!r}, which is neither yes nor no: set {name}=true or {name}=false."
            )
        return value in ("true", "1")

    def secret(self, name: str) -> str:
        """The secret from NAME or from the file that NAME_FILE names; empty when neither is set."""
        value, path = self.text(name), self.text(f"{name}_FILE")
        if value and path:
            raise ImproperlyConfigured(
                f"{name} and {name}_FILE are both set, and nobody can tell which one counts: unset one of them."
            )
        if not path:
            return value
        try:
            # Editors and `openssl rand … > file` end the file with a newline that is not part of the secret.
            value = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ImproperlyConfigured(
                f"{name}_FILE names {path}, which can't be read ({reason}): "
                f"set {name}_FILE to a file that user the app runs as can read."
            ) from error
        if not value:
            raise ImproperlyConfigured(f"{name}_FILE names {path}, which is empty: write the secret into it.")
        return value

    def workers(self) -> int:
        """WEB_CONCURRENCY: how many requests gunicorn answers at once, three by default."""
        value = self.text("WEB_CONCURRENCY", "3")
        if not value.isdecimal() or int(value) < 1:
            raise ImproperlyConfigured(
                f"WEB_CONCURRENCY is {value!r}, and with no worker nobody would be answered: "
                "set WEB_CONCURRENCY to a whole number from 1 up."
            )
        return int(value)

    def debug(self) -> bool:
        """DJANGO_DEBUG, which production refuses: a debug page shows settings and source to whoever causes an error."""
        debug = self.flag("DJANGO_DEBUG")
        if debug and self.production:
            raise ImproperlyConfigured(
                "DJANGO_DEBUG is on in production, where its error pages would show the source to visitors: "
                "unset DJANGO_DEBUG, or set DEPLOYMENT=development."
            )
        return debug

    def secret_key(self) -> str:
        """Django's signing key; production wants a long one that is nobody's example."""
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
        """ALLOWED_HOSTS; in development everything that means this machine."""
        hosts = self.words("ALLOWED_HOSTS")
        if hosts or not self.production:
            return hosts or ["localhost", "127.0.0.1", "[::1]"]
        raise ImproperlyConfigured(
            "ALLOWED_HOSTS is empty, so every request would be refused: "
            "set ALLOWED_HOSTS to the site's host names, separated by commas."
        )

    def database(self) -> dict[str, Any]:
        """DATABASE_URL and DATABASE_PASSWORD as an entry for Django's DATABASES.

        libpq's own parser reads the URL, so every parameter that psql knows (sslmode, sslrootcert, …) works here too.
        """
        try:
            parameters = conninfo_to_dict(self.text("DATABASE_URL"))
        except ProgrammingError:
            # Not the parser's own message: it quotes the URL, and the password in it.
            raise ImproperlyConfigured(
                "DATABASE_URL is not a PostgreSQL URL: "
                "set it in the form postgresql://USER@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=FILE."
            ) from None
        if not parameters.get("dbname") or not parameters.get("host"):
            raise ImproperlyConfigured(
                "DATABASE_URL is missing or names no host and database, so there is nowhere to keep anything: "
                "set it in the form postgresql://USER@HOST:PORT/NAME?sslmode=verify-full&sslrootcert=FILE."
            )
        password = self._database_password(str(parameters.pop("password", None) or ""))
        if self.production and parameters.get("sslmode") != "verify-full":
            raise ImproperlyConfigured(
                f"DATABASE_URL has sslmode={parameters.get('sslmode', 'prefer')}, which proves nothing of the server: "
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
