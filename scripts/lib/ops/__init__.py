"""`./scripts/ops`, on the host: declares every command and option, asks, calls Docker, prints.

    cli.py         the frame: how a command is declared, `main`
    docker.py      docker command lines, built by pure functions
    containers.py  runs them: one-shots and `exec`, JSON back
    psql.py        the queries of pg/queries/ in the running server, as flaglearning_ops
    output.py      tables that fit the terminal, JSON, sizes and durations
    prompt.py      confirmation before a change that can't be undone
    commands/      one module for each group of commands: declarations and thin functions
    flows/         what takes several steps: restores, drill, password rotation, rollout, reset

Standard library only, Python 3.9 or newer (Debian 12 and 13, macOS).
"""
