"""`python -m pgclient VERB [PARAMETERS]`."""

import importlib
import pkgutil
import sys

import pgclient
import verbs
from pgclient.verbs import VERBS

for module in pkgutil.iter_modules(pgclient.__path__):
    if module.name != "__main__":
        importlib.import_module(f"pgclient.{module.name}")  # declares its verbs

if __name__ == "__main__":
    sys.exit(verbs.main("pgclient", VERBS, sys.argv[1:]))
