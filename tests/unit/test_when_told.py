"""scripts/lib/ops/when-told: a command that gets ready, and is told later, by another process, to go on."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = 'echo ready; IFS= read -r line || { echo "undone: nobody said it" >&2; exit 3; }; echo "told $line"'


class Told:
    """when-told with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(ROOT / "scripts/lib/ops/when-told"), *words]
        environment = {"WHEN_TOLD": str(self.folder), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=20)


@pytest.fixture
def when_told(tmp_path: Path) -> Told:
    return Told(tmp_path / "run")


def test_it_waits_for_its_line_and_its_result_is_read_afterwards(when_told: Told) -> None:
    assert when_told("start", "bash", "-c", COMMAND).stdout == "ready\n"
    assert not (when_told.folder / "status").exists()
    assert when_told("go").returncode == 0
    done = when_told("result")
    assert (done.returncode, done.stdout) == (0, "told go\n")


def test_its_exit_status_and_its_errors_are_passed_on(when_told: Told) -> None:
    when_told("start", "bash", "-c", f"{COMMAND}; echo bad >&2; exit 7")
    when_told("go")
    done = when_told("result")
    assert (done.returncode, done.stderr) == (7, "bad\n")


def test_cancelled_it_undoes_what_it_has_prepared(when_told: Told) -> None:
    when_told("start", "bash", "-c", COMMAND)
    assert when_told("cancel").returncode == 0
    done = when_told("result")
    assert (done.returncode, done.stderr) == (3, "undone: nobody said it\n")


def test_another_start_cancels_the_one_that_waits(when_told: Told, tmp_path: Path) -> None:
    """As after a playbook that was killed."""
    when_told("start", "bash", "-c", COMMAND.replace("exit 3", f"touch {tmp_path}/undone"))
    assert when_told("start", "bash", "-c", COMMAND).stdout == "ready\n"
    assert (tmp_path / "undone").exists()
    when_told("go")
    assert when_told("result").stdout == "told go\n"


def test_with_nothing_to_do_it_is_not_told(when_told: Told) -> None:
    assert when_told("start", "echo", "as it should be").stdout == "as it should be\nended\n"
    refused = when_told("go")
    assert refused.returncode == 1
    assert "no command waits for its line" in refused.stderr


def test_a_command_that_fails_before_it_is_ready_says_why(when_told: Told) -> None:
    done = when_told("start", "bash", "-c", "echo ERROR: a backup runs >&2; exit 1")
    assert (done.returncode, done.stderr) == (1, "ERROR: a backup runs\n")


@pytest.mark.parametrize("word", ["go", "result"])
def test_nothing_was_started(when_told: Told, word: str) -> None:
    done = when_told(word)
    assert done.returncode == 1
    assert "HINT:" in done.stderr


def test_an_unknown_word_is_refused(when_told: Told) -> None:
    assert "when-told does not know 'stop'" in when_told("stop").stderr


def test_the_line_may_come_long_after_the_start_but_the_reader_has_to_live(when_told: Told) -> None:
    when_told("start", "bash", "-c", COMMAND.replace("IFS= read", "sleep 1; IFS= read"))
    reader = int((when_told.folder / "reader").read_text())
    os.kill(reader, signal.SIGKILL)
    for _ in range(100):  # until its parent has noticed
        if not Path(f"/proc/{reader}/exe").exists():
            break
        time.sleep(0.02)
    assert when_told("go").returncode == 1


def test_what_was_killed_without_a_trace_does_not_block_the_next(when_told: Told) -> None:
    when_told("start", "bash", "-c", f"echo ready; sleep 30; {COMMAND}")
    os.kill(int((when_told.folder / "waiter").read_text()), signal.SIGKILL)
    done = when_told("result")
    assert (done.returncode, "was killed" in done.stderr) == (1, True)
    assert when_told("start", "bash", "-c", COMMAND).stdout == "ready\n"
    when_told("cancel")
