"""`./scripts/checklist`: run the checks against a target, print the report; the exit status is the result.

0: every check that applies to this deployment passed. 1: a check failed; the report names the remedy.
2: the checklist could not run (wrong arguments, no such target, a stack that is down), and an error says why.
"""

import argparse
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).resolve().parents[3] / "tests/checklist"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./scripts/checklist", description="Run the production checklist against a stack or a fleet."
    )
    parser.add_argument(
        "--target", metavar="URL", help="check docker://COMPOSE_PROJECT (default: docker://flaglearning)"
    )
    parser.add_argument(
        "-i", "--inventory", metavar="INVENTORY", help="check the hosts of an Ansible inventory, over SSH"
    )
    parser.add_argument("-k", metavar="EXPRESSION", help="run only these checks: TLS-03, tls, 'pooling or backups'")
    parser.add_argument(
        "--artifacts", metavar="DIR", help="write checklist.html, .json and .xml there (default: artifacts/)"
    )
    options = parser.parse_args(arguments)
    if options.inventory and options.target:
        parser.error("--inventory and --target exclude each other")
    wanted = {"--target": options.target, "--inventory": options.inventory, "--artifacts": options.artifacts}
    passed_on = [f"{name}={value}" for name, value in wanted.items() if value]
    picked = ["-k", options.k] if options.k else []
    # No terminal plugin: the report is the output.
    status = pytest.main(
        ["-o", "addopts=", "-p", "no:terminal", "-p", "no:cacheprovider", *passed_on, *picked, str(CHECKS)],
        plugins=[PrintErrors()],
    )
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        print(
            f"ERROR: no check matches -k '{options.k}'.\nHINT:  ids look like TLS-03; items are files: tls, pooling",
            file=sys.stderr,
        )
    return int(status) if status in (0, 1) else 2


class PrintErrors:
    """Prints why pytest could not run at all: the terminal plugin, which would, is off."""

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        print(excinfo.value if isinstance(excinfo.value, pytest.exit.Exception) else "interrupted", file=sys.stderr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            print(report.longreprtext, file=sys.stderr)

    def pytest_internalerror(self, excrepr: object) -> None:
        print(excrepr, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
