"""`python -m flagops`: every module of commands, then the command line."""

from flagops import (  # noqa: F401 - importing registers the commands
    backup,
    backups,
    migrations,
    physical,
    reset,
    restore,
    setup,
)
from flagops.cli import main

if __name__ == "__main__":
    main()
