"""`python -m flagops`: every module of commands, then the command line."""

from flagops import (  # noqa: F401 - importing registers the commands
    application,
    backup,
    backups,
    connecting,
    doctor,
    inspection,
    maintenance,
    migrations,
    monitoring,
    physical,
    reset,
    restore,
    sessions,
    setup,
    space,
    test_databases,
)
from flagops.cli import main

if __name__ == "__main__":
    main()
