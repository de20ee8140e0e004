"""docs/runbooks/import.md, run line by line with a backup of another installation."""

import base64
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import cli
from support.ops import Ops
from support.postgres import Postgres
from testing.shell import ROOT
from testing.stack import Stack

pytestmark = pytest.mark.last
PAGE = (ROOT / "docs/runbooks/import.md").read_text()
EXAMPLE = "/path/to/flaglearning_dev.sql.gz"
COMMANDS = re.findall(r"^ {4,}\./scripts/ops (.*)$", PAGE, re.MULTILINE)
# Another installation: all belongs to the application's role; it has a player; a migration is missing.
# pg_dump 14 doesn't write the two lines that are left out.
OLD_INSTALLATION = """
set -euo pipefail
createdb -U postgres -O flaglearning_user old
pg_dump -U postgres --no-owner --no-privileges flaglearning_dev |
  psql -U postgres -qXv ON_ERROR_STOP=1 -d old >/dev/null
psql -U postgres -qXv ON_ERROR_STOP=1 -d old <<'END'
DROP INDEX useranswer_by_user;
DELETE FROM django_migrations WHERE name = '0004_useranswer_by_user';
INSERT INTO users_user (email, display_name, password, is_staff, is_active, is_superuser, date_joined)
  VALUES ('old@example.org', 'Old', '!', false, true, false, now());
SELECT format('ALTER TABLE %I OWNER TO flaglearning_user', tablename) FROM pg_tables WHERE schemaname = 'public' \\gexec
END
pg_dump -U postgres old | sed -e '/^SET transaction_timeout/d' -e 's/^\\(-- Dumped .* version\\) 17.*/\\1 14.13/' |
  grep -v restrict | gzip >/tmp/old.sql.gz
dropdb -U postgres old
base64 -w 0 /tmp/old.sql.gz
rm /tmp/old.sql.gz
"""


@pytest.fixture
def backup(stack: Stack, postgres: Postgres, ops: Ops, tmp_path: Path) -> Iterator[Path]:
    """Its `pg_dump | gzip`. The previous database is put back afterwards."""
    file = tmp_path / Path(EXAMPLE).name
    printed = stack.exec("postgres", "bash", "-c", OLD_INSTALLATION)
    file.write_bytes(base64.b64decode(printed.strip().splitlines()[-1]))
    before = ops.script("dump", "full", "--json").json["name"]
    yield file
    for extra in postgres.superuser("SELECT datname FROM pg_database WHERE datname ~ '_before_|_trial$'").splitlines():
        postgres.superuser(f'DROP DATABASE "{extra}" WITH (FORCE)')
    assert ops.script("restore", "dump", before, "--yes").status == 0


def test_its_lines_bring_the_old_database(ops: Ops, postgres: Postgres, backup: Path) -> None:
    cli.load_commands()
    said = {}
    for line in COMMANDS:
        words = shlex.split(line.replace(EXAMPLE, str(backup)))
        asks = any(cli.YES in one.options for name, one in cli.REGISTRY.items() if words[:2] == name.split())
        result = ops.script(*words, *(["--yes"] if asks else []))
        assert result.status == 0, f"{line}\n{result.out}{result.err}"
        said[line] = result.out
    assert "flaglearning_trial" in said["databases"]
    assert "useranswer_by_user" in said["migrations plan"] + said["migrations apply"]
    database = postgres.stack.database
    players = "SELECT display_name FROM users_user WHERE email = 'old@example.org'"
    assert postgres.superuser(players, database=database) == "Old"
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert postgres.superuser(owners, database=database) == "flaglearning_owner"
