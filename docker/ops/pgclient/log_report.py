"""pgBadger's report of a day of PostgreSQL's log, in the folder that REPORTS_DIR names."""

import datetime
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pgclient import client_tools
from pgclient.reports import FOLDER
from pgclient.verbs import verb
from user_errors import OperationError

# pg/conf.d/30-logging.conf
PREFIX = "%m [%p] %q%u@%d %a %h "
ERASE_LINE = "\x1b[2K"  # Compose 2.26 prints it before each line of a log
NAME = re.compile(r"logs-(\d{4}-\d{2}-\d{2})\.html")


@verb("report-logs")
def report(day: str, keep: int, to_stdout: bool = False) -> dict[str, Any] | None:
    """Read the log on standard input, write logs-DAY.html, delete reports that are older than `keep` days.

    Returns {"file", "lines": of that day, "removed": [file …]}; with `to_stdout` the report itself is printed. Raises
    OperationError when the log has no line of that day.
    """
    log = (line.removeprefix(ERASE_LINE) for line in sys.stdin)
    lines = [line for line in log if line.startswith(day) or not re.match(r"\d{4}-\d\d-\d\d ", line)]
    if not any(line.startswith(day) for line in lines):
        raise OperationError(
            f"PostgreSQL's log has no line of {day}", "docker compose logs --timestamps postgres | head -n 1",
            "Docker keeps the newest lines of a container that exists",
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "report.html"
        render(lines, made)
        if to_stdout:
            sys.stdout.write(made.read_text())
            return None
        file = FOLDER / f"logs-{day}.html"
        try:
            # For this user only: it names clients, roles and statements.
            file.with_suffix(".new").touch(mode=0o600)
            file.with_suffix(".new").write_bytes(made.read_bytes())
            file.with_suffix(".new").rename(file)
            removed = outdated([one.name for one in FOLDER.iterdir()], day, keep)
            for name in removed:
                (FOLDER / name).unlink()
        except OSError as error:
            raise OperationError(
                f"{file} could not be written", "chown 9000 the folder of REPORTS_DIR", str(error)
            ) from None
    return {"file": str(file), "lines": len(lines), "removed": removed}


def render(lines: Iterable[str], file: Path) -> None:
    """Run pgBadger. Literals are replaced: people's statements may hold personal data. Raises OperationError."""
    command = ["pgbadger", "--quiet", "--format", "stderr", "--prefix", PREFIX, "--anonymize", "--nocomment"]
    command += ["--title", "PostgreSQL", "--outfile", str(file), "-"]
    done = subprocess.run(command, input="".join(lines), capture_output=True, text=True, check=False)
    if done.returncode or not file.exists():
        raise client_tools.ToolFailed("pgbadger", done.stderr or done.stdout, "./scripts/ops report logs --help")


def outdated(names: Iterable[str], day: str, keep: int) -> list[str]:
    """Those reports that are older than `keep` days before the day."""
    oldest = str(datetime.date.fromisoformat(day) - datetime.timedelta(days=keep))
    return sorted(name for name in names if (found := NAME.fullmatch(name)) and found[1] < oldest)
