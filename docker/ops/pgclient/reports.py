"""Reports and metrics files, in the folder that REPORTS_DIR names (the volume `reports` by default)."""

import json
import os
import re
import sys
from pathlib import Path

from pgclient.verbs import verb
from user_errors import OperationError

FOLDER = Path(os.environ.get("REPORTS", "/reports"))
NAME = re.compile(r"[a-z_]+\.(json|html|prom)")


@verb("report-write")
def write() -> None:
    """Write files, each in one step. Standard input: a JSON object, name → text. Raises OperationError."""
    replace(json.load(sys.stdin))


def replace(files: dict[str, str]) -> None:
    """Write files (name → text), each in one step. Raises OperationError."""
    for name, text in files.items():
        assert NAME.fullmatch(name), name
        file = FOLDER / name
        try:
            file.with_suffix(".new").write_text(text)
            file.with_suffix(".new").chmod(0o644)
            file.with_suffix(".new").rename(file)
        except OSError as error:
            raise OperationError(
                f"{file} could not be written", f"chown {os.getuid()} the folder of REPORTS_DIR", str(error)
            ) from None
