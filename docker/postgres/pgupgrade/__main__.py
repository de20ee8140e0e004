"""`pgupgrade VERB [PARAMETERS]`, in the image with both versions (docker/upgrade), while no server runs."""

import sys
from collections.abc import Callable
from typing import Any

import verbs
from pgupgrade import rehearsal, upgrade

VERBS: dict[str, Callable[..., Any]] = {
    "facts": upgrade.facts,
    "run": upgrade.run,
    "back": upgrade.back,
    "newest": rehearsal.newest,
    "rehearse": rehearsal.rehearse,
    "serve": rehearsal.serve,
}

if __name__ == "__main__":
    sys.exit(verbs.main("pgupgrade", VERBS, sys.argv[1:]))
