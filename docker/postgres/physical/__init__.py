"""Physical backups: made, kept honest, and restored, by pgBackRest. `physical --help` is the list of commands.

It runs as the server's own user, in one-shots of the services `backup`, `restore` and `scratch` (docker-compose.yml),
which ./scripts/ops starts and whose answers (JSON on standard output) it shows. Nothing here knows how the server was
started.

    pgbackrest.py   the program, what it says, and what that means
    server.py       the superuser's session, through the socket
    moments.py      canaries, and moments whose every row is written down
    timelines.py    which backups belong to the history of the database that there is now
    target.py       where a restore goes to: --to, --latest, --backup; and which range there is
    recovery.py     a data directory from the repository; the new one in the place of the old
    drill.py        is what was restored what was there?
    copies.py       the second repository, on the backup host: its service, and the dumps that are sent there
    schedule.py     the service `backup`: canaries, and backups when they are due
"""
