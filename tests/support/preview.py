"""The next major version of PostgreSQL: Debian testing's, an image for tests that may move."""

from testing.shell import run
from testing.stack import TAG

MAJOR, SUITE = "18", "forky"
BASE = f"flaglearning/base:{SUITE}"
IMAGE = f"flaglearning/postgres:{TAG}-{MAJOR}"
# A mirror's copy of testing may be older than its release file allows; it is signed all the same.
DOCKERFILE = f"""FROM debian:trixie-slim
RUN sed -i 's/trixie/{SUITE}/g' $(ls /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null) \\
 && echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/90-preview \\
 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get dist-upgrade -y -qq \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
"""


def build() -> str:
    """This checkout's PostgreSQL image with that version; its name."""
    run("docker", "build", "--quiet", "--tag", BASE, "-", stdin=DOCKERFILE, timeout=900)
    contexts = ("--build-context", "pg=pg", "--build-context", "lib=scripts/lib", "--target", "server")
    arguments = ("--build-arg", f"BASE_IMAGE={BASE}", "--build-arg", f"PG_MAJOR={MAJOR}")
    run("docker", "build", "--quiet", *contexts, *arguments, "--tag", IMAGE, "docker/postgres", timeout=900)
    return IMAGE
