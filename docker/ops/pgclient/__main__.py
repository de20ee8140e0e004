"""`python -m pgclient VERB [PARAMETERS]`."""

import importlib
import pkgutil
import sys

import pgclient
from pgclient.verbs import main

for module in pkgutil.iter_modules(pgclient.__path__):
    if module.name != "__main__":
        importlib.import_module(f"pgclient.{module.name}")  # declares its verbs

sys.exit(main(sys.argv[1:]))
