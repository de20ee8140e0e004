"""`pgadmin VERB [PARAMETERS]`. Exit status: 0 done; 1 failed; 2 bad request; 3 cannot connect; 4 not found."""

import sys
from collections.abc import Callable
from typing import Any

import verbs
from pgadmin import databases, policy

VERBS: dict[str, Callable[..., Any]] = {
    "apply": policy.apply,
    "create-staging": databases.create_staging,
    "reassign": databases.reassign,
    "rename": databases.rename,
    "grant-large-objects": databases.grant_large_objects,
    "drop-staging": databases.drop_staging,
    "drop-retained": databases.drop_retained,
    "reset": databases.reset,
}

if __name__ == "__main__":
    sys.exit(verbs.main("pgadmin", VERBS, sys.argv[1:]))
