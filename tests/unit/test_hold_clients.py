"""What it refuses before it looks for a pooler. What it does to one: tests/stack/test_restart.py, tests/cluster."""

import subprocess

import pytest

from testing.shell import ROOT


@pytest.mark.parametrize("word", ["", "ende", "-5", "9s", "9 end"])
def test_a_word_that_it_does_not_know_pauses_nothing(word: str) -> None:
    done = subprocess.run(["bash", ROOT / "scripts/lib/ops/hold-clients", word], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"ERROR: hold-clients does not know '{word}'\nHINT:  hold-clients SECONDS, wait or end\n"
