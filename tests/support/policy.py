"""What pg/ and the compose files say, read: a test compares facts, it doesn't retype them."""

import configparser
import re
from pathlib import Path
from typing import NamedTuple

from testing.shell import ROOT

PG = ROOT / "pg"
UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}


def postgres_settings() -> dict[str, str]:
    """The settings of postgresql.conf and conf.d; later files win, as in the server."""
    found: dict[str, str] = {}
    for file in [PG / "postgresql.conf", *sorted((PG / "conf.d").glob("*.conf"))]:
        found.update(re.findall(r"^([\w.]+)\s*=\s*'?([^'#\n]*?)'?\s*(?:#.*)?$", file.read_text(), re.MULTILINE))
    return found


def pgbouncer_settings() -> configparser.ConfigParser:
    """pgbouncer.ini, its sections `pgbouncer` and `databases`."""
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=(";", "#"))
    parser.read(PG / "pgbouncer.ini")
    return parser


def pooled_databases() -> dict[str, dict[str, str]]:
    """Database → its connection string's parameters, with PgBouncer's defaults filled in."""
    ini = pgbouncer_settings()
    defaults = {
        "max_db_connections": ini["pgbouncer"]["max_db_connections"],
        "pool_size": ini["pgbouncer"]["default_pool_size"],
        "reserve_pool_size": ini["pgbouncer"]["reserve_pool_size"],
    }
    return {name: defaults | dict(re.findall(r"(\w+)=(\S+)", line)) for name, line in ini["databases"].items()}


class HbaLine(NamedTuple):
    """One rule of a pg_hba.conf."""

    kind: str
    databases: list[str]
    users: list[str]
    address: str
    method: str


def hba_lines(file: Path) -> list[HbaLine]:
    """The rules of pg_hba.conf or pgbouncer_hba.conf."""
    lines = []
    for text in file.read_text().splitlines():
        if not (words := text.split("#")[0].split()) or words[0].startswith("include"):
            continue
        if words[0] == "local":
            words.insert(3, "")
        kind, databases, users, address, method, *_ = words  # then options: map=…
        lines.append(HbaLine(kind, databases.strip('"').split(","), users.split(","), address, method))
    return lines


class Role(NamedTuple):
    """One ALTER ROLE of 10-roles.sql."""

    name: str
    attributes: list[str]
    connection_limit: int | None
    settings: dict[str, str]


def roles() -> dict[str, Role]:
    """The roles that pg/sql/10-roles.sql makes. The application's is called `app_role`, the variable's name."""
    sql = (PG / "sql/10-roles.sql").read_text()
    found = {}
    for name, text in re.findall(r'^ALTER ROLE :?"?(\w+)"?\s+((?:NO)?LOGIN .*);', sql, re.MULTILINE):
        limit = re.search(r"CONNECTION LIMIT (\d+)", text)
        settings = dict(re.findall(rf'^ALTER ROLE :?"?{name}"? SET (\w+) = \'?([^\';]+)', sql, re.MULTILINE))
        found[name] = Role(name, text.split(), int(limit[1]) if limit else None, settings)
    return found


def seconds(text: str) -> float:
    """A duration as PostgreSQL, nginx and Compose write it: '15s', '5min', '250ms'; a bare number counts seconds."""
    number, unit = re.fullmatch(r"([\d.]+)\s*([a-z]*)", text.strip()).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit or "s"]
