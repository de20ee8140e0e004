"""PostgreSQL and PgBouncer as objects that any role can connect to, the way a careful client does: verify-full."""

from typing import Any

import psycopg
from psycopg.rows import dict_row

from ops import pooler
from testing.stack import Stack

Row = dict[str, Any]


class Server:
    """What both have in common: `connect(role)` gives a psycopg connection in autocommit mode."""

    service: str
    own_port: int

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def parameters(self, role: str, **changes: Any) -> dict[str, Any]:
        """libpq's parameters for a role (`app`, `migrator`, `readonly`, `ops`, `pgbouncer`, `postgres`)."""
        return {
            **self.endpoint(),
            "dbname": self.stack.database,
            "user": self.stack.role(role),
            "password": self.stack.secret(f"{role}_password"),
            "sslmode": "verify-full",
            "sslrootcert": self.stack.ca,
            "connect_timeout": 5,
            **changes,
        }

    def endpoint(self) -> dict[str, Any]:
        """Where this machine reaches it: the published port, or (production) the container's own address."""
        service = self.stack.config["services"][self.service]
        if service.get("ports"):
            return {"host": "localhost", "port": self.stack.port(self.service, self.own_port)}
        network = self.stack.inspect(self.service)["NetworkSettings"]["Networks"][f"{self.stack.project}_database"]
        return {"host": self.service, "hostaddr": network["IPAddress"], "port": self.own_port}

    def connect(self, role: str, **changes: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(**self.parameters(role, **changes), autocommit=True)

    def accepts(self, role: str, password: str) -> bool:
        """Whether the role logs in with this password."""
        database = {"dbname": "postgres"} if role == "pgbouncer" else {}
        try:
            self.connect(role, password=password, **database).close()
        except psycopg.OperationalError as error:
            if "authentication failed" in str(error):
                return False
            raise
        return True

    def value(self, role: str, sql: str, **changes: Any) -> Any:
        """The first column of the first row, or None."""
        with self.connect(role, **changes) as connection:
            row = connection.execute(sql.encode()).fetchone()
        return row[0] if row else None


class Postgres(Server):
    """The server itself."""

    service, own_port = "postgres", 5432

    def superuser(self, sql: str, database: str = "postgres", check: bool = True) -> str:
        """What psql prints for this SQL as the superuser: through the socket, the only way in."""
        return self.stack.exec(
            "postgres", "psql", "-X", "--quiet", "-v", "ON_ERROR_STOP=1", "-At", "-U", "postgres", "-d", database,
            stdin=sql, check=check,
        ).strip()  # fmt: skip


class Bouncer(Server):
    """The pooler."""

    service, own_port = "pgbouncer", 6432

    def console(self) -> psycopg.Connection[Row]:
        """The console over TCP, which speaks the simple protocol only. Ops may look there (SHOW)."""
        parameters = self.parameters("ops", dbname="pgbouncer")
        return psycopg.connect(**parameters, autocommit=True, cursor_factory=psycopg.ClientCursor, row_factory=dict_row)

    def admin(self, *commands: str) -> None:
        """Commands of the console that change something, the way the orchestrator gives them: in the container."""
        words = [f"--command={command}" for command in commands]
        self.stack.exec("pgbouncer", *pooler.CONSOLE, *words)

    def show(self, what: str) -> list[Row]:
        """`SHOW POOLS` and its siblings as dictionaries."""
        with self.console() as console:
            return console.execute(f"SHOW {what}".encode()).fetchall()
