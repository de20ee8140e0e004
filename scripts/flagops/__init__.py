"""The operations CLI: everything that the PostgreSQL reference tells a person to type, as `./scripts/ops …`.

It runs in the container `ops` (docker/ops/Dockerfile), which has the server's own client tools. How it is laid out:

    cli.py        the map of the sections, the exit statuses, how to add a command
    errors.py     `Refused`: what happened, why, the next command; the server's errors in those words
    stack.py      where the servers are, who logs in where, with which secret
    database.py   connections
    queries.py    pg/queries/*.sql, and the safe way to fill in their variables
    catalog.py    a table or an index by the name that a person types
    output.py     tables that fit the terminal, JSON, progress
    ask.py        "shall I?"

and one module for each group of commands.
"""
