"""What is known of containers from outside their programs: CPU time and memory, layers of images."""

import dataclasses
import json
import subprocess
import tarfile
from collections.abc import Iterable
from typing import IO, Any

from benchmarks.run import Refused
from testing.shell import Failed, run


@dataclasses.dataclass(frozen=True)
class Usage:
    """A container's CPU time so far and its memory now."""

    cpu_seconds: float
    memory_mb: float


def check() -> None:
    """Raises Refused unless a local engine with Compose answers."""
    try:
        run("docker", "version", timeout=20)
        run("docker", "compose", "version", timeout=20)
    except (Failed, OSError) as error:
        last = str(error).strip().splitlines()[-1]
        raise Refused(
            f"Docker with Compose is needed, and it doesn't answer: {last}", "./scripts/up --prepare"
        ) from None
    _local()


def _local() -> None:
    endpoint = run("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()
    if not endpoint.startswith("unix://"):
        raise Refused(
            f"the Docker engine is at {endpoint}: over a network, times and addresses would not be this machine's.",
            "run the bench on that machine, or choose a local engine: docker context use default",
        )


# Not the engine's own statistics: it has none ("no metrics received") once somebody has changed the machine's control
# groups, as test hosts with a systemd of their own do. A container always sees its own.
READ_GROUP = """
cd /sys/fs/cgroup
if [ -e memory.current ]
then awk '/^usage_usec/ {print $2 "000"}' cpu.stat; cat memory.current; awk '/^inactive_file/ {print $2}' memory.stat
else cat cpuacct/cpuacct.usage memory/memory.usage_in_bytes; awk '/^total_inactive_file/ {print $2}' memory/memory.stat
fi
"""


def addresses(container: str) -> list[str]:
    """Its addresses, in all of its networks."""
    each = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{end}}"
    return run("docker", "inspect", "--format", each, container).stdout.split()


def usage(container: str) -> Usage:
    """CPU and memory; the memory as `docker stats` counts it: without file cache that nobody uses."""
    cpu, memory, inactive = map(float, run("docker", "exec", container, "sh", "-c", READ_GROUP).stdout.split())
    return Usage(cpu / 1e9, (memory - inactive) / 2**20)


def resident_mb(container: str, command: str) -> float:
    """Resident memory of the container's processes of that name, from ps."""
    rows = run("docker", "top", container, "-eo", "pid,rss,comm").stdout.splitlines()[1:]
    found = [int(rss) for _, rss, name in (row.split(maxsplit=2) for row in rows) if name == command]
    if not found:
        raise LookupError(f"{command} doesn't run in container {container}")
    return sum(found) / 1024


def layers(images: Iterable[str]) -> dict[str, dict[str, int]]:
    """Image → its layers, each with its size in bytes uncompressed; from the archive that `docker save` writes."""
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as save:
        assert save.stdout
        manifest, sizes = _read_archive(save.stdout)
    if save.returncode:
        raise OSError(f"docker save exited with {save.returncode}")
    return {image["RepoTags"][0]: {layer: sizes[layer] for layer in image["Layers"]} for image in manifest}


def _read_archive(stream: IO[bytes]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    manifest: list[dict[str, Any]] = []
    sizes: dict[str, int] = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            sizes[member.name] = member.size
            if member.name == "manifest.json":
                file = archive.extractfile(member)
                assert file
                manifest = json.load(file)
    return manifest, sizes
