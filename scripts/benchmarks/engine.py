"""What only the Docker engine knows: CPU time and memory of containers, layers of images. Over its own HTTP socket."""

import dataclasses
import functools
import http.client
import json
import socket
import subprocess
import tarfile
from collections.abc import Iterable
from typing import IO, Any

from benchmarks.run import Refused
from support.shell import Failed, run


@dataclasses.dataclass(frozen=True)
class Usage:
    """A container's CPU time so far and its memory now."""

    cpu_seconds: float
    memory_mb: float


class _Connection(http.client.HTTPConnection):
    """HTTP over the engine's Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


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
    _socket_path()


@functools.cache
def _socket_path() -> str:
    endpoint = run("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()
    if not endpoint.startswith("unix://"):
        raise Refused(
            f"the Docker engine is at {endpoint}: over a network, times and addresses would not be this machine's.",
            "run the bench on that machine, or choose a local engine: docker context use default",
        )
    return endpoint.removeprefix("unix://")


def _get(path: str) -> Any:
    connection = _Connection(_socket_path())
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OSError(f"the Docker engine answered {answer.status} to {path}: {body[:200]!r}")
        return json.loads(body)
    finally:
        connection.close()


def usage(container: str) -> Usage:
    """CPU and memory; the memory as `docker stats` counts it: without file cache that nobody uses."""
    stats = _stats(container)
    memory = stats["memory_stats"]
    # cgroup v1 has both names, and only the first counts the processes in it; v2 has the second alone
    inactive = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
    return Usage(stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, (memory["usage"] - inactive) / 2**20)


def _stats(container: str) -> Any:
    """An engine that is busy, or whose control groups somebody has changed, says "no metrics received", status 200."""
    for _ in range(20):
        stats = _get(f"/containers/{container}/stats?stream=false&one-shot=true")
        if "memory_stats" in stats:
            return stats
    raise OSError(f"the Docker engine has no figures of container {container}: {stats}")


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
