"""Unit tests start nothing: a Docker client that one of them runs by mistake finds no engine."""

import os

os.environ["DOCKER_HOST"] = "unix:///no-engine-for-unit-tests"
