"""`up` names the service that failed; `down` what it deletes and what it keeps."""

from typing import Any

import pytest

from ops.flows import down, up


def config(repository: dict[str, str]) -> dict[str, Any]:
    """Rendered compose files."""
    volumes = [{"type": "volume", "source": "postgres-data", "target": "/var/lib/postgresql"}, repository]
    return {
        "services": {"postgres": {"volumes": volumes}, "proxy": {}},
        "volumes": {"postgres-data": {"name": "game_postgres-data"}, "repository": {"name": "game_repository"}},
    }


VOLUME = {"type": "volume", "source": "repository", "target": "/var/lib/pgbackrest"}
FOLDER = {"type": "bind", "source": "/srv/repository", "target": "/var/lib/pgbackrest"}
BOTH = ["game_postgres-data", "game_repository", "game_tls-client"]


@pytest.mark.parametrize(("mount", "existing", "gone", "kept"), [
    (VOLUME, BOTH, ["the database (volume game_postgres-data)", "all backups (volume game_repository)"], []),
    (FOLDER, BOTH[:1], ["the database (volume game_postgres-data)"], ["all backups in /srv/repository"]),
])  # fmt: skip
def test_what_is_deleted_and_what_is_kept(
    mount: dict[str, str], existing: list[str], gone: list[str], kept: list[str]
) -> None:
    said, _, rest = down.sentence(config(mount), existing).partition(" Kept: ")
    assert said == f"Deleted for good: {', '.join(gone)}."
    assert rest == f"{', '.join([*kept, 'images, .env and secrets'])}."


def test_a_clusters_databases_are_named() -> None:
    volumes = {f"db{number}-data": {"name": f"game_db{number}-data"} for number in (1, 2, 3)}
    said = down.sentence({"services": {}, "volumes": volumes}, [volume["name"] for volume in volumes.values()])
    assert [f"(volume game_db{number}-data)" in said for number in (1, 2, 3)] == [True] * 3


def test_without_volumes_all_data_is_kept() -> None:
    assert "Kept: all volumes, all backups in /srv/repository, images" in down.sentence(config(FOLDER), [])


@pytest.mark.parametrize(("dotenv", "sets"), [("", False), ("#COMPOSE_PROFILES=backup\n", False),
                                              ("A=1\nCOMPOSE_PROFILES=backup\n", True)])  # fmt: skip
def test_profiles_that_only_this_shell_has(dotenv: str, sets: bool) -> None:
    assert up.sets_profiles(dotenv) is sets


def row(name: str, state: str = "running", code: int = 0, health: str = "healthy") -> dict[str, Any]:
    return {"Service": name, "Name": f"game-{name}-1", "State": state, "ExitCode": code, "Health": health}


@pytest.mark.parametrize(("printed", "rows", "named"), [
    ("container game-backup-1 is unhealthy", [row("proxy", health="unhealthy"), row("backup")], ["backup"]),
    ("dependency failed to start: container game-backup-1 exited (1)", [row("backup"), row("app")], ["backup"]),
    ("it took too long", [row("migrate", "exited", 1), row("roles", "exited"), row("app")], ["migrate"]),
    ("", [row("backup", "restarting"), row("proxy", health="unhealthy")], ["backup", "proxy"]),
])  # fmt: skip
def test_the_log_that_is_shown_is_of_the_service_that_failed(
    printed: str, rows: list[dict[str, Any]], named: list[str]
) -> None:
    """A container that Docker restarts may look well when it is looked at."""
    assert up.failed_services(rows, printed) == named
