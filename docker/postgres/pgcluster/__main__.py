"""`pgcluster VERB [PARAMETERS]`. Exit status: 0 done; 1 failed; 2 bad request; 3 cannot connect."""

import sys
from collections.abc import Callable
from typing import Any

from pgcluster import rest
from user_errors import Failure


def main(arguments: list[str]) -> int:
    """Run one verb; the exit status."""
    if arguments == ["primary"]:  # asked before most commands of ./scripts/ops: without the other verbs' imports
        try:
            print(rest.primary(rest.own("GET", "/cluster")))
        except Failure as failure:
            failure.show()
            return int(failure.status)
        return 0
    import verbs
    from pgcluster import archive, member

    if arguments[:1] == ["role-changed"]:  # Patroni's callback: ACTION ROLE CLUSTER follow
        arguments = ["mark-archived"] if "primary" in arguments else []
        if not arguments:
            return 0

    known: dict[str, Callable[..., Any]] = {
        "status": member.status,
        "server": member.server,
        "configure": member.configure,
        "switchover": member.switchover,
        "mark-archived": archive.mark_archived,
        "restart": member.restart,
        "reload": member.reload,
        "reinit": member.reinit,
        "kill": member.kill,
    }
    return verbs.main("pgcluster", known, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
