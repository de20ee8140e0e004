"""One module for each group of commands. Importing a module declares its commands (ops.cli.command)."""
