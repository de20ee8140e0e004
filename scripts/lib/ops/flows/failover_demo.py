"""A load of writers, a fault in the middle of it, and what the writers were told."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable

import failover_history
from ops import containers, docker
from ops.containers import QUIET
from ops.flows import switchover
from ops.output import note, say
from user_errors import OperationError, UserError

BEFORE, AFTER = 4.0, 4.0  # seconds of load before the fault, and after writes succeed again
WITHIN = 60.0  # seconds until another member has to acknowledge


class Load:
    """`with Load() as load: …; load.result()`: writers through PgBouncer (pgclient's verb failover-load)."""

    def __init__(self, environment: Mapping[str, str] | None = None, **parameters: Any) -> None:
        self.history: list[dict[str, Any]] = []
        self.final: dict[str, Any] | None = None
        argv = docker.run_in("ops", *docker.verb("failover-load", parameters))
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**(os.environ if environment is None else environment), **QUIET},
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read)

    def __enter__(self) -> Load:
        self.reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.reader.join()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout
        for text in self.process.stdout:
            line = json.loads(text)
            if "outcome" in line:
                self.history.append(line)
            else:
                self.final = line

    def acknowledged(self, but_by: str = "", since: float = 0.0) -> int:
        """How many writes were acknowledged, by another member than `but_by`, after `since` (monotonic seconds)."""
        return sum(
            one["outcome"] == "ok" and one.get("member") != but_by and one["start"] > since
            for one in list(self.history)
        )

    def wait(self, condition: Callable[[], bool], within: float) -> bool:
        """Whether the condition came true in time, while the load runs."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self.process.poll() is None:
            if condition():
                return True
            time.sleep(0.05)
        return condition()

    def verdict(self) -> failover_history.Verdict:
        """After the block. Raises OperationError when the load did not end well; its error is printed."""
        if self.final is None:
            raise OperationError("the load ended with an error", "read the error above; ./scripts/ops cluster status")
        return failover_history.judge(self.history, self.final)


def run(planned: bool, quiet: bool = False) -> dict[str, Any]:
    """Kill the primary's server, or switch over, under load; the verdict, and `took_over`, the new primary."""
    if containers.environment_of("roles")["DEPLOYMENT"] != "development":
        raise UserError(
            "the demonstration kills a server: it runs in development only",
            "./scripts/ops cluster switchover is the planned way, without a failed request",
        )
    old = containers.primary()
    with Load() as load:
        progress = threading.Event()
        if not quiet:
            threading.Thread(target=show, args=(load, progress), daemon=True).start()
        if not load.wait(lambda: load.acknowledged() > 0, WITHIN):
            raise OperationError("no write succeeded", "./scripts/ops cluster status")
        time.sleep(BEFORE)
        fault = time.monotonic()
        if planned:
            switchover.run()
        else:
            note(f"{old}: kill -9")
            containers.run(docker.exec_in(old, "pgcluster", "kill"))
        load.wait(lambda: load.acknowledged(old, fault) > 0, WITHIN)
        time.sleep(AFTER)
        progress.set()
    verdict = load.verdict()
    new = verdict.eras[-1] if verdict.eras else ""
    if not quiet:
        say_verdict(verdict)
    return {**verdict._asdict(), "old": old, "new": new}


def show(load: Load, ended: threading.Event) -> None:
    """A line a second, on standard error."""
    seen = 0
    while not ended.wait(1.0):
        latest = list(load.history)[seen:]
        seen += len(latest)
        count = {outcome: sum(one["outcome"] == outcome for one in latest) for outcome in failover_history.OUTCOMES}
        members = sorted({one["member"] for one in latest if one.get("member")})
        note(
            f"  {count['ok']:4} acknowledged, {count['failed']:3} failed, {count['unknown']:3} unknown"
            f"   {' then '.join(members)}"
        )


def say_verdict(verdict: failover_history.Verdict) -> None:
    """The figures."""
    say(f"primary       {' → '.join(verdict.eras)}")
    say(f"no write for  {verdict.gap_s:.2f} s (the longest write took {verdict.longest_s:.2f} s)")
    say(f"acknowledged  {verdict.acknowledged}")
    say(f"failed        {verdict.failed} (the client got an error: not written)")
    say(f"unknown       {verdict.unknown} (the connection broke: written or not)")
    say(f"lost          {len(verdict.lost)} of the acknowledged")
    for violation in verdict.violations:
        say(f"VIOLATION     {violation}")
