"""./scripts/checklist as an object: what it prints, its exit status, and how each check ended."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testing.shell import ROOT, run


class Checklist:
    """Runs its own entry point; `what` names the target, the reports go to a folder of this object's."""

    def __init__(self, artifacts: Path, *what: str, env: Mapping[str, str] | None = None) -> None:
        self.artifacts = artifacts
        self.what = what
        self.env = {**(env or {}), "PYTHONPATH": str(ROOT / "scripts/lib")}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", "checklist", *self.what, "--artifacts", str(self.artifacts), *arguments)
        return run(*command, env=self.env, timeout=900, check=False)

    def outcomes(self, *ids: str) -> dict[str, str]:
        """Check → outcome, of these checks or of all."""
        done = self.run(*(("-k", " or ".join(ids)) if ids else ()))
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return {check["id"]: check["outcome"] for check in self.checks()}

    def report(self) -> dict[str, Any]:
        """What the last run found."""
        found: dict[str, Any] = json.loads((self.artifacts / "checklist.json").read_text())
        return found

    def checks(self) -> list[dict[str, Any]]:
        return [check for item in self.report()["items"] for check in item["checks"]]
