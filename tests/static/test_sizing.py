"""docker/postgres/sizing.py: settings that fit the machine, from tiny to large."""

import importlib.util
import itertools
from types import ModuleType

import pytest

from support.policy import postgres_settings
from testing.shell import ROOT, run
from testing.stack import Stack

MEMORY = [128, 256, 512, 1024, 2048, 4096, 16384, 65536]  # megabytes
CPUS = [1, 2, 4, 16, 64]
CONNECTIONS = int(postgres_settings()["max_connections"])


def load(name: str) -> ModuleType:
    """A script beside the Dockerfile, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docker/postgres/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load("sizing")


def sized(memory: int, cpus: int = 2) -> dict[str, str]:
    settings: dict[str, str] = script.sizing(memory * script.MB, cpus, CONNECTIONS)
    return settings


def kilobytes(settings: dict[str, str], name: str) -> int:
    assert settings[name].endswith("kB")
    return int(settings[name].removesuffix("kB"))


@pytest.mark.parametrize(("memory", "cpus"), list(itertools.product(MEMORY, CPUS)))
def test_everybody_sorting_at_once_fits_the_memory(memory: int, cpus: int) -> None:
    settings = sized(memory, cpus)
    work = CONNECTIONS * max(kilobytes(settings, "work_mem"), 64)
    upkeep = 3 * kilobytes(settings, "autovacuum_work_mem")
    assert kilobytes(settings, "shared_buffers") + work + upkeep < memory * 1024


@pytest.mark.parametrize(
    "setting", ["shared_buffers", "effective_cache_size", "maintenance_work_mem", "work_mem", "wal_buffers"]
)
def test_more_memory_never_gives_less(setting: str) -> None:
    sizes = [kilobytes(sized(memory), setting) for memory in MEMORY]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("setting", ["max_worker_processes", "max_parallel_workers", "max_parallel_workers_per_gather"])
def test_more_cpus_never_give_less(setting: str) -> None:
    sizes = [int(sized(4096, cpus)[setting]) for cpus in CPUS]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("cpus", CPUS)
def test_parallel_workers_are_among_the_processes(cpus: int) -> None:
    settings = sized(4096, cpus)
    assert int(settings["max_parallel_workers"]) <= int(settings["max_worker_processes"])


def test_a_known_size() -> None:
    """pgtune's answer for 4 GB, 2 CPUs, 100 connections, web application."""
    settings = sized(4096, 2)
    assert (settings["shared_buffers"], settings["effective_cache_size"]) == ("1048576kB", "3145728kB")
    assert settings["maintenance_work_mem"] == "262144kB"


@pytest.mark.parametrize(("memory", "cpus", "connections"), [(127, 1, 100), (0, 1, 100), (1024, 0, 100), (1024, 1, 0)])
def test_what_cannot_work_is_refused(memory: int, cpus: int, connections: int) -> None:
    with pytest.raises(ValueError, match=r"too little|at least"):
        script.sizing(memory * script.MB, cpus, connections)


@pytest.mark.parametrize(("text", "size"), [("512MB", 512), (" 4GB ", 4096), ("1TB", 1048576), ("524288kB", 512)])
def test_memory_is_written_as_postgresql_does(text: str, size: int) -> None:
    assert script.parse_memory(text) == size * script.MB


@pytest.mark.parametrize("text", ["512", "4 gigs", "", "-1GB", "1.5GB", "4gb"])
def test_other_ways_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        script.parse_memory(text)


@pytest.mark.parametrize("variables", [{"POSTGRES_SIZING_MEMORY": "64MB"}, {"POSTGRES_SIZING_CPUS": "many"}])
def test_the_command_says_it_in_one_sentence(variables: dict[str, str]) -> None:
    done = run("python3", str(ROOT / "docker/postgres/sizing.py"), "100", env=variables, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ERROR: ")
    assert "Traceback" not in done.stderr


@pytest.mark.docker
@pytest.mark.parametrize("memory", ["128MB", "1GB", "64GB"])
def test_the_server_accepts_the_result(images: Stack, memory: str) -> None:
    script = """sizing.py 100 >/run/postgresql-sizing/90-sizing.conf
                postgres -C shared_buffers -c config_file=/etc/postgresql/postgresql.conf"""
    image = f"flaglearning/postgres:{images.variables['TAG']}"
    done = run(
        "docker",
        "run",
        "--rm",
        "--env",
        f"POSTGRES_SIZING_MEMORY={memory}",
        "--entrypoint",
        "bash",
        image,
        "-ec",
        script,
    )
    expected = load("sizing").parse_memory(memory) // 4
    assert int(done.stdout) * 8192 == pytest.approx(expected, rel=0.01)
