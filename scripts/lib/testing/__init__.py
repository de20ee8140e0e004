"""Running the tests: a compose project as an object, commands, and the layers of `./scripts/test`."""
