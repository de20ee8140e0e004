"""The verbs of the image `ops`: client tools and queries as roles with little power, over TLS.

People type ./scripts/ops, which runs on the host (scripts/lib/ops) and calls `python -m pgclient VERB [PARAMETERS]` in
a container of the service `ops`. PARAMETERS is one JSON object; the result is JSON on standard output; progress and
errors are text on standard error. No secret is ever a parameter: they come as files, or on standard input.

    verbs.py      how a verb is declared, the command line
    stack.py      where the servers are, who logs in where, with which secret
    database.py   connections
    queries.py    pg/queries/*.sql, and the safe way to fill in their variables
"""
