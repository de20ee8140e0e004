"""A shell whose settings mean another deployment than the one that runs; Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.containers import other_deployment
from testing.shell import eventually


def test_the_same_deployment_is_no_problem() -> None:
    assert other_deployment(["A=b=c", "DEPLOYMENT=production"], "production", "game") is None
    assert other_deployment(["A=b"], "development", "game") is None


def test_production_is_not_replaced_and_no_hint_does_it() -> None:
    problem = other_deployment(["DEPLOYMENT=production"], "development", "game")
    assert problem
    assert "containers of this project are production's" in problem.what
    assert "down" not in problem.hint
    assert ".env" in problem.hint


def test_development_is_ended_first() -> None:
    problem = other_deployment(["DEPLOYMENT=development"], "production", "game")
    assert problem
    assert problem.hint.endswith("docker compose -p game --profile '*' down")


# What Docker's client does with Ctrl-C: it takes longer than the quarter of a second that subprocess.run allows.
CLIENT = """
import pathlib, signal, sys, time
def pass_on(*_):
    time.sleep(1)
    pathlib.Path("passed-on").touch()
    sys.exit(130)
signal.signal(signal.SIGINT, pass_on)
pathlib.Path("ready").touch()
time.sleep(60)
"""


def obey_ctrl_c() -> None:
    """In the new process: what a shell runs in the background has SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("function", ["completed", "attach"])
def test_ctrl_c_is_passed_on_before_the_command_ends(tmp_path: Path, function: str) -> None:
    program = f"import sys; from ops import containers; containers.{function}([sys.executable, '-c', {CLIENT!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, preexec_fn=obey_ctrl_c,
    )  # fmt: skip
    eventually((tmp_path / "ready").exists, within=10)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(15)
    assert (tmp_path / "passed-on").exists()
