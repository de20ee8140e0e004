"""The commands are declared in the order of `--help`, whichever module a test imports first."""

from ops import cli

cli.load_commands()
